//! Who takes part: Shoal, the floors, and whatever else of the kind is installed.

mod sendme;
mod torrent;
mod web;

use std::{env, net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::{
    contender::Contender,
    floor::Kind,
    scene::{self, Scene, Server},
};
use crate::shoal::{AS_SHOAL, Daemon};

/// What every run compares the others with.
pub(crate) const SHOAL: &str = "shoal";

/// The same where nothing but QUIC leads to the server. It takes part only where it is named.
pub(crate) const OVER_QUIC: &str = "shoal quic";

/// The floor of a verified get.
pub(crate) const FULL: &str = "floor full";

/// The first argument that makes this program one side of a floor.
pub(crate) const FLOOR: &str = "floor";

/// A way to fetch, before it is known whether this machine has it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// What it does for the bytes besides moving them.
    pub(crate) does: &'static str,
    /// Programs that it needs.
    needs: &'static [&'static str],
    /// What it can fetch.
    takes: Takes,
    start: fn(&'static str, &Scene) -> Result<Contender>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Files,
    Anything,
    /// The original's size in zeros: nothing arrives on disk.
    Nothing,
}

/// Everyone, in the order of the tables.
#[rustfmt::skip]
pub(crate) const ALL: &[Entry] = &[
    Entry { name: SHOAL, does: "encrypted, BLAKE3", needs: &[], takes: Takes::Anything, start: |name, scene| shoal(name, scene, "tcp/0") },
    Entry { name: OVER_QUIC, does: "encrypted, BLAKE3", needs: &[], takes: Takes::Anything, start: |name, scene| shoal(name, scene, "udp/0/quic-v1") },
    Entry { name: FULL, does: "encrypted, BLAKE3", needs: &[], takes: Takes::Files, start: |name, scene| floor(name, scene, Kind::Full) },
    Entry { name: "floor tls", does: "encrypted, dropped", needs: &[], takes: Takes::Nothing, start: |name, scene| floor(name, scene, Kind::Tls) },
    Entry { name: "floor raw", does: "plaintext, dropped", needs: &[], takes: Takes::Nothing, start: |name, scene| floor(name, scene, Kind::Raw) },
    Entry { name: "curl https", does: "encrypted", needs: &["curl", "nginx"], takes: Takes::Files, start: web::https },
    Entry { name: "curl http", does: "plaintext", needs: &["curl", "nginx"], takes: Takes::Files, start: web::http },
    Entry { name: "rsync daemon", does: "plaintext, checksum", needs: &["rsync"], takes: Takes::Anything, start: web::rsync },
    Entry { name: "sendme", does: "encrypted, BLAKE3", needs: &["sendme"], takes: Takes::Anything, start: sendme::start },
    Entry { name: "rqbit", does: "plaintext, SHA-1", needs: &["rqbit", "transmission-create"], takes: Takes::Files, start: torrent::rqbit },
    Entry { name: "aria2c", does: "plaintext, SHA-1", needs: &["aria2c", "transmission-create"], takes: Takes::Files, start: torrent::aria2c },
];

impl Entry {
    /// Whether it can fetch a directory.
    pub(crate) fn takes_directories(&self) -> bool {
        self.takes == Takes::Anything
    }

    /// Whether what it fetched is on disk.
    pub(crate) fn writes(&self) -> bool {
        self.takes != Takes::Nothing
    }

    /// Programs that it needs and this machine lacks.
    pub(crate) fn lacks(&self) -> Vec<&'static str> {
        self.needs.iter().copied().filter(|program| scene::find_program(program).is_none()).collect()
    }

    /// Starts its server.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn start(&self, scene: &Scene) -> Result<Contender> {
        (self.start)(self.name, scene).with_context(|| format!("starting {}", self.name))
    }
}

/// What the contender of that name does for the bytes besides moving them.
pub(crate) fn does(name: &str) -> &'static str {
    ALL.iter().find(|entry| entry.name == name).map_or("", |entry| entry.does)
}

/// A daemon with the original, and a get in a process and a home of its own that knows its address. Both listen at a free
/// `port` of one transport.
fn shoal(name: &'static str, scene: &Scene, port: &'static str) -> Result<Contender> {
    let words: Vec<&str> = scene.place.server.iter().map(String::as_str).collect();
    let listen = format!("/ip4/{}/{port}", scene.place.address);
    let network = scene.shoal.network().to_owned();
    let options = ["--network", &network, "--no-mdns", "--listen", &listen].map(str::to_owned);
    // On another host, an address of this host's own would lead nowhere.
    let from = if scene.place.client.is_empty() { "127.0.0.1" } else { "0.0.0.0" };
    let from = format!("/ip4/{from}/{port}");
    let home = scene.dir.join(name.replace(' ', "-"));
    let daemon = Daemon::start(&scene.shoal.under(&words), &home, &options)?;
    let cid = daemon.publish_alone(&scene.original.path)?;
    let (pid, address) = (daemon.ready().pid, daemon.address()?);
    let client = {
        let scene = scene.clone();
        move |folder: &Path| {
            let mut command = scene.on_client(env::current_exe()?);
            command.args([AS_SHOAL, "get", &cid, "--json", "--no-mdns", "--network", &network]);
            command.args(["--listen", &from, "--peer", &address]);
            command.arg("--home").arg(folder.join("home"));
            command.arg("-o").arg(folder.join(&scene.original.name));
            Ok(command)
        }
    };
    Ok(Contender::kept_by(name, pid, daemon, client))
}

fn floor(name: &'static str, scene: &Scene, kind: Kind) -> Result<Contender> {
    let (server, address) = serve_floor(scene, kind)?;
    let digest = scene.original.digest.context("a floor takes files only")?;
    let scene = scene.clone();
    Ok(Contender::new(name, server, move |folder: &Path| {
        let mut command = scene.on_client(env::current_exe()?);
        command.args([FLOOR, "get", word(kind), &address.to_string()]);
        command.arg(scene.certificate()).arg(folder.join(&scene.original.name)).arg(digest.to_string());
        Ok(command)
    }))
}

/// Starts the serving side of a floor, and tells where.
///
/// # Errors
///
/// It does not start.
pub(crate) fn serve_floor(scene: &Scene, kind: Kind) -> Result<(Server, SocketAddr)> {
    let address = scene.free_address()?;
    let mut command = scene.on_server(env::current_exe()?);
    command.args([FLOOR, "serve", word(kind), &address.to_string()]);
    command.arg(scene.certificate()).arg(&scene.original.path);
    let server = scene.serve(&format!("floor-{}", word(kind)), command)?;
    server.wait_for_line(|line| line.starts_with("listening").then(String::new))?;
    Ok((server, address))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Raw => "raw",
        Kind::Tls => "tls",
        Kind::Full => "full",
    }
}
