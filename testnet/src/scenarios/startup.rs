//! How long a daemon takes to be ready, and what it costs while nobody wants anything of it.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    shoal::{Daemon, Shoal},
    table,
    vitals::Vitals,
    wait::DEADLINE,
};

/// What may be started in one command: a command line has a limit.
const PATHS_AT_ONCE: usize = 4000;

/// How often to look whether the peers have met.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Starts of each kind; the median is reported.
    pub starts: usize,
    /// Files that are published one by one before the starts of the second kind.
    pub shares: usize,
    /// Peers of the idle daemon.
    pub peers: usize,
    /// How long it is watched being idle, after as long a time to settle.
    pub watch: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { starts: 11, shares: 2000, peers: 20, watch: Duration::from_secs(20) }
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// From the start of the process to its line `ready`, with a home that did not exist.
    pub empty: Duration,
    /// The same with all shares in the home.
    pub full: Duration,
    /// Memory of an idle daemon with an empty home and no peers.
    pub resident_alone: u64,
    /// Memory of one with all shares, right after its start.
    pub resident_full: u64,
    /// Memory of one with peers.
    pub resident_met: u64,
    /// The part of one core that the idle daemon with peers uses.
    pub load: f64,
}

/// Measures all of it and prints each number as it is known.
///
/// # Errors
///
/// A daemon does not start, or the peers do not meet.
pub fn run(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let (empty, resident_alone) = of_empty_homes(shoal, dir, options)?;
    writeln!(
        out,
        "empty home: ready after {}, {} resident",
        milliseconds(empty),
        table::size(resident_alone)
    )?;

    let home = dir.join("full");
    let took = share(shoal, dir, &home, options.shares)?;
    writeln!(out, "{} files published one by one in {}", options.shares, table::time(took))?;
    let (full, resident_full) = of_starts(options.starts, || Ok(home.clone()), shoal)?;
    writeln!(
        out,
        "{} shares: ready after {}, {} resident",
        options.shares,
        milliseconds(full),
        table::size(resident_full)
    )?;

    let (resident_met, load) = idle(shoal, dir, options)?;
    writeln!(
        out,
        "idle with {} peers: {} resident, {:.3} % of a core",
        options.peers,
        table::size(resident_met),
        load * 100.0
    )?;
    Ok(Outcome { empty, full, resident_alone, resident_full, resident_met, load })
}

fn of_empty_homes(shoal: &Shoal, dir: &Path, options: &Options) -> Result<(Duration, u64)> {
    let mut count = 0;
    let fresh = || {
        count += 1;
        Ok(dir.join(format!("empty-{count}")))
    };
    of_starts(options.starts, fresh, shoal)
}

/// Starts daemons one after the other; the median time to be ready, and of memory once that is so.
fn of_starts(
    starts: usize,
    mut home: impl FnMut() -> Result<std::path::PathBuf>,
    shoal: &Shoal,
) -> Result<(Duration, u64)> {
    let mut times = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..starts {
        let home = home()?;
        let started = Instant::now();
        let daemon = Daemon::start(shoal, &home, &shoal.on_loopback())?;
        times.push(started.elapsed());
        memory.push(Vitals::of(daemon.pid())?.resident);
        daemon.stop()?;
    }
    Ok((median(times).context("no start was asked for")?, median(memory).context("no start was asked for")?))
}

/// Publishes `count` small files, each a share of its own.
fn share(shoal: &Shoal, dir: &Path, home: &Path, count: usize) -> Result<Duration> {
    let folder = dir.join("files");
    let paths: Vec<_> =
        (0..count).map(|number| folder.join((number / 1000).to_string()).join(number.to_string())).collect();
    for (number, path) in paths.iter().enumerate() {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, format!("file {number}"))?;
    }
    let daemon = Daemon::start(shoal, home, &shoal.on_loopback())?;
    let started = Instant::now();
    for paths in paths.chunks(PATHS_AT_ONCE) {
        let words =
            ["publish".into()].into_iter().chain(paths.iter().map(|path| path.clone().into_os_string()));
        daemon.run(&words.collect::<Vec<OsString>>())?;
    }
    let took = started.elapsed();
    let shares = daemon.status()?.shares;
    if shares != count as u64 {
        bail!("{shares} of {count} files are shared");
    }
    daemon.stop()?;
    Ok(took)
}

/// What a daemon uses that has peers and nothing to do.
fn idle(shoal: &Shoal, dir: &Path, options: &Options) -> Result<(u64, f64)> {
    let daemon = Daemon::start(shoal, &dir.join("idle"), &shoal.on_loopback())?;
    let joining = [shoal.on_loopback(), vec!["--peer".into(), daemon.address()?]].concat();
    let peers = (0..options.peers).map(|number| {
        let home = dir.join(format!("peer-{number}"));
        Daemon::start(shoal, &home, &joining)
    });
    let peers = peers.collect::<Result<Vec<_>>>()?;
    let deadline = Instant::now() + DEADLINE;
    while daemon.status()?.members < options.peers as u64 {
        if Instant::now() >= deadline {
            bail!("only {} of {} peers are connected", daemon.status()?.members, options.peers);
        }
        thread::sleep(LOOK_EVERY);
    }
    // Nothing is waited for here: the time itself is what is measured.
    thread::sleep(options.watch);
    let before = Vitals::of(daemon.pid())?;
    thread::sleep(options.watch);
    let after = Vitals::of(daemon.pid())?;
    for peer in peers {
        peer.stop()?;
    }
    daemon.stop()?;
    Ok((after.resident, after.load_since(&before)))
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
