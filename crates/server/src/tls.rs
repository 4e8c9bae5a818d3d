//! The certificate of HTTPS, WSS and RTMPS.
//!
//! One task looks at the two files, and at SIGHUP, and puts the new certificate where
//! the next handshake finds it. Connections that are there keep theirs, and notice
//! nothing. A certificate that cannot be used changes nothing either.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use x509_cert::der::Decode;

use crate::config;

/// How often the files are looked at. Renewal has days.
const LOOK: Duration = Duration::from_secs(5);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// The chain cannot be read.
    #[error("cannot read {path}: {why}")]
    Chain { path: PathBuf, why: pem::Error },
    /// The key cannot be read.
    #[error("cannot read {path}: {why}")]
    Key { path: PathBuf, why: pem::Error },
    /// Each may be good alone.
    #[error("{chain} and {key} do not make a pair: {why}")]
    Pair { chain: PathBuf, key: PathBuf, why: rustls::Error },
}

impl CertificateError {
    /// The setting that names the file at fault.
    pub(crate) const fn setting(&self) -> &'static str {
        match self {
            Self::Chain { .. } | Self::Pair { .. } => "tls.certificate",
            Self::Key { .. } => "tls.key",
        }
    }
}

/// A certificate in use, and the files that it came from.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files that the configuration names; `None`: no TLS.
    pub(crate) fn load(config: &config::Tls) -> Result<Option<Arc<Self>>, CertificateError> {
        let Some(files) = Files::of(config) else { return Ok(None) };
        let provider = Arc::new(default_provider());
        let current = RwLock::new(Arc::new(files.read(&provider)?));
        Ok(Some(Arc::new(Self { files, provider, current })))
    }

    /// For a listener: TLS 1.2 and 1.3, and always the newest certificate.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<ServerConfig> {
        let versions = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?;
        Ok(versions.with_no_client_auth().with_cert_resolver(self.clone()))
    }

    /// When the one in use expires, since 1970; `None` if it does not say so in a
    /// way that can be read.
    pub(crate) fn expires(&self) -> Option<Duration> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let leaf = x509_cert::Certificate::from_der(current.cert.first()?).ok()?;
        Some(leaf.tbs_certificate().validity().not_after.to_unix_duration())
    }

    /// Looks for a new certificate, for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut seen = self.files.stamp();
        let mut looks = tokio::time::interval(LOOK);
        let mut hangups = signal(SignalKind::hangup()).ok();
        loop {
            // Whoever asks has them read, whatever they look like.
            let read = tokio::select! {
                _ = looks.tick() => Some(seen),
                () = hung_up(&mut hangups) => None,
            };
            // A disk may be slow, and the owners share this thread.
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look(read)).await;
            seen = looked.unwrap_or(seen);
        }
    }

    /// Reads the files, unless they are still those that were `read`.
    fn look(&self, read: Option<Stamp>) -> Stamp {
        let stamp = self.files.stamp();
        if read != Some(stamp) {
            self.reload();
        }
        stamp
    }

    fn reload(&self) {
        match self.files.read(&self.provider) {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                tracing::info!(certificate = %self.files.certificate.display(), "certificate read again");
            }
            // Perhaps only one of the two files is new yet.
            Err(error) => tracing::error!(%error, "the certificate stays the old one"),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn hung_up(hangups: &mut Option<Signal>) {
    let heard = match hangups {
        Some(hangups) => hangups.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

/// The two PEM files.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What changes when a file does: it is written to, or another takes its name.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Files {
    fn of(config: &config::Tls) -> Option<Self> {
        let given = config.is_on();
        given.then(|| Self { certificate: config.certificate.clone(), key: config.key.clone() })
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|why| CertificateError::Chain { path: self.certificate.clone(), why })?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|why| CertificateError::Key { path: self.key.clone(), why })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|why| {
            let (chain, key) = (self.certificate.clone(), self.key.clone());
            CertificateError::Pair { chain, key, why }
        })
    }

    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len()))
        };
        [of(&self.certificate), of(&self.key)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The setting that is blamed where the two files hold these texts.
    fn blamed(certificate: Option<&str>, key: Option<&str>) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: Option<&str>| {
            let path = folder.path().join(name);
            text.iter().for_each(|text| std::fs::write(&path, text).unwrap());
            path
        };
        let config = config::Tls { certificate: file("certificate", certificate), key: file("key", key) };
        let error = Certificate::load(&config).unwrap_err();
        assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
        error.setting()
    }

    #[test]
    fn the_setting_at_fault_is_named() {
        let pem = |what: &str| format!("-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n");
        let (chain, key) = (pem("CERTIFICATE"), pem("PRIVATE KEY"));
        assert_eq!(blamed(None, Some(&key)), "tls.certificate");
        assert_eq!(blamed(Some(&chain), None), "tls.key");
        assert_eq!(blamed(Some(&chain), Some("no key")), "tls.key");
        assert_eq!(blamed(Some(&chain), Some(&key)), "tls.certificate", "which of them, nobody knows");
        assert_eq!(blamed(Some(""), Some(&key)), "tls.certificate");
    }
}
