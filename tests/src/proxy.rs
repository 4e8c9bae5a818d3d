//! Reverse proxies in front of the server, with the configuration that we give away.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::machine;
use crate::proc::Process;
use crate::wait::eventually;

/// A proxy that runs; killed when it is dropped.
pub struct Proxy {
    process: Process,
    /// Where it listens, without TLS.
    pub http: SocketAddr,
    _folder: TempDir,
}

impl Proxy {
    /// nginx in front of `server`, by `config/proxy/nginx.conf`.
    pub fn nginx(server: SocketAddr) -> Result<Self> {
        let (folder, http) = place()?;
        let site = given("nginx.conf")?;
        let site = exchange(&site, "listen 443 ssl", &format!("listen {http}"))?;
        let site = exchange(&site, "127.0.0.1:5080", &server.to_string())?;
        let plain = |line: &&str| !line.trim_start().starts_with("ssl_");
        let site: Vec<_> = site.lines().filter(plain).collect();
        Self::nginx_by(&site.join("\n"), folder, http)
    }

    /// nginx in front of `server` with its own defaults: it takes all that it can get.
    pub fn greedy_nginx(server: SocketAddr) -> Result<Self> {
        let (folder, http) = place()?;
        let header = "proxy_set_header X-Forwarded-For $remote_addr;";
        let site =
            format!("server {{ listen {http}; location / {{ proxy_pass http://{server}; {header} }} }}\n");
        Self::nginx_by(&site, folder, http)
    }

    fn nginx_by(site: &str, folder: TempDir, http: SocketAddr) -> Result<Self> {
        std::fs::write(folder.path().join("site.conf"), site)?;
        let main = folder.path().join("nginx.conf");
        std::fs::write(&main, around(folder.path()))?;
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-c"]).arg(main);
        Self::start("nginx", command, folder, http)
    }

    /// Caddy in front of `server`, by `config/proxy/Caddyfile`.
    pub fn caddy(server: SocketAddr) -> Result<Self> {
        let (folder, http) = place()?;
        let here = format!("http://{http} {{\n\tbind 127.0.0.1");
        let site = exchange(&given("Caddyfile")?, "stream.example.org {", &here)?;
        let site = exchange(&site, "127.0.0.1:5080", &server.to_string())?;
        let file = folder.path().join("Caddyfile");
        std::fs::write(&file, format!("{{\n\tadmin off\n}}\n{site}"))?;
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        command.envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, folder.path())));
        Self::start("caddy", command, folder, http)
    }

    fn start(name: &str, command: Command, _folder: TempDir, http: SocketAddr) -> Result<Self> {
        let process = Process::spawn(name, command)?;
        let mut proxy = Self { process, http, _folder };
        proxy.wait_until_ready()?;
        Ok(proxy)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = eventually("the proxy to be ready", || match self.process.ended() {
            Some(status) => Some(Err(anyhow::anyhow!("the proxy ended: {status}"))),
            None => crate::http::get(self.http, "/health").ok().filter(|a| a.status == 200).map(|_| Ok(())),
        });
        ready.and_then(|ready| ready).with_context(|| self.process.log.text())
    }
}

fn place() -> Result<(TempDir, SocketAddr)> {
    Ok((tempfile::tempdir()?, SocketAddr::from((Ipv4Addr::LOCALHOST, machine::free_tcp_port()?))))
}

fn given(name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(machine::root().join("config/proxy").join(name))?)
}

fn exchange(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.matches(from).count() == 1, "{from:?} is not once in the configuration");
    Ok(text.replace(from, to))
}

/// What Debian's `nginx.conf` has around a site, in a folder of its own.
fn around(folder: &Path) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n")).concat();
    format!(
        "daemon off;\nuser root;\npid {folder}/pid;\nevents {{ worker_connections 256; }}\n\
         http {{\n    access_log off;\n{temporary}    include {folder}/site.conf;\n}}\n"
    )
}
