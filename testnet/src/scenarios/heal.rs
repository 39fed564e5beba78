//! A network that is cut in two and joined again: both halves must find each other, and a get that runs must go on.

use std::{
    ffi::OsString,
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use shoal_gateway::json::Event;

use crate::{
    netns::{Cable, Namespace},
    sample,
    shoal::{Daemon, Running, Shoal},
    snapshot::Snapshot,
    table,
};

/// How long it may take from the cable being joined again to every table holding both halves.
pub const MEET_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to find what was published in the other half meanwhile.
pub const FIND_WITHIN: Duration = Duration::from_secs(60);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long the halves may take to meet at all, and the get to end.
const DEADLINE: Duration = Duration::from_secs(150);

/// Bytes of the file that is fetched while the cable is cut, and what the getter takes of it per second: it is far from
/// done when the cable is joined again.
const SIZE: u64 = 16 << 20;
const DOWN: &str = "500k";

/// How long the cable is cut.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// From `ip link set down` to `up`.
    pub cut: Duration,
}

/// What was measured, from the moment at which the cable was joined again.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Until the tables of all nodes held all others.
    pub met: Duration,
    /// Until something that was published in one half meanwhile was found in the other.
    pub found: Duration,
    /// Until the get was done that ran all the time.
    pub got: Duration,
}

/// Starts two daemons on each of two hosts, cuts the cable between them, and joins it again.
///
/// # Errors
///
/// This process may not make network namespaces, or something takes longer than it may.
pub fn run(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let cable = Cable::lay()?;
    let (large, news) = (dir.join("original/large.bin"), dir.join("original/news.bin"));
    sample::write_file(&large, 1, SIZE)?;
    sample::write_file(&news, 2, 1 << 20)?;

    let [first, second, third, fourth] = start(shoal, dir, &cable)?;
    let daemons = [&first, &second, &third, &fourth];
    let met = until_whole(&daemons)?;
    writeln!(out, "four nodes on two hosts met after {}", table::time(met))?;

    let cid = first.publish(&large)?;
    let target = dir.join("got.bin");
    let get = begin_get(&fourth, &cid, &target)?;
    set_link(&cable, "down")?;
    let news_cid = second.publish_alone(&news)?;
    // Nothing is waited for here: the cut itself is what is measured.
    thread::sleep(options.cut);
    set_link(&cable, "up")?;
    let joined = Instant::now();
    until_whole(&daemons)?;
    let met = joined.elapsed();
    while !finds(&fourth, &news_cid)? {
        if joined.elapsed() > DEADLINE {
            bail!("what was published in the other half is not found");
        }
        thread::sleep(LOOK_EVERY);
    }
    let found = joined.elapsed();
    get.finish()?;
    let got = joined.elapsed();
    if let Some(difference) = Snapshot::of(&large)?.difference(&Snapshot::of(&target)?) {
        bail!("the file arrived changed: {difference}");
    }
    writeln!(
        out,
        "cut for {}; joined again, all tables are whole after {}, news of the other half is found after {}, and the get \
         that ran all the time is done after {}",
        table::time(options.cut),
        table::time(met),
        table::time(found),
        table::time(got)
    )?;
    for daemon in [first, second, third, fourth] {
        daemon.stop()?;
    }
    if met > MEET_WITHIN || found > FIND_WITHIN {
        bail!("that is more than {} s and {} s", MEET_WITHIN.as_secs(), FIND_WITHIN.as_secs());
    }
    Ok(Outcome { met, found, got })
}

/// Starts two daemons on each host; all but the first know one that is there already, and the last one downloads slowly.
fn start(shoal: &Shoal, dir: &Path, cable: &Cable) -> Result<[Daemon; 4]> {
    let [here, there] = cable.hosts();
    let start = |host: &Namespace, address: &str, name: &str, knows: Option<&Daemon>, more: &[&str]| {
        let mut args: Vec<OsString> =
            ["--network", shoal.network(), "--no-mdns", "--listen"].map(OsString::from).into();
        args.push(format!("/ip4/{address}/tcp/0").into());
        if let Some(known) = knows {
            args.extend(["--peer".into(), known.address()?.into()]);
        }
        args.extend(more.iter().map(OsString::from));
        Daemon::start(&shoal.under(&host.wrapper()), &dir.join(name), &args)
    };
    let first = start(here, "10.66.0.1", "here-1", None, &[])?;
    let second = start(here, "10.66.0.1", "here-2", Some(&first), &[])?;
    let third = start(there, "10.66.0.2", "there-1", Some(&first), &[])?;
    let fourth = start(there, "10.66.0.2", "there-2", Some(&third), &["--down", DOWN])?;
    Ok([first, second, third, fourth])
}

/// Begins a get, and waits for its first bytes.
fn begin_get(daemon: &Daemon, cid: &str, target: &Path) -> Result<Running> {
    let get: Vec<OsString> = ["get", cid, "--timeout", "300s", "-o"].map(OsString::from).into();
    let get: Vec<_> = get.into_iter().chain([target.into()]).collect();
    let get = daemon.begin(&get)?;
    loop {
        if let Event::Progress(progress) = get.next()?
            && progress.bytes > 0
        {
            return Ok(get);
        }
    }
}

/// Sets both ends of the cable `up` or `down`.
fn set_link(cable: &Cable, state: &str) -> Result<()> {
    cable.hosts().iter().try_for_each(|host| host.ip(&["link", "set", host.name(), state]))
}

/// Waits until the table of every daemon holds all others.
fn until_whole(daemons: &[&Daemon]) -> Result<Duration> {
    let start = Instant::now();
    let others = daemons.len() as u64 - 1;
    for daemon in daemons {
        loop {
            let status = daemon.status()?;
            let known =
                status.overlays.iter().find(|overlay| overlay.scope == "lan").map_or(0, |lan| lan.peers);
            if known >= others {
                break;
            }
            if start.elapsed() > DEADLINE {
                bail!("a node knows {known} of {others} others");
            }
            thread::sleep(LOOK_EVERY);
        }
    }
    Ok(start.elapsed())
}

/// Whether a daemon finds somebody who has the content.
fn finds(daemon: &Daemon, cid: &str) -> Result<bool> {
    let events = daemon.run(&["find", cid])?;
    Ok(events.iter().any(|event| matches!(event, Event::Holder(_))))
}
