//! Sources that nobody has confirmed yet to hold anything.
//!
//! The peer that most likely has the content is asked for the front of it and the proof of its size together with
//! the question of what it holds. If it has the content, that saves a round trip. Nothing else waits for a guess,
//! and nothing more is asked of it before it has confirmed or sent something.

use std::time::Instant;

use shoal_content::GroupRanges;

use super::source::Source;
use super::{Action, Scheduler, SourceId, assign};

/// Guesses of one fetch at a time. If all are right, what is asked of them comes that many times.
pub const MAX_GUESSES: usize = 2;

impl Scheduler {
    /// There is a source that may hold something. False if it is not asked: there are enough guesses, or what they could
    /// save is not to be had any more.
    pub fn source_guessed(&mut self, id: SourceId) -> bool {
        let guesses = self.sources.values().filter(|source| source.is_guess).count();
        let are_all = guesses == self.sources.len() && !self.sources.contains_key(&id);
        let is_of_use = self.tree.is_none() && guesses < MAX_GUESSES && are_all;
        if is_of_use {
            self.sources.insert(id, Source::guess());
        }
        is_of_use
    }

    /// Whether nobody has heard yet that this source holds anything.
    pub fn is_guess(&self, id: SourceId) -> bool {
        self.sources.get(&id).is_some_and(|source| source.is_guess)
    }

    /// Asks those who may have it, as long as nobody is known who does.
    pub(super) fn ask_guesses(&mut self, now: Instant) {
        if self.sources.values().any(|source| !source.is_guess) {
            return;
        }
        let idle: Vec<SourceId> =
            self.sources.iter().filter(|(_, source)| source.is_idle(now)).map(|(id, _)| *id).collect();
        for id in idle {
            self.request(id, assign::head_and_last(), None, now);
        }
    }

    /// What a source sends matches: it has the content, and nobody else needs to be guessed.
    pub(super) fn guessed_right(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id).filter(|source| source.is_guess) {
            source.is_guess = false;
            self.forget_guesses();
        }
    }

    /// Forgets those from whom nothing came.
    pub(super) fn forget_guesses(&mut self) {
        let guesses = self.sources.iter().filter(|(_, source)| source.is_guess).map(|(id, _)| *id);
        for id in guesses.collect::<Vec<_>>() {
            self.forget_if_guess(id);
        }
    }

    pub(super) fn forget_if_guess(&mut self, id: SourceId) {
        if self.is_guess(id) {
            self.remove_source(id);
            self.actions.push(Action::Forget { source: id });
        }
    }

    /// The next piece, which was not asked for with the proof because the size was not even claimed then: as soon as it
    /// is, so that the source does not wait for the proof. Of one source: of two that were guessed right, both would bring it.
    pub(super) fn ask_beside_the_proof(&mut self, now: Instant) {
        if self.requests.values().any(|request| request.claim.is_some()) {
            return;
        }
        let may_ask = |source: &&Source| source.active == 1 && source.may_ask(now);
        let claims = |id: &SourceId| self.sources.get(id).filter(may_ask)?.claims;
        let proof = self.requests.values().find(|request| {
            request.claim.is_none() && request.todo.contains(0) && claims(&request.source).is_some()
        });
        let Some(proof) = proof else { return };
        let (id, asked): (_, GroupRanges) = (proof.source, proof.todo.clone());
        if let Some(size) = claims(&id) {
            self.ask_on_a_claim(id, size, &asked, now);
        }
    }
}
