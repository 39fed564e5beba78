//! BitTorrent clients, told of each other by hand: no tracker but a stub of ours, no DHT, no local discovery.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{Contender, Scene};

/// An address at which nobody listens, for clients that are given their peers.
const NO_TRACKER: &str = "http://127.0.0.1:9/announce";

/// How long the stub of a tracker waits for the rest of a question.
const QUESTION: Duration = Duration::from_secs(2);

/// Rqbit can be given peers.
pub(super) fn rqbit(name: &'static str, scene: &Scene) -> Result<Contender> {
    let torrent = make_torrent(name, scene, NO_TRACKER)?;
    let alone = |mut command: Command| {
        command.args(["-v", "warn", "--disable-dht", "--disable-upnp-port-forward"]);
        command.args(["--disable-lsd", "--disable-trackers"]);
        command
    };
    let seed = scene.free_address()?;
    let mut command = alone(scene.on_server(name));
    command.arg(format!("--listen-ip={}", seed.ip())).arg(format!("--listen-port={}", seed.port()));
    command.args(["download", "--disable-http-api", "--overwrite", "-o"]);
    command.arg(scene.original.folder()).arg(&torrent);
    let server = scene.serve(name, command)?;
    server.wait_for_port(scene, seed)?;
    let scene = scene.clone();
    Ok(Contender::new(name, server, move |folder| {
        let mut command = alone(scene.on_client(name));
        command.args(["--disable-tcp-listen", "download", "--disable-http-api", "--exit-on-finish"]);
        command.arg(format!("--initial-peers={seed}")).arg("-o").arg(folder).arg(&torrent);
        Ok(command)
    }))
}

/// Aria2 has to be told of peers by a tracker.
pub(super) fn aria2c(name: &'static str, scene: &Scene) -> Result<Contender> {
    let seed = scene.free_address()?;
    let tracker = Tracker::that_names(seed)?;
    let torrent = make_torrent(name, scene, &format!("http://{}/announce", tracker.address))?;
    let options = move |mut command: Command, port: u16, folder: &Path| {
        command.args(["--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false"]);
        command.args(["--bt-enable-lpd=false", "--enable-peer-exchange=false", "--disable-ipv6=true"]);
        command.arg("--file-allocation=none").arg(format!("--listen-port={port}"));
        command.arg("--dir").arg(folder).arg(&torrent);
        command
    };
    let mut command = options(scene.on_server(name), seed.port(), scene.original.folder());
    command.args(["--seed-ratio=0.0", "--check-integrity=true"]);
    let server = scene.serve(name, command)?;
    server.wait_for_port(scene, seed)?;
    let scene = scene.clone();
    let client = move |folder: &Path| {
        let mut command = options(scene.on_client(name), scene.free_address()?.port(), folder);
        command.arg("--seed-time=0");
        Ok(command)
    };
    Ok(Contender::new(name, server, client).keeping(tracker))
}

/// A torrent of the original with pieces of 1 MiB, private, so that clients ask nobody but the tracker.
fn make_torrent(name: &str, scene: &Scene, tracker: &str) -> Result<PathBuf> {
    let torrent = scene.dir.join(format!("{name}.torrent"));
    let mut command = Command::new("transmission-create");
    command.args(["-p", "-s", "1024", "-t", tracker, "-o"]).arg(&torrent).arg(&scene.original.path);
    let made = command.output().context("could not run transmission-create")?;
    if !made.status.success() {
        bail!("transmission-create failed: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(torrent)
}

/// A tracker that knows one peer and tells everyone of it.
struct Tracker {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tracker {
    fn that_names(peer: SocketAddr) -> Result<Self> {
        let IpAddr::V4(ip) = peer.ip() else { bail!("a compact list of peers has IPv4 only") };
        let mut answer = b"HTTP/1.0 200 OK\r\n\r\nd8:intervali3600e5:peers6:".to_vec();
        answer.extend(ip.octets());
        answer.extend(peer.port().to_be_bytes());
        answer.push(b'e');
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for question in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                // Whoever does not listen asks again.
                drop(tell(question, &answer));
            }
        });
        Ok(Self { address, ended, thread: Some(thread) })
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The thread waits for a question; this is the last.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}

/// Reads a question, whatever it is, and answers.
fn tell(mut question: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    question.set_read_timeout(Some(QUESTION))?;
    let mut read = Vec::new();
    let mut piece = [0; 512];
    while !read.ends_with(b"\r\n\r\n") && read.len() < 16 * 1024 {
        let count = question.read(&mut piece)?;
        if count == 0 {
            break;
        }
        read.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
    question.write_all(answer)
}
