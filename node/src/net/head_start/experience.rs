//! Whether QUIC gets through, as far as dials have shown: some networks drop what is sent over UDP.

use std::time::{Duration, Instant};

use super::Target;

/// Peers in a row that were reached over TCP while QUIC got no answer. Some are behind a wall of their own: of every five
/// one, this many in a row come once in thousands of dials.
pub(super) const TOLERATED: usize = 5;
/// How long TCP goes first then. Without an end, a machine that has left such a network would never find out.
const MISTRUST: Duration = Duration::from_secs(10 * 60);

/// What became of dials over QUIC.
#[derive(Debug, Default)]
pub(super) struct Experience {
    /// Whom it did not reach since it last reached anybody.
    missed: Vec<Target>,
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

    /// Notes that somebody was reached over TCP, while QUIC had gone first and was silent.
    pub(super) fn tcp_instead(&mut self, target: Target, now: Instant) {
        if self.missed.len() < TOLERATED && !self.missed.contains(&target) {
            self.missed.push(target);
        }
        if self.missed.len() >= TOLERATED {
            self.mistrusted = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    #[test]
    fn quic_that_never_answers_is_not_waited_for_until_a_while_has_passed() {
        let (mut experience, now) = (Experience::default(), Instant::now());
        let peers: Vec<_> = (0..TOLERATED).map(|_| Target::Peer(PeerId::random())).collect();
        for peer in &peers[1..] {
            experience.tcp_instead(*peer, now);
            experience.tcp_instead(*peer, now);
            assert!(experience.favours_quic(now), "one peer counts once");
        }
        experience.tcp_instead(peers[0], now);
        assert!(!experience.favours_quic(now));
        assert!(!experience.favours_quic(now + MISTRUST - Duration::from_secs(1)));
        assert!(experience.favours_quic(now + MISTRUST));
        // One more of them is enough by then.
        experience.tcp_instead(peers[0], now + MISTRUST);
        assert!(!experience.favours_quic(now + MISTRUST));
    }

    #[test]
    fn one_answer_makes_up_for_all_that_was_missed() {
        let (mut experience, now) = (Experience::default(), Instant::now());
        (0..TOLERATED).for_each(|_| experience.tcp_instead(Target::Peer(PeerId::random()), now));
        assert!(!experience.favours_quic(now));
        experience.quic_answered();
        assert!(experience.favours_quic(now));
        experience.tcp_instead(Target::Unknown, now);
        assert!(experience.favours_quic(now));
    }
}
