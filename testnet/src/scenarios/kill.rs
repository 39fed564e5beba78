//! A get whose processes are killed with -9 again and again, which must neither lose nor repeat much.

mod moments;

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use shoal_gateway::json::Event;

use self::moments::{Moments, Survival};
use crate::{
    sample,
    shoal::{Daemon, Running, Shoal},
    snapshot::Snapshot,
    table,
};

/// How often to kill.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The size of the file, in bytes.
    pub size: u64,
    /// How many times to kill.
    pub kills: u32,
    /// Decides about the moments and the bytes.
    pub seed: u64,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How many times a process was killed before the get was done.
    pub kills: u32,
    /// Bytes of content that the provider counted as sent for it, in all its lives.
    pub sent: u64,
    /// From the first start of the get to its end.
    pub elapsed: Duration,
}

impl Outcome {
    /// Bytes sent for a hundred bytes of the file, rounded up.
    pub fn percent_of(&self, size: u64) -> u64 {
        self.sent.saturating_mul(100).div_ceil(size.max(1))
    }
}

/// Kills the one who gets: each start goes on where the one before was, and the last ends with the right bytes.
///
/// # Errors
///
/// A get fails by itself, or the bytes are wrong.
pub fn getter(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let scene = Scene::set(shoal, dir, options)?;
    let mut moments = scene.measure(options)?;
    let sent_before = scene.provider.status()?.sent;
    let start = Instant::now();
    let mut kills = 0;
    while kills < options.kills {
        let moment = moments.next();
        let get = scene.start_get("getter")?;
        if moments::wait_for(&get, &moment)? == Survival::Ended {
            break;
        }
        get.process().kill()?;
        kills += 1;
        writeln!(out, "killed the getter {moment}, {kills} of {}", options.kills)?;
    }
    scene.start_get("getter")?.finish()?;
    let elapsed = start.elapsed();
    scene.check("getter")?;
    let sent = scene.provider.status()?.sent.saturating_sub(sent_before);
    scene.end()?;
    Ok(Outcome { kills, sent, elapsed })
}

/// Kills the one who provides, and starts it again: the get goes on by itself and ends with the right bytes.
///
/// # Errors
///
/// The get fails, or the bytes are wrong.
pub fn provider(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let mut scene = Scene::set(shoal, dir, options)?;
    let mut moments = scene.measure(options)?;
    let mut counted = scene.provider.status()?.sent;
    let (mut sent, mut kills, mut verified) = (0, 0, 0);
    let start = Instant::now();
    let get = scene.start_get("getter")?;
    loop {
        if kills == options.kills {
            get.finish()?;
            break;
        }
        // Every life of the provider is of some use before it ends.
        let Some(bytes) = progress_beyond(&get, verified)? else { break };
        verified = bytes;
        thread::sleep(moments.soon());
        // While the getter does not read, the count stands still, and can be taken to the grave exactly.
        if !get.process().freeze()? {
            get.finish()?;
            break;
        }
        sent += final_count(&scene.provider)?.saturating_sub(counted);
        counted = 0;
        scene.provider.kill_and_restart()?;
        get.process().thaw()?;
        kills += 1;
        writeln!(out, "killed the provider after {}, {kills} of {}", table::size(verified), options.kills)?;
    }
    let elapsed = start.elapsed();
    scene.check("getter")?;
    sent += scene.provider.status()?.sent.saturating_sub(counted);
    scene.end()?;
    Ok(Outcome { kills, sent, elapsed })
}

/// Bytes that the provider has sent, once it sends no more.
fn final_count(provider: &Daemon) -> Result<u64> {
    let mut sent = provider.status()?.sent;
    loop {
        let now = provider.status()?.sent;
        if now == sent {
            return Ok(sent);
        }
        sent = now;
    }
}

/// Waits until more than `verified` bytes are there, and tells how many; `None` when the get is done.
fn progress_beyond(get: &Running, verified: u64) -> Result<Option<u64>> {
    loop {
        match get.next()? {
            Event::Progress(progress) if progress.bytes > verified => return Ok(Some(progress.bytes)),
            Event::Done(done) if done.ok => return Ok(None),
            Event::Done(done) => bail!("the get failed: {done:?}"),
            _ => {}
        }
    }
}

/// A provider with a file, and a third node over which others find it.
struct Scene {
    shoal: Shoal,
    dir: PathBuf,
    hub: Daemon,
    provider: Daemon,
    original: Snapshot,
    cid: String,
}

impl Scene {
    fn set(shoal: &Shoal, dir: &Path, options: &Options) -> Result<Self> {
        let file = dir.join("original/large.bin");
        sample::write_file(&file, options.seed, options.size)?;
        let hub = Daemon::start(shoal, &dir.join("hub"), &shoal.on_loopback())?;
        let provider = Daemon::start(shoal, &dir.join("provider"), &told_of(shoal, &hub)?)?;
        let cid = provider.publish(&file)?;
        let original = Snapshot::of(&file)?;
        Ok(Self { shoal: shoal.clone(), dir: dir.to_owned(), hub, provider, original, cid })
    }

    /// Starts a get in a process of its own, on the home of that name.
    fn start_get(&self, name: &str) -> Result<Running> {
        let mut args: Vec<OsString> = vec!["get".into(), self.cid.clone().into(), "-o".into()];
        args.push(self.target(name).into());
        args.extend(told_of(&self.shoal, &self.hub)?.into_iter().map(OsString::from));
        self.shoal.start(&self.dir.join(name), &args)
    }

    /// Gets the file once without killing anybody, to learn how long that takes.
    fn measure(&self, options: &Options) -> Result<Moments> {
        let moments = Moments::of(&self.start_get("undisturbed")?, options);
        self.check("undisturbed")?;
        fs::remove_file(self.target("undisturbed"))?;
        moments
    }

    fn target(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.bin"))
    }

    fn check(&self, name: &str) -> Result<()> {
        let target = self.target(name);
        let got = Snapshot::of(&target).with_context(|| format!("{} is not there", target.display()))?;
        match self.original.difference(&got) {
            None => Ok(()),
            Some(difference) => bail!("the file arrived changed: {difference}"),
        }
    }

    fn end(self) -> Result<()> {
        self.provider.stop()?;
        self.hub.stop()
    }
}

fn told_of(shoal: &Shoal, hub: &Daemon) -> Result<Vec<String>> {
    let mut options = shoal.on_loopback();
    options.extend(["--peer".to_owned(), hub.address()?]);
    Ok(options)
}
