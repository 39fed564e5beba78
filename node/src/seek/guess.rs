//! Chooses who is asked for content right away, while it is still being asked whether it has it.
//!
//! Pure. A right guess saves a round trip; a wrong one costs a small message, and reveals no more than the question
//! itself.

use libp2p::PeerId;
use shoal_content::ProviderKey;
use shoal_transfer::scheduler::MAX_GUESSES;

use super::Former;

/// The peers of which one search guessed that they have it.
#[derive(Debug, Default)]
pub(super) struct Guesses(Vec<PeerId>);

impl Guesses {
    /// Guesses one of those connected: one that is `named` as a provider, or that had this or lately anything that was
    /// looked for, or that is the only one.
    pub(super) fn among(
        &mut self,
        connected: &[PeerId],
        named: impl Fn(&PeerId) -> bool,
        former: &Former,
        key: &ProviderKey,
    ) -> Option<PeerId> {
        let named = || connected.iter().copied().find(|peer| named(peer));
        let only = || connected.first().copied().filter(|_| connected.len() == 1);
        let likeliest = named().or_else(|| former.likeliest(key, connected)).or_else(only)?;
        self.guess(likeliest).then_some(likeliest)
    }

    /// Guesses that `peer` has it, which is connected now. False if that was guessed before, or there are enough guesses.
    pub(super) fn guess(&mut self, peer: PeerId) -> bool {
        let is_new = self.0.len() < MAX_GUESSES && !self.0.contains(&peer);
        if is_new {
            self.0.push(peer);
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
