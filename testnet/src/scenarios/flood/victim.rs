//! The daemon that is flooded, and what the flood costs it and an honest peer.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use libp2p::Multiaddr;

use crate::{
    sample,
    shoal::{Daemon, Shoal},
    snapshot::Snapshot,
    vitals::Vitals,
    wait::DEADLINE,
};

/// What an honest peer gets while the flood goes on.
const SIZE: u64 = 10 << 20;

/// Files that a daemon may have open above what it had before, once a flood is over: connections of those who got
/// something are kept for a minute.
const SLACK_FILES: usize = 8;

/// How often to look again at what cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What one flood cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// How much more memory the daemon had at its worst moment than before, in bytes.
    pub memory: u64,
    /// How many more files were open at its worst moment.
    pub open_files: usize,
    /// How long an honest get took before.
    pub quiet: Duration,
    /// And during the flood.
    pub flooded: Duration,
    /// How long it took until the files were closed again.
    pub recovered: Duration,
}

/// A daemon that is flooded, and an honest one that gets a file from it.
#[derive(Debug)]
pub struct Victim {
    daemon: Daemon,
    honest: Daemon,
    cid: String,
    original: PathBuf,
    dir: PathBuf,
    pub(super) network: String,
    gets: u32,
}

impl Victim {
    /// Starts both daemons, and a file to get.
    ///
    /// # Errors
    ///
    /// One of them does not start.
    pub fn start(shoal: &Shoal, dir: &Path) -> Result<Self> {
        let original = dir.join("original.bin");
        sample::write_file(&original, 1, SIZE)?;
        let daemon = Daemon::start(shoal, &dir.join("victim"), &shoal.on_loopback())?;
        let joining = [shoal.on_loopback(), vec!["--peer".into(), daemon.address()?]].concat();
        let honest = Daemon::start(shoal, &dir.join("honest"), &joining)?;
        let cid = daemon.publish(&original)?;
        let network = shoal.network().to_owned();
        Ok(Self { daemon, honest, cid, original, dir: dir.to_owned(), network, gets: 0 })
    }

    /// Gets the file on the honest daemon, which has to fetch it anew each time.
    fn get(&mut self) -> Result<Duration> {
        self.gets += 1;
        let target = self.dir.join(format!("got-{}.bin", self.gets));
        let started = Instant::now();
        self.honest.run(&[
            OsStr::new("get"),
            OsStr::new(&self.cid),
            OsStr::new("--no-seed"),
            OsStr::new("-o"),
            target.as_os_str(),
        ])?;
        let took = started.elapsed();
        if let Some(difference) = Snapshot::of(&self.original)?.difference(&Snapshot::of(&target)?) {
            bail!("the file arrived changed: {difference}");
        }
        std::fs::remove_file(target)?;
        Ok(took)
    }

    /// Lets `flood` go on while the honest daemon gets the file again and again, at least once, and looks at what
    /// that costs.
    pub(super) fn under(&mut self, flood: impl FnOnce() -> Result<()> + Send) -> Result<Cost> {
        let quiet = self.get()?;
        let pid = self.daemon.pid();
        let before = Vitals::of(pid)?;
        let is_over = AtomicBool::new(false);
        let (worst, flooded) = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let _over = AtTheEnd(&is_over);
                flood()
            });
            let watch = scope.spawn(|| {
                let mut worst = before;
                while !is_over.load(Ordering::Relaxed) {
                    let now = Vitals::of(pid)?;
                    worst.resident = worst.resident.max(now.resident);
                    worst.open_files = worst.open_files.max(now.open_files);
                    thread::sleep(LOOK_EVERY);
                }
                anyhow::Ok(worst)
            });
            let mut slowest = Duration::ZERO;
            let mut gets = || {
                while slowest.is_zero() || !is_over.load(Ordering::Relaxed) {
                    slowest = slowest.max(self.get()?);
                }
                anyhow::Ok(())
            };
            let got = gets();
            let worst = watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))??;
            flood.join().map_err(|_| anyhow::anyhow!("the flood panicked"))??;
            got.context("an honest get during the flood")?;
            anyhow::Ok((worst, slowest))
        })?;
        let over = Instant::now();
        loop {
            let open_files = Vitals::of(pid)?.open_files;
            if open_files <= before.open_files + SLACK_FILES {
                break;
            }
            if over.elapsed() >= DEADLINE {
                bail!("{open_files} files are still open after the flood, {} before it", before.open_files);
            }
            thread::sleep(LOOK_EVERY);
        }
        if self.daemon.status()?.panics > 0 {
            bail!("a task of the daemon panicked");
        }
        Ok(Cost {
            memory: worst.resident.saturating_sub(before.resident),
            open_files: worst.open_files.saturating_sub(before.open_files),
            quiet,
            flooded,
            recovered: over.elapsed(),
        })
    }

    /// Stops both daemons.
    ///
    /// # Errors
    ///
    /// One of them does not stop in time.
    pub fn stop(self) -> Result<()> {
        self.honest.stop()?;
        self.daemon.stop()
    }

    pub(super) fn address(&self) -> Result<Multiaddr> {
        Ok(self.daemon.address()?.parse()?)
    }

    pub(super) fn protocols(&self) -> impl Iterator<Item = String> + use<> {
        let network = self.network.clone();
        ["have/1", "range/1", "lan/announce/1", "lan/find/1"]
            .into_iter()
            .map(move |name| format!("/shoal/{network}/{name}"))
    }
}

/// Tells that something is over, also when it panicked.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
