//! Carries packets between two network interfaces, late and not all of them. A process that does nothing else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    frame::{Frame, LONGEST},
    shaper::{Loss, Quality, Shaper},
    tally::Counts,
};

/// What the process says once it carries packets.
pub(super) const READY: &str = "forwarding";

/// Frames that are on their way in one direction. More would only be needed on links with more bytes in flight than
/// any of ours; then the sender has to wait.
const IN_FLIGHT: usize = 32 * 1024;

/// How long a packet waits for those that come right after it, to be handed over together: as long as network cards
/// wait. Longer, and acknowledgements would come in lumps that no link makes; with none, two cores are busy at
/// 300 Mbit/s.
const TOGETHER: Duration = Duration::from_micros(250);

/// How often it is told what happened to the packets.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Before all other processes: a link does not wait for the processors of its hosts.
const BEFORE_ALL: i32 = -20;

/// What the process is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// One end
    a: PathBuf,
    /// The other
    b: PathBuf,
    /// Bytes in a second
    rate: u64,
    /// Microseconds from one end to the other
    delay: u64,
    /// Microseconds that the queue may be long
    queue: u64,
    /// Packets lost of a million
    lost_ppm: u32,
    /// Decides which
    seed: u64,
}

/// Carries packets both ways until the process is ended.
///
/// # Errors
///
/// An interface cannot be opened, or is gone.
pub(crate) fn run(args: &Args) -> Result<()> {
    let quality = Quality {
        rate: args.rate,
        delay: Duration::from_micros(args.delay),
        queue: Duration::from_micros(args.queue),
        lost_ppm: args.lost_ppm,
    };
    let open = |path: &Path| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.with_context(|| format!("opening {}", path.display()))
    };
    rustix::process::setpriority_process(None, BEFORE_ALL).context("going before all other processes")?;
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let directions = [(a.try_clone()?, b.try_clone()?, args.seed), (b, a, !args.seed)];
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut all = Vec::new();
        for (from, to, seed) in directions {
            let (sent, arriving) = sync_channel(IN_FLIGHT);
            let counts = Arc::new(Counts::default());
            let (taken, delivered) = (Arc::clone(&counts), Arc::clone(&counts));
            threads.push(scope.spawn(move || take(from, quality, seed, &sent, &taken)));
            threads.push(scope.spawn(move || deliver(&arriving, to, &delivered)));
            all.push(counts);
        }
        writeln!(io::stdout(), "{READY}")?;
        while !threads.iter().any(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(TELL_EVERY);
            for (direction, counts) in all.iter().enumerate() {
                writeln!(io::stdout(), "{direction}: {}", counts.tally())?;
            }
        }
        for thread in threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("carrying packets panicked"),
            }
        }
        Ok(())
    })
}

/// Packets that arrive together.
struct Arriving {
    at: Instant,
    frame: Vec<u8>,
    packets: usize,
}

fn take(
    mut from: File,
    quality: Quality,
    seed: u64,
    sent: &SyncSender<Arriving>,
    counts: &Counts,
) -> Result<()> {
    let (mut shaper, mut rng) = (Shaper::new(quality), StdRng::seed_from_u64(seed));
    let mut buffer = vec![0; LONGEST];
    loop {
        let len = from.read(&mut buffer)?;
        let now = Instant::now();
        let frame = Frame::new(buffer.get(..len).unwrap_or_default());
        let arrivals = (0..frame.packets()).map(|packet| {
            counts.packets.fetch_add(1, Ordering::Relaxed);
            let luck = rng.random_range(0..1_000_000);
            let arrival = shaper.arrival(now, frame.len_of(packet) as u64, luck);
            let loss = match arrival {
                Ok(at) => return Some(at),
                Err(Loss::Chance) => &counts.lost,
                Err(Loss::NoRoom) => &counts.dropped,
            };
            loss.fetch_add(1, Ordering::Relaxed);
            None
        });
        for (packets, at) in together(arrivals) {
            let count = packets.len();
            let arriving = Arriving { at, frame: frame.cut(packets), packets: count };
            sent.send(arriving).context("the other end is gone")?;
        }
    }
}

/// Which of the packets of a frame are handed over together, and when: as the last of them arrives.
fn together(arrivals: impl Iterator<Item = Option<Instant>>) -> Vec<(std::ops::Range<usize>, Instant)> {
    let mut runs: Vec<(std::ops::Range<usize>, Instant)> = Vec::new();
    let mut first = None;
    for (packet, arrival) in arrivals.enumerate() {
        let Some(at) = arrival else { continue };
        match (runs.last_mut(), first) {
            (Some((packets, last)), Some(first)) if packets.end == packet && at - first <= TOGETHER => {
                (packets.end, *last) = (packet + 1, at);
            }
            _ => {
                first = Some(at);
                runs.push((packet..packet + 1, at));
            }
        }
    }
    runs
}

fn deliver(arriving: &Receiver<Arriving>, mut to: File, counts: &Counts) -> Result<()> {
    while let Ok(Arriving { at, frame, packets }) = arriving.recv() {
        let early = at.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        counts.delivered(packets, Instant::now().saturating_duration_since(at));
        // What the interface does not take is lost, as on any link.
        drop(to.write(&frame));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_stay_together_until_one_is_lost_or_they_are_too_far_apart() {
        let now = Instant::now();
        let arrivals = [Some(0), Some(100), None, Some(200), Some(300), Some(451), Some(460)];
        let at = |micros| now + Duration::from_micros(micros);
        let runs = together(arrivals.into_iter().map(|micros| micros.map(at)));
        assert_eq!(runs, [(0..2, at(100)), (3..5, at(300)), (5..7, at(460))]);
        assert_eq!(together([None].into_iter()), []);
    }
}
