//! Carries packets between two network interfaces, late and not all of them. A process that does nothing else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::shaper::{Quality, Shaper};

/// Packets that are on their way in one direction. More would only be needed on links with more bytes in flight than
/// any of ours; then the sender has to wait.
const IN_FLIGHT: usize = 32 * 1024;

/// A packet with all that the kernel puts before it, and more than the largest that it may merge.
const PACKET: usize = 80 * 1024;

/// Bytes before each packet: the kernel's remarks on its checksum, and the Ethernet header. The link carries neither.
const HEADERS: u64 = 10 + 14;

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
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let directions = [(a.try_clone()?, b.try_clone()?, args.seed), (b, a, !args.seed)];
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (from, to, seed) in directions {
            let (sent, arriving) = sync_channel(IN_FLIGHT);
            threads.push(scope.spawn(move || take(from, quality, seed, &sent)));
            threads.push(scope.spawn(move || deliver(&arriving, to)));
        }
        writeln!(io::stdout(), "forwarding")?;
        for thread in threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("carrying packets panicked"),
            }
        }
        Ok(())
    })
}

type Packet = (Instant, Vec<u8>);

fn take(mut from: File, quality: Quality, seed: u64, sent: &SyncSender<Packet>) -> Result<()> {
    let (mut shaper, mut rng) = (Shaper::new(quality), StdRng::seed_from_u64(seed));
    let mut buffer = vec![0; PACKET];
    loop {
        let len = from.read(&mut buffer)?;
        let luck = rng.random_range(0..1_000_000);
        let arrival = shaper.arrival(Instant::now(), (len as u64).saturating_sub(HEADERS), luck);
        if let Some(at) = arrival {
            sent.send((at, buffer.get(..len).unwrap_or_default().to_vec()))
                .context("the other end is gone")?;
        }
    }
}

fn deliver(arriving: &Receiver<Packet>, mut to: File) -> Result<()> {
    while let Ok((at, packet)) = arriving.recv() {
        let early = at.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        // What the interface does not take is lost, as on any link.
        drop(to.write(&packet));
    }
    Ok(())
}
