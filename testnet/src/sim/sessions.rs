//! How long nodes stay: Weibull sessions as measured in networks that people used.
//!
//! Stutzbach and Rejaie, "Understanding Churn in Peer-to-Peer Networks" (IMC 2006), fitted shape 0.59 and scale 41.9
//! minutes to the peers of a BitTorrent torrent (FlatOut); 0.38 and 42.4, 0.34 and 21.3 to those of two others, who
//! stayed longer on average. Steiner, En-Najjary and Biersack, "Long Term Study of Peer Behavior in the KAD DHT"
//! (IEEE/ACM ToN 17(5), 2009), found sessions in a Kademlia network Weibull distributed too.

use std::time::Duration;

use super::seed::Seed;

const SHAPE: f64 = 0.59;
const SCALE_MINUTES: f64 = 41.9;

/// Sessions from which those are drawn that run already when the simulation begins.
const POOL: u64 = 4096;

/// Lengths of sessions, from a seed.
pub(crate) struct Sessions {
    seed: Seed,
    /// What stands for a minute.
    minute: Duration,
    drawn: u64,
    /// Lengths in minutes, each with the sum of all up to it.
    pool: Vec<(f64, f64)>,
}

impl Sessions {
    pub(crate) fn new(seed: Seed, minute: Duration) -> Self {
        let mut sum = 0.0;
        let with_sum = |number| {
            let length = length(seed.part("pool", number));
            sum += length;
            (length, sum)
        };
        Self { seed, minute, drawn: 0, pool: (0..POOL).map(with_sum).collect() }
    }

    /// How long a newcomer will stay.
    pub(crate) fn whole(&mut self) -> Duration {
        self.drawn += 1;
        self.minute.mul_f64(length(self.seed.part("session", self.drawn)))
    }

    /// How long somebody who is here will stay. The longer a session, the more probably one meets it.
    pub(crate) fn rest(&mut self) -> Duration {
        self.drawn += 1;
        let all = self.pool.last().map_or(0.0, |(_, sum)| *sum);
        let place = all * self.seed.part("met", self.drawn);
        let at = self.pool.partition_point(|(_, sum)| *sum < place);
        let length = self.pool.get(at).map_or(0.0, |(length, _)| *length);
        self.minute.mul_f64(length * self.seed.part("left", self.drawn))
    }

    /// The mean length of a session.
    pub(crate) fn mean(&self) -> Duration {
        self.minute.mul_f64(self.pool.last().map_or(0.0, |(_, sum)| *sum) / self.pool.len() as f64)
    }
}

/// The length in minutes that so large a part of all sessions do not reach.
fn length(part: f64) -> f64 {
    SCALE_MINUTES * (-(1.0 - part).ln()).powf(SHAPE.recip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_as_long_as_they_were_measured() {
        let mut sessions = Sessions::new(Seed(1), Duration::from_secs(1));
        let mean = sessions.mean().as_secs_f64();
        assert!((58.0..71.0).contains(&mean), "{mean} minutes; 64.5 by the formula");
        let mut drawn: Vec<_> = (0..4000).map(|_| sessions.whole()).collect();
        drawn.sort_unstable();
        let median = drawn[2000].as_secs_f64();
        assert!((20.0..25.5).contains(&median), "{median} minutes; 22.5 by the formula");
        let rest = (0..4000).map(|_| sessions.rest().as_secs_f64()).sum::<f64>() / 4000.0;
        assert!(rest > 1.5 * mean, "who is met at any moment stays longer than most: {rest} minutes");
    }
}
