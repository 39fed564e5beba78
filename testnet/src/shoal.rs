//! Runs `shoal` as its users do: real processes, one home each, read through `--json`.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use shoal_gateway::json::{Done, Event, Ready, Status};

use crate::process::{Heard, Launcher, Process};

/// The first argument that makes the `shoal-testnet` program behave as `shoal`.
pub const AS_SHOAL: &str = "shoal";

/// How long a daemon may take until it serves, or to stop: its own limits are half of this.
const START_OR_STOP: Duration = Duration::from_secs(20);

/// How long a command may go without printing anything. Gets and publishes tell their progress all the time.
const SILENCE: Duration = Duration::from_secs(120);

/// How to run `shoal`, on which network. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shoal {
    launcher: Launcher,
    words: Vec<OsString>,
    network: String,
}

impl Shoal {
    /// The `shoal-testnet` program at `program`, which is also `shoal`.
    pub fn new(program: &Path, launcher: Launcher, network: impl Into<String>) -> Self {
        Self { launcher, words: vec![program.into(), AS_SHOAL.into()], network: network.into() }
    }

    /// The same, run by another program such as `ip netns exec NAME`.
    #[must_use]
    pub fn under(&self, wrapper: &[&str]) -> Self {
        let words = wrapper.iter().map(OsString::from).chain(self.words.iter().cloned()).collect();
        Self { words, ..self.clone() }
    }

    /// The options of a node that lives on this machine alone.
    pub fn on_loopback(&self) -> Vec<String> {
        ["--network", &self.network, "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"].map(String::from).into()
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Starts a command on the home at `home`; what it logs goes to a file beside the home.
    ///
    /// # Errors
    ///
    /// The program cannot be started.
    pub fn start(&self, home: &Path, args: &[impl AsRef<OsStr>]) -> Result<Running> {
        let log = home.with_extension("log");
        let (program, first) = self.words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(first).args(args).arg("--json").arg("--home").arg(home);
        // Nothing of the user's own shoal may leak in.
        command.env_clear().env("HOME", home.parent().unwrap_or(home));
        for kept in ["PATH", "TMPDIR", "RUST_BACKTRACE", "RUST_LOG"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("could not open {}", log.display()))?;
        let process = self.launcher.start(command.stderr(file))?;
        let name = args.first().map(|arg| arg.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Running { name, process, log })
    }

    /// Runs a command on the home at `home` to its end, and gives what it printed before the last line.
    ///
    /// # Errors
    ///
    /// It failed, or printed something that does not fit together.
    pub fn run(&self, home: &Path, args: &[impl AsRef<OsStr>]) -> Result<Vec<Event>> {
        self.start(home, args)?.finish()
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    name: String,
    process: Process,
    log: PathBuf,
}

impl Running {
    /// Waits for the next event; the last one is [`Event::Done`].
    ///
    /// # Errors
    ///
    /// It ended without a last line, printed something else than events, or hangs.
    pub fn next(&self) -> Result<Event> {
        match self.process.hear(Instant::now() + SILENCE).with_context(|| self.describe())? {
            Heard::Event(event) => Ok(event),
            Heard::End => bail!("{} ended without a last line", self.describe()),
            Heard::Nothing => bail!("{} says nothing for {} s", self.describe(), SILENCE.as_secs()),
        }
    }

    /// Reads all events up to the last, and fails as the command failed.
    ///
    /// # Errors
    ///
    /// The command failed, or its last line and its exit code do not fit together.
    pub fn finish(self) -> Result<Vec<Event>> {
        let (events, done) = self.outcome()?;
        match done.error {
            None => Ok(events),
            Some(failure) => bail!("{} failed: {failure:?}", self.describe()),
        }
    }

    /// Reads all events up to the last, and checks that it is the only one of its kind and fits the exit code.
    ///
    /// # Errors
    ///
    /// They do not fit together, or the command hangs.
    pub fn outcome(&self) -> Result<(Vec<Event>, Done)> {
        let mut events = Vec::new();
        let done = loop {
            match self.next()? {
                Event::Done(done) => break done,
                event => events.push(event),
            }
        };
        let deadline = Instant::now() + START_OR_STOP;
        let more = self.process.hear(deadline)?;
        let status = self.process.wait(deadline).with_context(|| self.describe())?;
        if more != Heard::End || status.code() != Some(done.exit.into()) || done.ok != (done.exit == 0) {
            bail!(
                "{}: {done:?} should be its last event and fit {status}, and then came {more:?}",
                self.describe()
            );
        }
        Ok((events, done))
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    fn describe(&self) -> String {
        format!("shoal {} (process {}, {})", self.name, self.process.pid(), self.log.display())
    }
}

/// A `shoal start` that serves. Dropping it kills it; [`Daemon::stop`] is the polite way.
#[derive(Debug)]
pub struct Daemon {
    shoal: Shoal,
    home: PathBuf,
    options: Vec<OsString>,
    ready: Ready,
    running: Running,
}

impl Daemon {
    /// Starts a daemon on the home at `home` and waits until it serves.
    ///
    /// # Errors
    ///
    /// It ended instead, or does not get ready.
    pub fn start(shoal: &Shoal, home: &Path, options: &[impl AsRef<OsStr>]) -> Result<Self> {
        if let Some(folder) = home.parent() {
            fs::create_dir_all(folder)?;
        }
        let options: Vec<OsString> = options.iter().map(|option| option.as_ref().to_owned()).collect();
        let args: Vec<_> = [OsString::from("start")].into_iter().chain(options.iter().cloned()).collect();
        let running = shoal.start(home, &args)?;
        loop {
            match running.next()? {
                Event::Ready(ready) => {
                    return Ok(Self { shoal: shoal.clone(), home: home.to_owned(), options, ready, running });
                }
                Event::Done(done) => bail!("{} ended at once: {done:?}", running.describe()),
                _ => {}
            }
        }
    }

    /// What it said when it was ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.running.process.pid()
    }

    /// An address at which others reach it, with its name: over TCP if it has one.
    ///
    /// # Errors
    ///
    /// It listens nowhere.
    pub fn address(&self) -> Result<String> {
        let addresses = &self.ready.addresses;
        let address = addresses.iter().find(|address| address.contains("/tcp/")).or(addresses.first());
        let address = address.with_context(|| format!("{} listens nowhere", self.running.describe()))?;
        let named = address.contains("/p2p/");
        Ok(if named { address.clone() } else { format!("{address}/p2p/{}", self.ready.peer_id) })
    }

    /// Listens to what it says until `deadline`. False if it has ended.
    ///
    /// # Errors
    ///
    /// It says something that is no event.
    pub fn hear_until(&self, deadline: Instant) -> Result<bool> {
        loop {
            match self.running.process.hear(deadline).with_context(|| self.running.describe())? {
                Heard::Event(_) => {}
                Heard::Nothing => return Ok(true),
                Heard::End => return Ok(false),
            }
        }
    }

    /// Runs another command on the same home, which is then the daemon's guest.
    ///
    /// # Errors
    ///
    /// As [`Shoal::run`]; the daemon's log is in the message.
    pub fn run(&self, args: &[impl AsRef<OsStr>]) -> Result<Vec<Event>> {
        self.shoal.run(&self.home, args).with_context(|| format!("asked {}", self.running.describe()))
    }

    /// Starts another command on the same home, which is then the daemon's guest.
    ///
    /// # Errors
    ///
    /// As [`Shoal::start`].
    pub fn begin(&self, args: &[impl AsRef<OsStr>]) -> Result<Running> {
        self.shoal.start(&self.home, args)
    }

    /// Publishes `path`, waits until the network knows, and gives the CID.
    ///
    /// # Errors
    ///
    /// As [`Daemon::run`].
    pub fn publish(&self, path: &Path) -> Result<String> {
        cid_of(self.run(&[OsStr::new("publish"), path.as_os_str(), OsStr::new("--wait")])?)
    }

    /// Publishes `path` without waiting until anybody else knows, and gives the CID.
    ///
    /// # Errors
    ///
    /// As [`Daemon::run`].
    pub fn publish_alone(&self, path: &Path) -> Result<String> {
        cid_of(self.run(&[OsStr::new("publish"), path.as_os_str()])?)
    }

    /// The state of the daemon.
    ///
    /// # Errors
    ///
    /// As [`Daemon::run`].
    pub fn status(&self) -> Result<Status> {
        let events = self.run(&["status"])?;
        let status = events.into_iter().find_map(|event| match event {
            Event::Status(status) => Some(*status),
            _ => None,
        });
        status.context("no status was printed")
    }

    /// Stops it with `shoal stop` and waits for its end.
    ///
    /// # Errors
    ///
    /// It does not stop in time, or not with success.
    pub fn stop(self) -> Result<()> {
        self.run(&["stop"])?;
        let (_, done) = self.running.outcome()?;
        if !done.ok {
            bail!("{} stopped with {done:?}", self.running.describe());
        }
        Ok(())
    }

    /// Kills it, as `kill -9` does, and starts it again on the same home.
    ///
    /// # Errors
    ///
    /// As [`Daemon::start`].
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.running.process.kill()?;
        *self = Self::start(&self.shoal, &self.home, &self.options)?;
        Ok(())
    }
}

fn cid_of(events: Vec<Event>) -> Result<String> {
    let published = events.into_iter().find_map(|event| match event {
        Event::Published(published) => Some(published.cid),
        _ => None,
    });
    published.context("nothing was published")
}
