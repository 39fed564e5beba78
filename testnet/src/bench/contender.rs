//! One way to fetch the original, and what one fetch costs.

use std::{
    any::Any,
    fs::{self, File},
    path::Path,
    process::Command,
    sync::PoisonError,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{
    meter::{self, Watch},
    samples::Samples,
    scene::{Original, Scene, Server},
};
use crate::snapshot::Snapshot;

/// How long a fetch may take. A contender that hangs is worth as little as one that fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds after which a transfer should be as fast as its link, whatever it has to find out first.
const WARMED_UP: f64 = 3.0;

/// How often to look whether a fetch took too long; its end is awaited, not looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

type Client = dyn Fn(&Path) -> Result<Command>;

/// A server that runs, and the command that fetches from it.
pub(crate) struct Contender {
    /// What tables call it.
    pub(crate) name: &'static str,
    server: u32,
    client: Box<Client>,
    keeps: Box<dyn Any>,
}

/// What one fetch cost, in seconds and bytes.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) sender: Side,
    pub(crate) receiver: Side,
    /// How many bytes the receiving host had received after how many seconds; empty where both sides are one host.
    arrivals: Vec<(f64, f64)>,
}

/// What it cost one side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side {
    pub(crate) cpu: f64,
    pub(crate) peak: u64,
}

impl Contender {
    /// A server that is a process of its own, and the command that fetches into a folder under the original's name.
    pub(crate) fn new(
        name: &'static str,
        server: Server,
        client: impl Fn(&Path) -> Result<Command> + 'static,
    ) -> Self {
        Self { name, server: server.pid, client: Box::new(client), keeps: Box::new(server) }
    }

    /// The same where the server with this process number is kept alive by `keeps`.
    pub(crate) fn kept_by(
        name: &'static str,
        server: u32,
        keeps: impl Any,
        client: impl Fn(&Path) -> Result<Command> + 'static,
    ) -> Self {
        Self { name, server, client: Box::new(client), keeps: Box::new(keeps) }
    }

    /// Keeps something else alive for as long as the server.
    #[must_use]
    pub(crate) fn keeping(self, other: impl Any) -> Self {
        Self { keeps: Box::new((self.keeps, other)), ..self }
    }

    /// Fetches once, from the start of the command to its end.
    ///
    /// # Errors
    ///
    /// The command fails or hangs, or what it fetched is not there.
    pub(crate) fn fetch(&self, scene: &Scene, check: Check) -> Result<Cost> {
        let folder = scene.dir.join("run");
        fs::create_dir(&folder)?;
        let cost = self.fetch_into(scene, &folder, check);
        fs::remove_dir_all(&folder)?;
        // What is still on its way to the disk would be at the cost of the next.
        rustix::fs::sync();
        cost.with_context(|| format!("{} failed", self.name))
    }

    fn fetch_into(&self, scene: &Scene, folder: &Path, check: Check) -> Result<Cost> {
        let log = scene.dir.join("client.log");
        let file = File::create(&log)?;
        let mut command = (self.client)(folder)?;
        command.stdout(file.try_clone()?).stderr(file);

        meter::reset_peak(self.server);
        let sender_watch = Watch::on(self.server);
        let before = meter::cpu_seconds(self.server)?;
        let start = Instant::now();
        let child = scene.launcher.spawn(&mut command)?;
        let pid = child.lock().unwrap_or_else(PoisonError::into_inner).id();
        let receiver_watch = Watch::on(pid);
        let mut arrivals = Vec::new();
        let end = wait_for_end(pid, |so_far| {
            if !scene.place.client.is_empty() {
                let bytes = meter::received_by_host_of(pid);
                arrivals.extend(bytes.map(|bytes| (start.elapsed().as_secs_f64(), as_f64(bytes))));
            }
            if so_far == SoFar::TooLong {
                // Fails only for a process that has just ended.
                drop(child.lock().unwrap_or_else(PoisonError::into_inner).kill());
            }
        })?;
        let wall = end.at.duration_since(start);
        let cpu = meter::cpu_seconds(pid)?;
        let status = child.lock().unwrap_or_else(PoisonError::into_inner).wait()?;
        let sender = Side { cpu: meter::cpu_seconds(self.server)? - before, peak: sender_watch.peak() };
        if end.killed || !status.success() {
            let printed = fs::read_to_string(&log).unwrap_or_default();
            bail!("ended with {status} after {} s: {}", wall.as_secs(), printed.trim());
        }
        check.one(&scene.original, &folder.join(&scene.original.name))?;
        let receiver = Side { cpu, peak: receiver_watch.peak() };
        Ok(Cost { wall: wall.as_secs_f64(), sender, receiver, arrivals })
    }
}

impl Cost {
    /// Notes it as that of a contender.
    pub(crate) fn note(&self, name: &str, samples: &mut Samples) {
        let mut push = |quantity: &str, value| samples.push(format!("{name} {quantity}"), value);
        push("wall", self.wall);
        push("send cpu", self.sender.cpu);
        push("receive cpu", self.receiver.cpu);
        push("send peak", as_f64(self.sender.peak));
        push("receive peak", as_f64(self.receiver.peak));
        if !self.arrivals.is_empty() {
            push("late rate", self.late_rate().unwrap_or(0.0));
        }
    }

    /// Bytes in a second that the receiving host received after [`WARMED_UP`]; `None` where all was over by then.
    pub(crate) fn late_rate(&self) -> Option<f64> {
        let mut late = self.arrivals.iter().filter(|(second, _)| *second >= WARMED_UP);
        let ((from, before), (to, after)) = (late.next()?, late.next_back()?);
        Some((after - before) / (to - from))
    }
}

/// How closely to look at what was fetched; it is never part of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Every byte.
    Bytes,
    /// That it is there: the same contender has passed [`Check::Bytes`] before.
    Presence,
    /// Nothing: the contender drops what it receives.
    Nothing,
}

impl Check {
    fn one(self, original: &Original, got: &Path) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Presence => {
                let there = fs::metadata(got).with_context(|| format!("{} is not there", got.display()))?;
                ensure!(there.is_dir() || there.len() == original.size, "{} bytes arrived", there.len());
                Ok(())
            }
            Self::Bytes => match Snapshot::of(&original.path)?.difference(&Snapshot::of(got)?) {
                None => Ok(()),
                Some(difference) => bail!("arrived changed: {difference}"),
            },
        }
    }
}

/// A size as a number to calculate with; exact for everything below eight petabytes.
#[expect(clippy::cast_precision_loss, reason = "no process has petabytes of memory, and no file here")]
pub(crate) fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// When a process ended, and whether by itself. What it used can still be read, as it is not waited for.
struct End {
    at: Instant,
    killed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SoFar {
    InTime,
    TooLong,
}

fn wait_for_end(pid: u32, mut look: impl FnMut(SoFar)) -> Result<End> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process has this number")?;
    let here = thread::current();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let waited = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let at = Instant::now();
            here.unpark();
            waited.map(|_| at)
        });
        let deadline = Instant::now() + PATIENCE;
        let mut killed = false;
        while !waiter.is_finished() {
            killed = Instant::now() > deadline;
            look(if killed { SoFar::TooLong } else { SoFar::InTime });
            thread::park_timeout(LOOK_EVERY);
        }
        match waiter.join() {
            Ok(at) => Ok(End { at: at.context("waiting for a process")?, killed }),
            Err(_) => bail!("waiting for a process panicked"),
        }
    })
}
