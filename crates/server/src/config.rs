//! The configuration file, and the environment over it.

mod listen;
pub(crate) mod memory;
mod origin;
mod problems;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use contract::AppName;
use ipnet::IpNet;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

pub(crate) use listen::Listen;
pub(crate) use memory::Amount;
pub(crate) use origin::{Origin, Problem};

/// What `config/sluice.toml` says. The file documents each key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) applications: Vec<AppName>,
    pub(crate) drain_seconds: u64,
    pub(crate) http: Http,
    pub(crate) https: Https,
    pub(crate) control: Control,
    pub(crate) tls: Tls,
    pub(crate) rtmp: Rtmp,
    pub(crate) webrtc: Webrtc,
    pub(crate) media: Media,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) max_connections: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) host: String,
    pub(crate) local_trust: bool,
    pub(crate) setup_from_loopback: bool,
}

/// Where the control API listens apart from strangers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Control {
    pub(crate) listen: Listen,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Https {
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Tls {
    /// Whether there is a certificate, and so whether anything speaks TLS.
    pub(crate) fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rtmp {
    pub(crate) listen: SocketAddr,
    pub(crate) tls_listen: SocketAddr,
    pub(crate) max_connections: usize,
    pub(crate) threads: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webrtc {
    pub(crate) listen: SocketAddr,
    pub(crate) announced: Vec<IpAddr>,
    pub(crate) transcodes: usize,
    pub(crate) max_peers: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Media {
    pub(crate) memory: Amount,
}

impl Media {
    /// Bytes of media that may be held. Where the system does not say what it has, a part
    /// of it is no limit.
    pub(crate) fn limit(&self) -> usize {
        let machine = memory::of_machine();
        let limit = match self.memory {
            Amount::Percent(_) if machine.is_none() => u64::MAX,
            amount => amount.of(machine.unwrap_or_default()),
        };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) key: PathBuf,
}

impl Store {
    /// Where the key is.
    pub(crate) fn key_path(&self) -> PathBuf {
        if self.key.as_os_str().is_empty() { self.path.join("secrets.key") } else { self.key.clone() }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) networks: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
}

impl Default for Config {
    fn default() -> Self {
        let app = |name| AppName::parse(name).ok();
        Self {
            applications: ["live", "LiveApp"].into_iter().filter_map(app).collect(),
            drain_seconds: 10,
            http: Http::default(),
            https: Https::default(),
            control: Control::default(),
            tls: Tls::default(),
            rtmp: Rtmp::default(),
            webrtc: Webrtc::default(),
            media: Media::default(),
            store: Store::default(),
            metrics: Metrics::default(),
            log: Log::default(),
        }
    }
}

const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port)
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: everywhere(5080),
            workers: 0,
            max_connections: 4096,
            trusted_proxies: Vec::new(),
            host: String::new(),
            local_trust: true,
            setup_from_loopback: false,
        }
    }
}

impl Default for Https {
    fn default() -> Self {
        Self { listen: everywhere(5443) }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self { listen: everywhere(1935), tls_listen: everywhere(1936), max_connections: 4096, threads: 0 }
    }
}

impl Default for Webrtc {
    fn default() -> Self {
        Self { listen: everywhere(5000), announced: Vec::new(), transcodes: 2, max_peers: 2048 }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self { memory: Amount::Percent(50) }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { path: "data".into(), key: PathBuf::new() }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { networks: vec![IpNet::from(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))] }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

impl Config {
    /// How long to wait for goodbyes.
    pub(crate) const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

const PREFIX: &str = "SLUICE__";

impl Config {
    /// Reads the file, then lays the environment over it. Whatever is wrong is told
    /// with file, line and key.
    pub(crate) fn load(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Origin)> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(path, &text, env)
    }

    fn parse(
        path: &Path,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Origin)> {
        let variables: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let names = variables.iter().map(|(name, _)| name.clone()).collect();
        let origin = Origin::new(path, text, names);
        // Said of the file alone first, so that the error names its line.
        toml::from_str::<Self>(text).map_err(|error| anyhow!(origin.malformed(&error)))?;
        let mut table: toml::Table = toml::from_str(text)?;
        for (name, value) in variables {
            set(&mut table, &name[PREFIX.len()..], &value).with_context(|| name.clone())?;
            // Said of each variable alone, so that the error names it.
            table.clone().try_into::<Self>().with_context(|| format!("in {name}"))?;
        }
        let config: Self = table.try_into()?;
        let problems = problems::of(&config);
        let told: Vec<_> = problems.iter().map(|problem| origin.tell(problem)).collect();
        ensure!(told.is_empty(), "{}", told.join("\n"));
        Ok((config, origin))
    }

    /// TCP addresses that are listened on, and the keys that name them.
    pub(crate) fn tcp_listens(&self) -> Vec<(&'static str, SocketAddr)> {
        let mut listens = vec![("http.listen", self.http.listen), ("rtmp.listen", self.rtmp.listen)];
        if self.tls.is_on() {
            listens.push(("https.listen", self.https.listen));
            listens.push(("rtmp.tls_listen", self.rtmp.tls_listen));
        }
        if let Listen::Tcp(address) = self.control.listen {
            listens.push(("control.listen", address));
        }
        listens
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What is to be logged.
pub(crate) fn log_filter(config: &Config) -> Result<EnvFilter> {
    // To the filter any other word is a module, and a level that is written wrong is silence.
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_word = |word: &str| !word.contains(['=', '[', ':', '_']);
    let mut words = config.log.level.split(',').map(str::trim);
    if let Some(word) = words.find(|word| is_word(word) && !is_level(word)) {
        let levels = LEVELS.join(", ");
        bail!("{word:?} is no level; there are {levels}, and of a module alone {word}=debug");
    }
    Ok(EnvFilter::try_new(&config.log.level)?)
}

/// `HTTP__LISTEN` is `listen` in `[http]`.
fn set(table: &mut toml::Table, path: &str, value: &str) -> Result<()> {
    let mut keys: Vec<_> = path.split("__").map(str::to_lowercase).collect();
    let Some(last) = keys.pop().filter(|key| !key.is_empty()) else { bail!("the name ends early") };
    let mut table = table;
    for key in keys {
        let entry = table.entry(key.clone()).or_insert_with(|| toml::Table::new().into());
        let Some(inner) = entry.as_table_mut() else { bail!("{key} is not a section") };
        table = inner;
    }
    table.insert(last, as_toml(value));
    Ok(())
}

/// Numbers, booleans and lists as TOML has them; anything else is a text.
fn as_toml(value: &str) -> toml::Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| value.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ENV: [(String, String); 0] = [];

    fn env(name: &str, value: &str) -> [(String, String); 1] {
        [(name.to_owned(), value.to_owned())]
    }

    fn parse(text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Config> {
        Config::parse(Path::new("sluice.toml"), text, env).map(|(config, _)| config)
    }

    #[test]
    fn what_is_wrong_is_told_with_file_line_and_key() {
        let error = |text| format!("{:#}", parse(text, NO_ENV).unwrap_err());
        for (text, told) in [
            ("[http]\n\nlisten = 'nowhere'", "sluice.toml:3: http.listen: "),
            ("[http]\nlisten = 1\n", "sluice.toml:2: http.listen: "),
            ("# one\n[http]\nlissten = 1", "sluice.toml:3: http.lissten: unknown field"),
            ("[http]\nlisten = '127.0.0.1", "sluice.toml:2: http.listen: "),
            (
                "[rtmp]\nlisten = '0.0.0.0:5080'",
                "sluice.toml:2: rtmp.listen: 0.0.0.0:5080 is also that of http.listen",
            ),
            ("[tls]\nkey = 'k'", "sluice.toml: tls.certificate: certificate and key belong together"),
            ("[log]\nlevel = 'a=b=c'", "sluice.toml:2: log.level: "),
            ("[log]\nlevel = 'info,verbose'", "sluice.toml:2: log.level: \"verbose\" is no level"),
            ("[log]\nlevel = ''", "sluice.toml:2: log.level: \"\" is no level"),
            ("drain_seconds = 4000", "sluice.toml:1: drain_seconds: more than 3600"),
            ("[webrtc]\nannounced = ['0.0.0.0']", "sluice.toml:2: webrtc.announced: "),
            ("[rtmp]\nmax_connections = 0", "sluice.toml:2: rtmp.max_connections: "),
            ("[webrtc]\nmax_peers = 0", "sluice.toml:2: webrtc.max_peers: "),
            ("[media]\nmemory = '101%'", "sluice.toml:2: media.memory: "),
            ("[media]\nmemory = 1000", "sluice.toml:2: media.memory: less than 16 MiB"),
        ] {
            assert!(error(text).starts_with(told), "{text}: {}", error(text));
        }
        let twice = parse("", env("SLUICE__RTMP__LISTEN", "127.0.0.1:5080")).unwrap_err();
        assert!(format!("{twice:#}").starts_with("SLUICE__RTMP__LISTEN: rtmp.listen: "), "{twice:#}");
    }

    #[test]
    fn the_file_says_the_defaults() {
        let file = include_str!("../../../config/sluice.toml");
        assert_eq!(parse(file, NO_ENV).unwrap(), Config::default());
        assert_eq!(parse("", NO_ENV).unwrap(), Config::default());
    }

    #[test]
    fn the_file_has_every_key() {
        let file: toml::Table = toml::from_str(include_str!("../../../config/sluice.toml")).unwrap();
        let debug = format!("{:#?}", Config::default());
        let fields = debug.lines().filter_map(|line| line.trim().split_once(": ")).map(|(key, _)| key);
        for key in fields {
            let sections = file.values().filter_map(toml::Value::as_table);
            let known = file.contains_key(key) || sections.into_iter().any(|table| table.contains_key(key));
            assert!(known, "{key} is not in config/sluice.toml");
        }
    }

    #[test]
    fn the_environment_wins_and_may_hold_lists() {
        let config = parse("[http]\nlisten = '127.0.0.1:1'", env("SLUICE__HTTP__LISTEN", "127.0.0.1:2"));
        assert_eq!(config.unwrap().http.listen.port(), 2);
        assert!(parse("", env("SLUICE__LOG__LEVEL", "Warn,sluice_rest=debug,hyper=off")).is_ok());
        let config = parse("", env("SLUICE__WEBRTC__ANNOUNCED", "['192.0.2.1', '::1']"));
        assert_eq!(config.unwrap().webrtc.announced.len(), 2);
    }

    #[test]
    fn what_is_unknown_or_malformed_is_refused_by_name() {
        let error = |text, env| format!("{:#}", parse(text, env).unwrap_err());
        assert!(error("[http]\nlissten = 1", env("X", "")).contains("lissten"));
        assert!(error("[http]\nlisten = 'nowhere'", env("X", "")).contains("listen"));
        assert!(error("", env("SLUICE__HTTP__LISSTEN", "1")).contains("SLUICE__HTTP__LISSTEN"));
        assert!(error("", env("SLUICE__RTMP__THREADS", "many")).contains("SLUICE__RTMP__THREADS"));
        assert!(error("applications = ['a/b']", env("X", "")).contains("not allowed"));
        assert!(error("applications = []", env("X", "")).contains("at least one"));
    }
}
