//! Programs on this machine that may pass on strangers' requests.

use std::collections::BTreeSet;
use std::path::Path;

/// Names of processes, as the kernel shows them: 15 characters at most.
const RELAYS: [&str; 18] = [
    "apache2",
    "caddy",
    "cloudflared",
    "docker-proxy",
    "envoy",
    "frpc",
    "haproxy",
    "httpd",
    "lighttpd",
    "nginx",
    "ngrok",
    "socat",
    "squid",
    "stunnel",
    "stunnel4",
    "tailscaled",
    "traefik",
    "varnishd",
];

/// Those that run, by `proc`, the folder of processes.
pub(super) fn running(proc: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| RELAYS.contains(&name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_known_by_the_name_of_its_process() {
        let proc = tempfile::tempdir().unwrap();
        for (id, name) in
            [("1", "systemd"), ("20", "nginx"), ("21", "nginx"), ("22", "haproxy"), ("23", "nginx-not")]
        {
            std::fs::create_dir(proc.path().join(id)).unwrap();
            std::fs::write(proc.path().join(id).join("comm"), format!("{name}\n")).unwrap();
        }
        assert_eq!(Vec::from_iter(running(proc.path())), ["haproxy", "nginx"]);
        assert!(running(&proc.path().join("none")).is_empty());
    }
}
