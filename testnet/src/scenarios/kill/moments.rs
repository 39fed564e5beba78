//! When to kill: at random, but so that every kill meets a get at work.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use shoal_gateway::json::{Event, Stage};

use super::Options;
use crate::{process::Heard, shoal::Running, table};

/// One kill in so many comes before the first byte, while the node starts and looks for the provider.
const EARLY_ONE_IN: u32 = 4;

/// Chooses moments, from how long an undisturbed get takes.
pub(super) struct Moments {
    rng: StdRng,
    /// From the start of the process to the first byte.
    to_first_byte: Duration,
    /// The longest time from the first byte to a kill.
    longest: Duration,
}

/// A moment in the life of a get.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    SinceStart(Duration),
    SinceFirstByte(Duration),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SinceStart(time) => write!(f, "{} after its start", table::time(*time)),
            Self::SinceFirstByte(time) => write!(f, "{} after its first byte", table::time(*time)),
        }
    }
}

/// Whether a get was still at work at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survival {
    AtWork,
    Ended,
}

impl Moments {
    /// Watches an undisturbed get to its end.
    pub(super) fn of(get: &Running, options: &Options) -> Result<Self> {
        let start = Instant::now();
        let mut first_byte = None;
        loop {
            let event = get.next()?;
            if is_first_byte(&event) && first_byte.is_none() {
                first_byte = Some(start.elapsed());
            }
            match event {
                Event::Done(done) if done.ok => break,
                Event::Done(done) => bail!("the undisturbed get failed: {done:?}"),
                _ => {}
            }
        }
        let to_first_byte = first_byte.unwrap_or_default();
        let transfer = start.elapsed().saturating_sub(to_first_byte);
        // On average the kills come evenly spread over seven tenths of the transfer, so that it hardly ever ends early.
        let longest = transfer * 7 / 5 / options.kills.max(1);
        Ok(Self { rng: StdRng::seed_from_u64(options.seed), to_first_byte, longest })
    }

    pub(super) fn next(&mut self) -> Moment {
        if self.rng.random_ratio(1, EARLY_ONE_IN) {
            Moment::SinceStart(self.rng.random_range(Duration::ZERO..=self.to_first_byte))
        } else {
            Moment::SinceFirstByte(self.soon())
        }
    }

    /// A time to wait while bytes are moving.
    pub(super) fn soon(&mut self) -> Duration {
        self.rng.random_range(Duration::ZERO..=self.longest)
    }
}

/// Waits until `moment`, unless the get ends before it.
pub(super) fn wait_for(get: &Running, moment: &Moment) -> Result<Survival> {
    let mut at = match moment {
        Moment::SinceStart(time) => Some(Instant::now() + *time),
        Moment::SinceFirstByte(_) => None,
    };
    loop {
        let event = match at {
            None => get.next()?,
            Some(at) => match get.process().hear(at)? {
                Heard::Nothing => return Ok(Survival::AtWork),
                Heard::End => bail!("the get ended without a last line"),
                Heard::Event(event) => event,
            },
        };
        if let (None, Moment::SinceFirstByte(time)) = (at, moment)
            && is_first_byte(&event)
        {
            at = Some(Instant::now() + *time);
        }
        match event {
            Event::Done(done) if done.ok => return Ok(Survival::Ended),
            Event::Done(done) => bail!("the get failed: {done:?}"),
            _ => {}
        }
    }
}

fn is_first_byte(event: &Event) -> bool {
    match event {
        Event::Source(_) => true,
        Event::Progress(progress) => progress.stage == Stage::Fetching,
        _ => false,
    }
}
