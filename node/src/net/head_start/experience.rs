//! Whether QUIC gets through, as far as dials have shown: some networks drop what is sent over UDP.

use std::time::{Duration, Instant};

/// Peers in a row that were reached over TCP while QUIC got no answer. One alone may be behind a wall of its own.
const TOLERATED: u32 = 3;
/// How long TCP goes first then. Without an end, a machine that has left such a network would never find out.
const MISTRUST: Duration = Duration::from_secs(10 * 60);

/// What became of dials over QUIC.
#[derive(Debug, Default)]
pub(super) struct Experience {
    missed: u32,
    mistrusted: Option<Instant>,
}

impl Experience {
    /// Whether QUIC is worth to be waited for.
    pub(super) fn favours_quic(&self, now: Instant) -> bool {
        self.mistrusted.is_none_or(|since| now.saturating_duration_since(since) >= MISTRUST)
    }

    /// Notes that somebody was reached over QUIC.
    pub(super) fn quic_answered(&mut self) {
        *self = Self::default();
    }

    /// Notes that somebody was reached over TCP, although QUIC had gone first.
    pub(super) fn tcp_instead(&mut self, now: Instant) {
        self.missed = self.missed.saturating_add(1);
        if self.missed >= TOLERATED {
            self.mistrusted = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quic_that_never_answers_is_not_waited_for_until_a_while_has_passed() {
        let (mut experience, now) = (Experience::default(), Instant::now());
        for _ in 1..TOLERATED {
            experience.tcp_instead(now);
            assert!(experience.favours_quic(now));
        }
        experience.tcp_instead(now);
        assert!(!experience.favours_quic(now));
        assert!(!experience.favours_quic(now + MISTRUST - Duration::from_secs(1)));
        assert!(experience.favours_quic(now + MISTRUST));
        // One more of them is enough by then.
        experience.tcp_instead(now + MISTRUST);
        assert!(!experience.favours_quic(now + MISTRUST));
    }

    #[test]
    fn one_answer_makes_up_for_all_that_was_missed() {
        let (mut experience, now) = (Experience::default(), Instant::now());
        (0..TOLERATED).for_each(|_| experience.tcp_instead(now));
        experience.quic_answered();
        assert!(experience.favours_quic(now));
        experience.tcp_instead(now);
        assert!(experience.favours_quic(now));
    }
}
