//! An address that may be a Unix socket, or none.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Where to listen: `""`, `"/run/sluice/api.sock"` or `"127.0.0.1:5081"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    /// Nowhere.
    #[default]
    Off,
    /// On a TCP port.
    Tcp(SocketAddr),
    /// On a Unix socket of this path.
    Unix(PathBuf),
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "" => Ok(Self::Off),
            path if path.starts_with('/') => Ok(Self::Unix(path.into())),
            address => address.parse().map(Self::Tcp).map_err(|_| {
                "expected an address with a port, or the path of a Unix socket from / on".to_owned()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_address_or_a_path_from_the_root() {
        let listen = |text: &str| Listen::try_from(text.to_owned());
        assert_eq!(listen(""), Ok(Listen::Off));
        assert_eq!(listen("127.0.0.1:5081"), Ok(Listen::Tcp(([127, 0, 0, 1], 5081).into())));
        assert_eq!(listen("/run/sluice/api.sock"), Ok(Listen::Unix("/run/sluice/api.sock".into())));
        for wrong in ["api.sock", "5081", "localhost:5081"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }
}
