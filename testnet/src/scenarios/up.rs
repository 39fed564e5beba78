//! A network of real daemons on this machine that stays, to try things in.

use std::{
    env,
    io::Write,
    path::{self, Path},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::shoal::{AS_SHOAL, Daemon, Shoal};

/// How often to look whether every daemon still runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts so many daemons with their homes in `dir`, tells `out` how to use them, and returns only when one of them ends.
///
/// # Errors
///
/// A daemon does not start, or has ended.
pub fn run(shoal: &Shoal, dir: &Path, nodes: usize, out: &mut dyn Write) -> Result<()> {
    let dir = path::absolute(dir)?;
    let home = |number: usize| dir.join(format!("daemon-{number}"));
    let mut daemons: Vec<Daemon> = Vec::new();
    for number in 1..=nodes {
        let mut args = shoal.on_loopback();
        if let Some(known) = daemons.last() {
            args.extend(["--peer".to_owned(), known.address()?]);
        }
        let daemon = Daemon::start(shoal, &home(number), &args)?;
        writeln!(out, "{}  {}", home(number).display(), daemon.address()?)?;
        daemons.push(daemon);
    }
    let program = env::current_exe()?;
    let command =
        |number: usize| format!("{} {AS_SHOAL} --home {}", program.display(), home(number).display());
    writeln!(out, "\n{nodes} daemons are up until Ctrl-C. In another terminal, for example:")?;
    writeln!(out, "  {} publish FILE", command(1))?;
    writeln!(out, "  {} get CID -o COPY", command(nodes))?;
    writeln!(out, "  {} status --dht", command(nodes))?;
    loop {
        let first = daemons.first().context("a network has one daemon at least")?;
        first.hear_until(Instant::now() + LOOK_EVERY)?;
        for (number, daemon) in (1..).zip(&daemons) {
            if !daemon.hear_until(Instant::now())? {
                bail!("daemon {number} has ended");
            }
        }
    }
}
