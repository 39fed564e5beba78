//! What every contender of a run is given: the same original, an address, a certificate and a place to work in.

use std::{
    env,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::floor::tls;
use crate::{process::Launcher, sample, shoal::Shoal};

/// How long a server may take until it serves. Some hash the whole original first.
const SERVING: Duration = Duration::from_secs(60);

/// How often to look whether a server serves; that is never part of what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is to be fetched.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    /// Where it lies; nothing else is in its folder.
    pub(crate) path: PathBuf,
    /// Its name.
    pub(crate) name: String,
    /// Bytes of content.
    pub(crate) size: u64,
    /// Its hash, where it is one file.
    pub(crate) digest: Option<blake3::Hash>,
}

impl Original {
    /// The file at `path`, which is read once and made to look old.
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(Self { size, digest: Some(hasher.finalize()), ..Self::directory(path, size)? })
    }

    /// The directory at `path` with `size` bytes in all its files, which are made to look old.
    pub(crate) fn directory(path: &Path, size: u64) -> Result<Self> {
        sample::make_old(path)?;
        let name = path.file_name().context("the original has no name")?.to_string_lossy().into_owned();
        Ok(Self { path: path.to_owned(), name, size, digest: None })
    }

    /// The folder it lies in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

/// On which hosts the two sides run: words before their commands, and the address of the side that serves.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) server: Vec<String>,
    pub(crate) client: Vec<String>,
    pub(crate) address: IpAddr,
}

impl Place {
    /// Both sides on this machine.
    pub(crate) fn loopback() -> Self {
        Self { server: Vec::new(), client: Vec::new(), address: Ipv4Addr::LOCALHOST.into() }
    }
}

/// Everything a contender needs to start.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) launcher: Launcher,
    pub(crate) shoal: Shoal,
    pub(crate) place: Place,
    pub(crate) original: Original,
    /// Where servers keep what they need. Short names: some of them make sockets in it.
    pub(crate) dir: PathBuf,
}

impl Scene {
    /// A scene in `dir`, with a certificate.
    pub(crate) fn set(
        launcher: &Launcher,
        shoal: &Shoal,
        place: Place,
        original: Original,
        dir: &Path,
    ) -> Result<Self> {
        let scene =
            Self { launcher: launcher.clone(), shoal: shoal.clone(), place, original, dir: dir.to_owned() };
        tls::write_certificate(&scene.certificate(), &[scene.place.address])?;
        Ok(scene)
    }

    /// The folder with `cert.pem` and `key.pem`.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("tls")
    }

    /// A command on the host that serves.
    pub(crate) fn on_server(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.command(&self.place.server, program.as_ref())
    }

    /// A command on the host that fetches.
    pub(crate) fn on_client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.command(&self.place.client, program.as_ref())
    }

    fn command(&self, wrapper: &[String], program: &std::ffi::OsStr) -> Command {
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        // Nothing of the user's own configuration may leak in.
        command.env_clear().env("HOME", &self.dir).env("PATH", env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Starts a server; what it prints goes to `NAME.log` in the scene's folder.
    pub(crate) fn serve(&self, name: &str, mut command: Command) -> Result<Server> {
        let log = self.dir.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = self.launcher.spawn(command.stdout(file.try_clone()?).stderr(file))?;
        let pid = child.lock().unwrap_or_else(PoisonError::into_inner).id();
        Ok(Server { pid, child, log })
    }

    /// An address for a server. Others could take the port before it does, but hardly will.
    pub(crate) fn free_address(&self) -> Result<SocketAddr> {
        // Another host's address cannot be bound from here, and its ports are all free.
        let address =
            if self.place.server.is_empty() { self.place.address } else { Ipv4Addr::LOCALHOST.into() };
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        Ok(SocketAddr::new(self.place.address, port))
    }
}

/// A process that serves the original. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    child: Arc<Mutex<Child>>,
    log: PathBuf,
}

impl Server {
    /// Waits until it takes connections.
    ///
    /// # Errors
    ///
    /// It ended, or does not in time.
    pub(crate) fn wait_for_port(&self, scene: &Scene, address: SocketAddr) -> Result<()> {
        let connected = || match scene.place.server.is_empty() {
            true => TcpStream::connect(address).is_ok(),
            // From another host, only the table of its sockets tells.
            false => listens(self.pid, address.port()),
        };
        self.wait(|| connected().then_some(()))
    }

    /// Waits until it has printed a line that `find` finds something in.
    ///
    /// # Errors
    ///
    /// It ended, or does not in time.
    pub(crate) fn wait_for_line(&self, find: impl Fn(&str) -> Option<String>) -> Result<String> {
        self.wait(|| {
            let printed = self.printed();
            let whole = printed.rfind('\n').map_or("", |end| printed.get(..end).unwrap_or_default());
            whole.lines().find_map(&find)
        })
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait<T>(&self, ready: impl Fn() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + SERVING;
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let printed = self.printed();
                bail!("it does not serve (ended: {ended:?}): {}", printed.trim());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Both fail only for a process that is gone already.
        drop(child.kill());
        drop(child.wait());
    }
}

/// Whether some process on the host of process `pid` takes TCP connections at `port`.
fn listens(pid: u32, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let ending = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let sockets = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        sockets.lines().any(|socket| {
            let mut cells = socket.split_whitespace();
            cells.nth(1).is_some_and(|local| local.ends_with(&ending)) && cells.nth(1) == Some(LISTEN)
        })
    })
}

/// Where a program is that the user has, if it is.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Servers are often kept where only root looks.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}
