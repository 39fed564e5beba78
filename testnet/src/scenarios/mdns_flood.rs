//! A host that invents neighbours and cries them out by multicast to a daemon on the same cable.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hickory_proto::{
    op::{Message, OpCode},
    rr::{
        Name, RData, Record,
        rdata::{PTR, TXT},
    },
};
use libp2p::PeerId;

use crate::{
    netns::{Cable, Namespace},
    sample,
    shoal::{Daemon, Shoal},
    snapshot::Snapshot,
    table,
    vitals::Vitals,
};

/// What a daemon's memory may grow by.
pub const MAX_GROWTH: u64 = 32 << 20;

/// How many of the invented a daemon may dial, per second and at once.
pub const MAX_DIALS: u64 = 8;

/// Where multicast DNS is spoken.
const EVERYBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);

/// What libp2p's nodes answer for.
const SERVICE: &str = "_p2p._udp.local.";

/// Seconds for which an answer is to be remembered.
const TTL: u32 = 3600;

/// Answers per second: few enough that none is lost on the way.
const PER_SECOND: u32 = 2000;

/// Answers with which a daemon has more neighbours than it remembers.
const ENOUGH: u32 = 500;

/// How long dials are counted after the last answer: whatever waits to be dialled shows.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// The size of the file that is fetched at the end.
const SIZE: u64 = 8 << 20;

/// How much is cried.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Neighbours that are invented.
    pub names: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Datagrams that the daemon's host took for it; once it listens no more, there are none.
    pub heard: u64,
    /// Memory that the daemon gained at most, in bytes.
    pub growth: u64,
    /// Invented neighbours that it dialled.
    pub dials: u64,
    /// Time in which it did.
    pub elapsed: Duration,
}

/// Starts a daemon, cries, and fetches what the daemon shares.
///
/// # Errors
///
/// This process may not make network namespaces, or the daemon uses more than it may.
pub fn run(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let cable = Cable::lay()?;
    let [here, there] = cable.hosts();
    there.ip(&["route", "add", "224.0.0.0/4", "dev", there.name()])?;
    let file = dir.join("original/file.bin");
    sample::write_file(&file, 1, SIZE)?;
    let start = |host: &Namespace, name: &str, more: &[&str]| {
        let args = [&["--network", shoal.network()], more].concat();
        Daemon::start(&shoal.under(&host.wrapper()), &dir.join(name), &args)
    };
    let daemon = start(here, "here", &["--listen", "/ip4/10.66.0.1/tcp/0"])?;
    let cid = daemon.publish_alone(&file)?;

    let outcome = cry(&daemon, here, there, options.names)?;
    writeln!(
        out,
        "of {} invented neighbours {} were listened to within {}: {} dialled, memory grew by {}",
        options.names,
        outcome.heard,
        table::time(outcome.elapsed),
        outcome.dials,
        table::size(outcome.growth),
    )?;
    let getter = start(there, "there", &["--no-mdns", "--peer", &daemon.address()?])?;
    let target = dir.join("got.bin");
    getter.run(&["get".as_ref(), cid.as_ref(), "-o".as_ref(), target.as_os_str()])?;
    if let Some(difference) = Snapshot::of(&file)?.difference(&Snapshot::of(&target)?) {
        bail!("the file arrived changed: {difference}");
    }
    writeln!(out, "what it shares was fetched afterwards")?;
    getter.stop()?;
    daemon.stop()?;

    if outcome.heard < u64::from(options.names.min(ENOUGH)) {
        bail!("hardly any came through, which says nothing");
    }
    let may_dial = MAX_DIALS * (outcome.elapsed.as_secs() + 1);
    if outcome.dials > may_dial || outcome.growth > MAX_GROWTH {
        bail!("at most {may_dial} dials and {} are allowed", table::size(MAX_GROWTH));
    }
    Ok(outcome)
}

fn cry(daemon: &Daemon, here: &Namespace, there: &Namespace, names: u32) -> Result<Outcome> {
    let heard_before = here.within(|| count("Udp", "InDatagrams"))?;
    // Nobody listens where the invented are said to be, so that each dial is answered by a reset.
    let dials_before = there.within(|| count("Tcp", "OutRsts"))?;
    let pid = daemon.pid();
    let quiet = Vitals::of(pid)?.resident;
    let (start, is_over) = (Instant::now(), AtomicBool::new(false));
    let peak = thread::scope(|scope| {
        let watch = scope.spawn(|| -> Result<u64> {
            let mut peak = quiet;
            while !is_over.load(Ordering::Relaxed) {
                peak = peak.max(Vitals::of(pid)?.resident);
                thread::sleep(Duration::from_millis(50));
            }
            Ok(peak)
        });
        let cried = there.within(|| cry_out(names));
        // Nothing is waited for here: what is dialled in this time is what is measured.
        thread::sleep(AFTERWARDS);
        is_over.store(true, Ordering::Relaxed);
        let peak = watch.join();
        cried?;
        peak.unwrap_or_else(|_| bail!("nobody watched the daemon"))
    })?;
    Ok(Outcome {
        heard: here.within(|| count("Udp", "InDatagrams"))? - heard_before,
        growth: peak - quiet,
        dials: there.within(|| count("Tcp", "OutRsts"))? - dials_before,
        elapsed: start.elapsed(),
    })
}

/// Says to everybody on this host's cable that so many peers are at ports of this host.
fn cry_out(names: u32) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let start = Instant::now();
    for number in 0..names {
        let port = 1024 + number % 60_000;
        socket.send_to(&answer(number, port)?, EVERYBODY).context("could not cry")?;
        let due = start + Duration::from_secs(1) * number / PER_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// An answer that nobody asked for.
fn answer(number: u32, port: u32) -> Result<Vec<u8>> {
    let name: Name = format!("invented-{number}.").parse()?;
    let text = format!("dnsaddr=/ip4/10.66.0.2/tcp/{port}/p2p/{}", PeerId::random());
    let mut message = Message::response(0, OpCode::Query);
    message.add_answer(Record::from_rdata(SERVICE.parse()?, TTL, RData::PTR(PTR(name.clone()))));
    message.add_additional(Record::from_rdata(name, TTL, RData::TXT(TXT::new(vec![text]))));
    Ok(message.to_vec()?)
}

/// One of the kernel's counts for the network namespace of this thread.
fn count(protocol: &str, what: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let (names, numbers) = lines.next().zip(lines.next()).context("the kernel counts nothing")?;
    let place = names.split(' ').position(|name| name == what);
    let number = place.and_then(|place| numbers.split(' ').nth(place)?.parse().ok());
    number.with_context(|| format!("the kernel does not count {what}"))
}
