//! Two hosts on one cable that know nothing of each other and find each other by multicast.

use std::{
    ffi::OsStr,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    netns::{Cable, Namespace},
    sample,
    shoal::{Daemon, Shoal},
    snapshot::Snapshot,
    table,
};

/// How long it may take from both daemons being up to the file being there.
pub const LIMIT: Duration = Duration::from_secs(5);

/// The size of the file: what takes time here is meeting, not moving bytes.
const SIZE: u64 = 8 << 20;

/// Starts a daemon on each of two hosts, publishes on one and gets on the other, by CID alone.
///
/// # Errors
///
/// This process may not make network namespaces, or it took longer than [`LIMIT`].
pub fn run(shoal: &Shoal, dir: &Path, out: &mut dyn Write) -> Result<()> {
    let cable = Cable::lay()?;
    let file = dir.join("original/file.bin");
    sample::write_file(&file, 1, SIZE)?;

    let [a, b] = cable.hosts();
    let a = start(shoal, a, &dir.join("host-a"))?;
    let b = start(shoal, b, &dir.join("host-b"))?;
    let both_up = Instant::now();
    writeln!(out, "host a is {}, host b is {}", a.ready().peer_id, b.ready().peer_id)?;

    let cid = a.publish(&file)?;
    let published = both_up.elapsed();
    let target = dir.join("got.bin");
    b.run(&[OsStr::new("get"), OsStr::new(&cid), OsStr::new("-o"), target.as_os_str()])?;
    let got = both_up.elapsed();
    if let Some(difference) = Snapshot::of(&file)?.difference(&Snapshot::of(&target)?) {
        bail!("the file arrived changed: {difference}");
    }
    writeln!(
        out,
        "published and announced {} after both were up, got {}",
        table::time(published),
        table::time(got)
    )?;
    if got > LIMIT {
        bail!("that is more than {} s", LIMIT.as_secs());
    }
    a.stop()?;
    b.stop()
}

/// A daemon as a user starts it: no peer, no address, nothing but a network's name.
fn start(shoal: &Shoal, host: &Namespace, home: &Path) -> Result<Daemon> {
    let daemon = Daemon::start(&shoal.under(&host.wrapper()), home, &["--network", shoal.network()]);
    daemon.with_context(|| format!("on {}", home.display()))
}
