//! Strangers that want nothing but to be a burden: what they cost a daemon, and whether others are still served.

mod windows;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use libp2p::{Multiaddr, multiaddr::Protocol};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    intruder::{Intruder, Junk, feed, is_spoken, proposal},
    sample,
    shoal::{Daemon, Shoal},
    snapshot::Snapshot,
    table,
    vitals::Vitals,
    wait::DEADLINE,
};

/// What an honest peer gets while the flood goes on.
const SIZE: u64 = 10 << 20;

/// Files that this process may have open at a time, if the system lets it.
const OPEN_FILES: u64 = 4096;

/// Files that are left for everything else than silent connections.
const SPARE_FILES: u64 = 256;

/// How long a silent connection may take to be made. The kernel's queue may be full, and then it takes seconds.
const CONNECTING: Duration = Duration::from_millis(500);

/// Files that a daemon may have open above what it had before, once a flood is over: connections of those who got
/// something are kept for a minute.
const SLACK_FILES: usize = 8;

/// How often to look again at what cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a stream with junk on it may live: twice what a request may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// Strangers, and streams of each, in the floods of streams.
const STRANGERS: usize = 8;

/// Names of a crowd that try to connect at one moment.
const CROWD_AT_ONCE: usize = 50;

/// How long somebody from another address may take to be let in.
const HONEST_WAITS: Duration = Duration::from_secs(5);

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections that never speak.
    pub connections: usize,
    /// Streams that one stranger opens.
    pub streams: usize,
    /// Rounds of messages with wrong lengths on each protocol.
    pub bombs: usize,
    /// Names under which strangers connect from one address.
    pub names: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 10_000, streams: 10_000, bombs: 32, names: 500 }
    }
}

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

/// What a crowd from one address got.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crowd {
    /// How many of its connections the daemon held at the end.
    pub held: usize,
    /// How long somebody from elsewhere took to be connected and answered.
    pub honest: Duration,
}

/// A daemon that is flooded, and an honest one that gets a file from it.
#[derive(Debug)]
pub struct Victim {
    daemon: Daemon,
    honest: Daemon,
    cid: String,
    original: PathBuf,
    dir: PathBuf,
    network: String,
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
    fn under(&mut self, flood: impl FnOnce() -> Result<()> + Send) -> Result<Cost> {
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

    /// Opens so many connections that never say a word, as many of them at a time as this process may have.
    ///
    /// # Errors
    ///
    /// An honest peer was not served, or something was left behind.
    pub fn silence(&mut self, connections: usize) -> Result<Cost> {
        let address = socket(&self.address()?).context("no socket address")?;
        let at_once = usize::try_from(allow_files()?.saturating_sub(SPARE_FILES))?.max(16);
        self.under(move || {
            let mut open = Vec::new();
            for _ in 0..connections {
                if open.len() >= at_once {
                    open.clear();
                }
                // One that the kernel has no room for counts too: it was tried.
                open.extend(TcpStream::connect_timeout(&address, CONNECTING).ok());
            }
            Ok(())
        })
    }

    /// Opens so many streams on one connection, and on a new one whenever the daemon ends it.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`].
    pub fn streams(&mut self, streams: usize) -> Result<Cost> {
        let address = self.address()?;
        let begin = proposal(&format!("/shoal/{}/range/1", self.network));
        self.under(move || {
            runtime()?.block_on(async {
                let mut opened = 0;
                while opened < streams {
                    let intruder = Intruder::connect(&address).await?;
                    let mut kept = FuturesUnordered::new();
                    // A stream that cannot be opened means that the daemon has had enough of this connection.
                    while opened < streams
                        && let Ok(Some(stream)) = tokio::time::timeout(CONNECTING, intruder.open()).await
                    {
                        opened += 1;
                        kept.push(feed(stream, begin.clone(), Junk::Then(Vec::new()), PATIENCE));
                        // Lets the streams speak.
                        tokio::select! {
                            biased;
                            _ = kept.next() => {}
                            () = tokio::task::yield_now() => {}
                        }
                    }
                }
                Ok(())
            })
        })
    }

    /// Sends messages with wrong lengths on every protocol of ours; each stream must end.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`], or a stream lives on.
    pub fn bombs(&mut self, rounds: usize) -> Result<Cost> {
        let junk = [
            Junk::End(Vec::new()),
            Junk::End(vec![0; 4]),
            Junk::Endless(vec![0; 4]),
            Junk::Endless(vec![0xff; 4]),
            Junk::Endless(vec![0xff; 10]),
            Junk::Then(vec![0xff; 4]),
            Junk::End(vec![0, 0, 1, 0, 0x83]),
            Junk::Then(vec![0, 0, 1, 0, 0x83]),
        ];
        let streams = self.protocols().flat_map(|protocol| {
            std::iter::repeat_n(junk.clone(), rounds).flatten().map(move |junk| (protocol.clone(), junk))
        });
        let streams: Vec<_> = streams.collect();
        let address = self.address()?;
        self.under(move || all_end(&address, &streams))
    }

    /// Sends requests a byte a second, on every protocol of ours; each stream must end.
    ///
    /// # Errors
    ///
    /// As [`Victim::bombs`].
    pub fn trickles(&mut self) -> Result<Cost> {
        let slow = Junk::Trickle([vec![0, 0, 0, 120], vec![0x83; 120]].concat());
        let streams: Vec<_> =
            self.protocols().flat_map(|protocol| vec![(protocol, slow.clone()); 2 * STRANGERS]).collect();
        let address = self.address()?;
        self.under(move || all_end(&address, &streams))
    }

    /// Connects under so many names from one address, again and again, while somebody comes from another one.
    ///
    /// # Errors
    ///
    /// As [`Victim::silence`], or that somebody is not let in in time.
    pub fn identities(&mut self, names: usize) -> Result<(Cost, Crowd)> {
        let address = self.address()?;
        let mut crowd = Crowd::default();
        let cost = self.under(|| {
            crowd = runtime()?.block_on(crowd_in(&address, names))?;
            Ok(())
        })?;
        Ok((cost, crowd))
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

    fn address(&self) -> Result<Multiaddr> {
        Ok(self.daemon.address()?.parse()?)
    }

    fn protocols(&self) -> impl Iterator<Item = String> + use<> {
        let network = self.network.clone();
        ["have/1", "range/1", "lan/announce/1", "lan/find/1"]
            .into_iter()
            .map(move |name| format!("/shoal/{network}/{name}"))
    }
}

/// Lets names connect from one address until each has been tried; then somebody comes from another address.
async fn crowd_in(address: &Multiaddr, names: usize) -> Result<Crowd> {
    let [crowd, honest] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let tries = stream::iter(0..names).map(|_| async move {
        tokio::time::timeout(DEADLINE, Intruder::connect_from(crowd, address)).await.ok()?.ok()
    });
    let let_in: Vec<_> = tries.buffer_unordered(CROWD_AT_ONCE).filter_map(std::future::ready).collect().await;
    let came = Instant::now();
    let somebody = tokio::time::timeout(HONEST_WAITS, async {
        let somebody = Intruder::connect_from(honest, address).await?;
        let stream = somebody.open().await.context("it was let in and may not say a word")?;
        anyhow::Ok(is_spoken(stream, "/ipfs/id/1.0.0").await)
    });
    let is_answered = somebody.await.context("nobody from another address gets in")??;
    if !is_answered {
        bail!("nobody from another address is answered");
    }
    let honest = came.elapsed();
    // Who was let in and put out again cannot open a stream.
    let held = let_in.iter().map(async |one| {
        let opened = tokio::time::timeout(CONNECTING, one.open()).await;
        opened.is_ok_and(|opened| opened.is_some())
    });
    let held = futures::future::join_all(held).await.into_iter().filter(|held| *held).count();
    Ok(Crowd { held, honest })
}

/// Tells that something is over, also when it panicked.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Feeds every stream its junk, a few connections at a time, and fails when one outlives it.
fn all_end(address: &Multiaddr, streams: &[(String, Junk)]) -> Result<()> {
    runtime()?.block_on(async {
        let probe = Intruder::connect(address).await?;
        let protocols: BTreeSet<_> = streams.iter().map(|(protocol, _)| protocol).collect();
        for protocol in protocols {
            let stream = probe.open().await.context("a stranger may not open a stream")?;
            let spoken = tokio::time::timeout(DEADLINE, is_spoken(stream, protocol)).await;
            if !spoken.is_ok_and(|spoken| spoken) {
                bail!("the daemon does not speak {protocol}, so that junk on it proves nothing");
            }
        }
        let share = streams.len().div_ceil(STRANGERS);
        let strangers = streams.chunks(share).map(|streams| async move {
            let intruder = Intruder::connect(address).await?;
            let feeding = FuturesUnordered::new();
            for (protocol, junk) in streams {
                // A connection that was ended has no streams left.
                let Some(stream) = intruder.open().await else { break };
                let fed = feed(stream, proposal(protocol), junk.clone(), PATIENCE);
                feeding.push(async move { (fed.await, protocol, junk) });
            }
            let alive = feeding.filter(|(ended, ..)| std::future::ready(!ended)).next().await;
            match alive {
                Some((_, protocol, junk)) => bail!("a stream of {protocol} lives on after {junk:?}"),
                None => anyhow::Ok(()),
            }
        });
        let mut strangers: FuturesUnordered<_> = strangers.collect();
        while let Some(done) = strangers.next().await {
            done?;
        }
        Ok(())
    })
}

/// Runs every flood and prints what it cost.
///
/// # Errors
///
/// An honest peer was not served, or something was left behind.
pub fn run(shoal: &Shoal, dir: &Path, options: &Options, out: &mut dyn Write) -> Result<()> {
    let mut victim = Victim::start(shoal, dir)?;
    let connections = victim.silence(options.connections)?;
    report(out, &format!("{} silent connections", options.connections), &connections)?;
    let streams = victim.streams(options.streams)?;
    report(out, &format!("{} streams of one stranger", options.streams), &streams)?;
    let bombs = victim.bombs(options.bombs)?;
    report(out, "messages with wrong lengths", &bombs)?;
    let trickles = victim.trickles()?;
    report(out, "requests a byte a second", &trickles)?;
    let windows = victim.windows()?;
    report(out, "full windows on many connections from one address", &windows)?;
    let (cost, crowd) = victim.identities(options.names)?;
    report(out, &format!("{} names from one address", options.names), &cost)?;
    writeln!(
        out,
        "{} of them were connected at the end, and somebody from another address was answered after {}",
        crowd.held,
        table::time(crowd.honest)
    )?;
    victim.stop()
}

fn report(out: &mut dyn Write, what: &str, cost: &Cost) -> Result<()> {
    let ratio = cost.flooded.as_secs_f64() / cost.quiet.as_secs_f64().max(f64::EPSILON);
    writeln!(
        out,
        "{what}: {} more memory, {} more files, an honest get {} instead of {} ({ratio:.1} times), over after {}",
        table::size(cost.memory),
        cost.open_files,
        table::time(cost.flooded),
        table::time(cost.quiet),
        table::time(cost.recovered),
    )?;
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        (Protocol::Ip6(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        _ => None,
    }
}

/// Lets this process open as many files as a flood needs, or as many as the system allows.
fn allow_files() -> Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
        return Ok(wanted);
    }
    Ok(current.unwrap_or(wanted).min(wanted))
}
