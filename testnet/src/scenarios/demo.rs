//! A network of real daemons on this machine, in which one gets by CID alone what another one published.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use shoal_gateway::json::{Event, Fetched, Looked};

use crate::{
    sample,
    shoal::{Daemon, Shoal},
    snapshot::Snapshot,
    table::{self, Table},
};

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many daemons.
    pub nodes: usize,
    /// The size of the large file, in bytes.
    pub size: u64,
    /// How many files the tree has.
    pub files: usize,
    /// Decides about the bytes.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 5, size: 256 << 20, files: 300, seed: 1 }
    }
}

/// Runs the demo in `dir`, telling `out` what happens.
///
/// # Errors
///
/// Something did not work as it should; no daemon is left running.
pub fn run(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<()> {
    if options.nodes < 2 {
        bail!("the demo needs two nodes at least");
    }
    writeln!(out, "making a tree of {} files and a file of {}", options.files, table::size(options.size))?;
    let things = make_things(dir, options)?;

    let mut daemons = Vec::new();
    for number in 1..=options.nodes {
        let known = daemons.last().map(Daemon::address).transpose()?;
        let told = if number == 1 { "nobody".into() } else { format!("daemon {} alone", number - 1) };
        let mut args = shoal.on_loopback();
        args.extend(known.into_iter().flat_map(|address| ["--peer".to_owned(), address]));
        let daemon = Daemon::start(shoal, &dir.join(format!("daemon-{number}")), &args)?;
        writeln!(out, "daemon {number}  {}  told of {told}", daemon.ready().peer_id)?;
        daemons.push(daemon);
    }
    let (Some(publisher), Some(getter)) = (daemons.first(), daemons.last()) else { bail!("no daemons") };

    let mut rows =
        Table::new(&["what", "files", "size", "had by", "found by", "asked", "hops", "time", "rate"]);
    for thing in &things {
        let cid = publisher.publish(&thing.path)?;
        writeln!(out, "\ndaemon 1 shares {cid}  {}", thing.name)?;
        writeln!(out, "daemon {} runs `shoal get {cid}`", options.nodes)?;
        let found = find(getter, &cid)?;
        let fetched = get(getter, &cid, &dir.join("got").join(thing.name))?;
        let published = Snapshot::of(&thing.path)?;
        let got = Snapshot::of(Path::new(fetched.path.as_deref().context("the bytes went somewhere else")?))?;
        if let Some(difference) = published.difference(&got) {
            bail!("{} arrived changed: {difference}", thing.name);
        }
        let sources =
            fetched.sources.iter().map(|source| name_of(&daemons, &source.peer)).collect::<Vec<_>>();
        let time = Duration::from_millis(fetched.elapsed_ms);
        rows.row([
            thing.name.to_owned(),
            got.files().to_string(),
            table::size(got.size()),
            sources.join(", "),
            found.via,
            found.looked.asked.to_string(),
            found.looked.hops.to_string(),
            table::time(time),
            table::rate(fetched.received, time),
        ]);
    }
    writeln!(out, "\nevery byte is the same (BLAKE3 of every file compared)\n\n{rows}")?;

    for daemon in daemons.into_iter().rev() {
        daemon.stop()?;
    }
    writeln!(out, "all {} daemons stopped by `shoal stop`", options.nodes)?;
    Ok(())
}

/// Something to publish.
struct Thing {
    name: &'static str,
    path: PathBuf,
}

fn make_things(dir: &Path, options: &Options) -> Result<[Thing; 2]> {
    let tree = Thing { name: "tree", path: dir.join("original/tree") };
    let file = Thing { name: "large.bin", path: dir.join("original/large.bin") };
    sample::write_tree(&tree.path, options.seed, options.files)?;
    sample::write_file(&file.path, options.seed, options.size)?;
    Ok([tree, file])
}

struct Found {
    via: String,
    looked: Looked,
}

/// How the network leads to a holder.
fn find(daemon: &Daemon, cid: &str) -> Result<Found> {
    let mut via = Vec::new();
    let mut looked = None;
    for event in daemon.run(&["find", cid])? {
        match event {
            Event::Holder(holder) => via.push(holder.via),
            Event::Looked(all) => looked = Some(all),
            _ => {}
        }
    }
    Ok(Found { via: via.join(", "), looked: looked.context("the search did not end")? })
}

fn get(daemon: &Daemon, cid: &str, to: &Path) -> Result<Fetched> {
    let events = daemon.run(&[OsStr::new("get"), OsStr::new(cid), OsStr::new("-o"), to.as_os_str()])?;
    let fetched = events.into_iter().find_map(|event| match event {
        Event::Fetched(fetched) => Some(fetched),
        _ => None,
    });
    fetched.with_context(|| format!("{cid} was not fetched"))
}

fn name_of(daemons: &[Daemon], peer: &str) -> String {
    let number = daemons.iter().position(|daemon| daemon.ready().peer_id == peer);
    number.map_or_else(|| peer.to_owned(), |number| format!("daemon {}", number + 1))
}
