//! What people use to copy from a server: curl from nginx, with and without TLS, and rsync from its daemon.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Result;

use super::{Contender, Scene};
use crate::bench::scene::{Server, find_program};

/// Curl over HTTPS; both sides choose the cipher as they come.
pub(super) fn https(name: &'static str, scene: &Scene) -> Result<Contender> {
    curl(name, scene, "https")
}

/// Curl over HTTP.
pub(super) fn http(name: &'static str, scene: &Scene) -> Result<Contender> {
    curl(name, scene, "http")
}

fn curl(name: &'static str, scene: &Scene, scheme: &'static str) -> Result<Contender> {
    let address = scene.free_address()?;
    let server = nginx(scene, scheme, address)?;
    let scene = scene.clone();
    Ok(Contender::new(name, server, move |folder| {
        let name = &scene.original.name;
        let mut command = scene.on_client("curl");
        command.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
        command.arg("--cacert").arg(scene.certificate().join("cert.pem"));
        command.arg("--output").arg(folder.join(name));
        command.arg(format!("{scheme}://{address}/{name}"));
        Ok(command)
    }))
}

/// Nginx as one process, which has all that a second worker would share anyway: there is one connection.
fn nginx(scene: &Scene, scheme: &str, address: SocketAddr) -> Result<Server> {
    let dir = scene.dir.join(format!("nginx-{scheme}"));
    fs::create_dir_all(&dir)?;
    let (here, tls) = (dir.display(), scene.certificate());
    let ssl = match scheme {
        "https" => format!("ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem;", tls.display()),
        _ => String::new(),
    };
    let listen = if ssl.is_empty() { "" } else { " ssl" };
    let root = scene.original.folder().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {here}/{what};\n"))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{}}\n\
         http {{ access_log off; sendfile on; tcp_nopush on;\n{temporary}\
         server {{ listen {address}{listen}; {ssl} root {root}; }} }}\n"
    );
    fs::write(dir.join("nginx.conf"), configuration)?;
    let mut command = scene.on_server(find_program("nginx").unwrap_or_default());
    command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf"));
    command.arg("-e").arg(dir.join("error.log"));
    let server = scene.serve(&format!("nginx-{scheme}"), command)?;
    server.wait_for_port(scene, address)?;
    Ok(server)
}

/// Rsync in archive mode; the target does not exist, so nothing is compared.
pub(super) fn rsync(name: &'static str, scene: &Scene) -> Result<Contender> {
    let address = scene.free_address()?;
    let configuration = scene.dir.join("rsyncd.conf");
    let root = scene.original.folder().display();
    fs::write(
        &configuration,
        format!("use chroot = no\nreverse lookup = no\n[files]\npath = {root}\nread only = yes\n"),
    )?;
    let mut command = scene.on_server("rsync");
    command.args(["--daemon", "--no-detach"]).arg(format!("--config={}", configuration.display()));
    command.arg(format!("--address={}", address.ip())).arg(format!("--port={}", address.port()));
    let server = scene.serve("rsync", command)?;
    server.wait_for_port(scene, address)?;
    let scene = scene.clone();
    Ok(Contender::new(name, server, move |folder: &Path| {
        let mut command = scene.on_client("rsync");
        command.arg("--archive").arg(format!("rsync://{address}/files/{}", scene.original.name)).arg(folder);
        Ok(command)
    }))
}
