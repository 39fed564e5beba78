//! Strangers that want nothing but to be a burden: what they cost a daemon, and whether others are still served.

mod crowd;
mod silence;
mod streams;
mod victim;
mod windows;

use std::{io::Write, path::Path, time::Duration};

use anyhow::Result;

pub use self::{
    crowd::Crowd,
    victim::{Cost, Victim},
};
use crate::{shoal::Shoal, table};

/// How long a silent connection may take to be made. The kernel's queue may be full, and then it takes seconds.
const CONNECTING: Duration = Duration::from_millis(500);

/// How large the floods are.
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
