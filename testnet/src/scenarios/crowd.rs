//! Many who fetch the same at once from one, and one who fetches from many: every node with a limited uplink.
//!
//! `--up` stands in for the link. What the times are held against is the fluid bound: the time that a perfect plan
//! would take if bytes were water.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use shoal_gateway::json::{Event, Fetched};

use crate::{
    sample,
    shoal::{Daemon, Running, Shoal},
    snapshot::Snapshot,
    table::{self, Table},
};

/// How many, how much, how fast.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The size of the file, in bytes.
    pub size: u64,
    /// In how many files it is; more than one are a directory.
    pub files: u64,
    /// How many fetch it, or have it.
    pub peers: usize,
    /// What each node may send, in bytes per second.
    pub up: u64,
    /// Whether those who fetch leave as soon as they have it all.
    pub leave: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Until the last one had everything.
    pub elapsed: Duration,
    /// The fluid bound.
    pub bound: Duration,
    /// Bytes of content and hashes that were sent, by the one who had it first or by all who had it.
    pub sent: u64,
}

impl Outcome {
    /// The time taken, as a multiple of the bound.
    pub fn of_bound(&self) -> f64 {
        self.elapsed.as_secs_f64() / self.bound.as_secs_f64()
    }

    /// What was sent, as a multiple of the file.
    pub fn of_size(&self, size: u64) -> f64 {
        self.sent as f64 / size.max(1) as f64
    }
}

/// One has a file, and all others fetch it at the same time.
///
/// # Errors
///
/// A get fails, or brings the wrong bytes.
pub fn one_to_many(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let original = original(dir, options)?;
    let seed = Daemon::start(shoal, &dir.join("seed"), &node(shoal, Some(options.up), None))?;
    let cid = seed.publish_alone(&original)?;
    let known = seed.address()?;
    let mut names = Vec::new();
    let mut daemons = Vec::new();
    for number in 1..=options.peers {
        let name = format!("receiver-{number}");
        if !options.leave {
            let node = node(shoal, Some(options.up), Some(&known));
            daemons.push(Daemon::start(shoal, &dir.join(&name), &node)?);
        }
        names.push(name);
    }
    let start = Instant::now();
    let gets = names.iter().map(|name| {
        let mut args: Vec<OsString> = vec!["get".into(), cid.clone().into(), "-o".into()];
        args.push(dir.join("got").join(name).into());
        if options.leave {
            args.extend(node(shoal, Some(options.up), Some(&known)).into_iter().map(OsString::from));
        }
        shoal.start(&dir.join(name), &args)
    });
    let gets: Vec<Running> = gets.collect::<Result<_>>()?;
    let fetched: Vec<Fetched> = gets.into_iter().map(fetched).collect::<Result<_>>()?;
    let elapsed = start.elapsed();

    let seed_id = &seed.ready().peer_id;
    let mut rows = Table::new(&["who", "time", "from the first", "from others", "senders"]);
    for (name, fetched) in names.iter().zip(&fetched) {
        let first =
            fetched.sources.iter().filter(|source| source.peer == *seed_id).map(|source| source.bytes);
        let first: u64 = first.sum();
        let all: u64 = fetched.sources.iter().map(|source| source.bytes).sum();
        rows.row([
            name.clone(),
            table::time(Duration::from_millis(fetched.elapsed_ms)),
            table::size(first),
            table::size(all.saturating_sub(first)),
            fetched.sources.iter().filter(|source| source.bytes > 0).count().to_string(),
        ]);
    }
    writeln!(out, "{rows}")?;
    let sent = seed.status()?.sent;
    check(&original, &dir.join("got"), &names)?;
    for daemon in daemons.into_iter().chain([seed]) {
        daemon.stop()?;
    }
    let peers = options.peers as f64;
    // The first must send everything once, and all together must send it to each.
    let (size, up) = (options.size as f64, options.up.max(1) as f64);
    let bound = Duration::from_secs_f64((size / up).max(peers * size / (up * (peers + 1.0))));
    Ok(Outcome { elapsed, bound, sent })
}

/// Many have a file, and one fetches it. With `kill`, one of the many is killed when half of it is there.
///
/// # Errors
///
/// The get fails, or brings the wrong bytes.
pub fn many_to_one(
    shoal: &Shoal,
    dir: &Path,
    options: &Options,
    kill: Kill,
    out: &mut dyn Write,
) -> Result<Outcome> {
    let original = original(dir, options)?;
    let mut sources: Vec<Daemon> = Vec::new();
    let mut cid = String::new();
    for number in 1..=options.peers {
        let known = sources.first().map(Daemon::address).transpose()?;
        let node = node(shoal, Some(options.up), known.as_deref());
        let source = Daemon::start(shoal, &dir.join(format!("source-{number}")), &node)?;
        cid = source.publish_alone(&original)?;
        sources.push(source);
    }
    let known = sources.first().context("no sources")?.address()?;
    let getter = Daemon::start(shoal, &dir.join("getter"), &node(shoal, None, Some(&known)))?;
    let start = Instant::now();
    let args = ["get".into(), cid.into(), "-o".into(), dir.join("got").join("getter").into_os_string()];
    let get = shoal.start(&dir.join("getter"), &args)?;
    let mut sent = 0;
    let mut killed_at = None;
    let mut waits = kill == Kill::One;
    while waits {
        match get.next()? {
            Event::Progress(progress) if progress.bytes * 2 >= options.size => {
                let victim = sources.pop().context("no sources")?;
                sent += victim.status()?.sent;
                drop(victim);
                killed_at = Some(progress.bytes);
                waits = false;
            }
            Event::Done(done) => bail!("the get was over too soon: {done:?}"),
            _ => {}
        }
    }
    let fetched = fetched(get)?;
    let elapsed = start.elapsed();
    let mut rows = Table::new(&["source", "bytes"]);
    for source in &fetched.sources {
        rows.row([source.peer.clone(), table::size(source.bytes)]);
    }
    writeln!(out, "{rows}")?;
    for source in &sources {
        sent += source.status()?.sent;
    }
    check(&original, &dir.join("got"), &["getter".to_owned()])?;
    for daemon in sources.into_iter().chain([getter]) {
        daemon.stop()?;
    }
    let all = options.up as f64 * options.peers as f64;
    let before = killed_at.unwrap_or(options.size) as f64;
    let after = options.size as f64 - before;
    let bound = Duration::from_secs_f64(before / all + after / (all - options.up as f64).max(1.0));
    Ok(Outcome { elapsed, bound, sent })
}

/// Whether one of the sources is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// All live to the end.
    Nobody,
    /// One dies half way.
    One,
}

fn original(dir: &Path, options: &Options) -> Result<PathBuf> {
    fs::create_dir_all(dir.join("got"))?;
    let path = dir.join("original");
    if options.files == 1 {
        sample::write_file(&path, 1, options.size)?;
        return Ok(path);
    }
    fs::create_dir(&path)?;
    for number in 0..options.files {
        let name = format!("file-{number:03}.bin");
        sample::write_file(&path.join(name), number + 1, options.size / options.files.max(1))?;
    }
    Ok(path)
}

fn node(shoal: &Shoal, up: Option<u64>, known: Option<&str>) -> Vec<String> {
    let mut options = shoal.on_loopback();
    options.extend(up.into_iter().flat_map(|up| ["--up".to_owned(), up.to_string()]));
    options.extend(known.into_iter().flat_map(|known| ["--peer".to_owned(), known.to_owned()]));
    options
}

fn fetched(get: Running) -> Result<Fetched> {
    let events = get.finish()?;
    let fetched = events.into_iter().find_map(|event| match event {
        Event::Fetched(fetched) => Some(fetched),
        _ => None,
    });
    fetched.context("nothing was fetched")
}

fn check(original: &Path, got: &Path, names: &[String]) -> Result<()> {
    let original = Snapshot::of(original)?;
    for name in names {
        if let Some(difference) = original.difference(&Snapshot::of(&got.join(name))?) {
            bail!("{name} has something else: {difference}");
        }
    }
    Ok(())
}
