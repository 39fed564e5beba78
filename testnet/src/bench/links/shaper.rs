//! When a packet leaves a link of limited speed: a pure calculation with the time as an argument.

use std::time::{Duration, Instant};

/// What a link does to packets in one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    /// Bytes in a second.
    pub(crate) rate: u64,
    /// How long a packet is on its way once it has been sent.
    pub(crate) delay: Duration,
    /// How long a packet may wait for those before it; a router's buffer is as large as that.
    pub(crate) queue: Duration,
    /// How many of a million packets get lost.
    pub(crate) lost_ppm: u32,
}

/// Why a packet does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nobody knows.
    Chance,
    /// As many as there is room for wait before it.
    NoRoom,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Shaper {
    quality: Quality,
    /// When all that was sent so far has left.
    free_at: Option<Instant>,
}

impl Shaper {
    /// A link on which nothing was sent yet.
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, free_at: None }
    }

    /// When a packet of `len` bytes arrives at the other end, if it does. `luck` is a number below a million, each as
    /// likely as the others.
    pub(crate) fn arrival(&mut self, now: Instant, len: u64, luck: u32) -> Result<Instant, Loss> {
        let start = self.free_at.map_or(now, |free_at| free_at.max(now));
        if luck < self.quality.lost_ppm {
            return Err(Loss::Chance);
        }
        if start.duration_since(now) > self.quality.queue {
            return Err(Loss::NoRoom);
        }
        let nanos = len.saturating_mul(1_000_000_000) / self.quality.rate.max(1);
        let left = start + Duration::from_nanos(nanos);
        self.free_at = Some(left);
        Ok(left + self.quality.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUCKY: u32 = 999_999;

    fn shaper(lost_ppm: u32) -> Shaper {
        let millis = Duration::from_millis;
        Shaper::new(Quality { rate: 1_000_000, delay: millis(25), queue: millis(10), lost_ppm })
    }

    #[test]
    fn packets_wait_for_each_other_and_then_travel() {
        let (mut link, now) = (shaper(0), Instant::now());
        let arrivals = [0, 0, 5].map(|after| {
            let sent = now + Duration::from_millis(after);
            link.arrival(sent, 1000, LUCKY).map(|at| at.duration_since(now).as_millis())
        });
        // A millisecond each to send, the second one after the first; the third finds the link free.
        assert_eq!(arrivals, [Ok(26), Ok(27), Ok(31)]);
    }

    #[test]
    fn what_does_not_fit_the_buffer_is_lost() {
        let (mut link, now) = (shaper(0), Instant::now());
        let arrived = (0..100).filter(|_| link.arrival(now, 1000, LUCKY).is_ok()).count();
        assert_eq!(link.arrival(now, 1000, LUCKY), Err(Loss::NoRoom));
        assert_eq!(arrived, 11, "ten wait while one is sent");
        assert!(link.arrival(now + Duration::from_millis(2), 1000, LUCKY).is_ok(), "there is room again");
    }

    #[test]
    fn luck_decides_as_often_as_it_should() {
        let (mut link, now) = (shaper(10_000), Instant::now());
        assert_eq!(link.arrival(now, 1000, 9_999), Err(Loss::Chance));
        let arrival = link.arrival(now, 1000, 10_000);
        assert_eq!(arrival, Ok(now + Duration::from_millis(26)), "the lost one took no time of the link");
    }
}
