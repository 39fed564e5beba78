//! The sources of a fetch: who was found, what each holds, and whether any of them can still help.

use std::time::{Duration, Instant};

use shoal_content::GroupRanges;

use super::blame::MAX_BROKEN;
use super::{MAX_BAD, Scheduler};
use crate::scheduler::SourceId;
use crate::scheduler::source::Source;

/// Sources of one fetch: as many as bits tell who refused a blob.
const MAX_SOURCES: usize = 64;

/// Time for which a source that fetches the directory itself may come to hold something more. Without it, a fetch whose
/// sources all hold parts would end while they still exchange them.
pub(super) const GROWING: Duration = Duration::from_secs(5);

/// What a source holds that fetches the directory itself.
#[derive(Clone, Debug)]
pub(in crate::bundle) struct Part {
    /// A number of the source's own.
    pub(in crate::bundle) salt: u64,
    /// The files, by their numbers in the directory.
    pub(in crate::bundle) files: GroupRanges,
}

/// One source, and what its conduct so far says of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) source: Source,
    pub(super) is_dropped: bool,
    /// Blobs that did not match.
    pub(super) bad: u32,
    /// Whether it ever named the files that it has.
    pub(super) names_files: bool,
    /// Bundles since it last brought anything of which it did not give what it had named.
    pub(super) broken: u32,
    /// How far it has gone through the blobs that somebody refused.
    pub(super) next_odd: usize,
    /// How often it was given another chance.
    pub(super) chances: u32,
}

impl Slot {
    fn new() -> Self {
        Slot {
            source: Source::new(None, None),
            is_dropped: false,
            bad: 0,
            names_files: false,
            broken: 0,
            next_odd: 0,
            chances: 0,
        }
    }
}

impl Scheduler {
    /// A source was found, or found again: `known` is the name it had. It holds a `part`, or all. None if there are as many
    /// as can be.
    pub(in crate::bundle) fn source_found(
        &mut self,
        known: Option<SourceId>,
        part: Option<Part>,
        now: Instant,
    ) -> Option<SourceId> {
        let id = match known {
            Some(id) => id,
            None => self.add_source()?,
        };
        let index = usize::try_from(id.0).ok()?;
        let slot = self.sources.get_mut(index)?;
        if slot.is_dropped && (slot.bad >= MAX_BAD || slot.broken >= MAX_BROKEN) {
            return Some(id);
        }
        if slot.is_dropped {
            slot.source = Source::new(None, None);
            slot.is_dropped = false;
        }
        // What was refused to others it may hold by now.
        slot.next_odd = 0;
        match part {
            Some(Part { salt, files }) => {
                slot.names_files = true;
                // Only what is still to come is news.
                if self.queue.holds(index, salt, files) || known.is_none() {
                    self.growing_until = Some(now + GROWING);
                }
            }
            None => self.queue.forget(index),
        }
        Some(id)
    }

    fn add_source(&mut self) -> Option<SourceId> {
        if self.sources.len() >= MAX_SOURCES {
            return None;
        }
        self.sources.push(Slot::new());
        Some(SourceId(self.sources.len() as u64 - 1))
    }

    /// Whether any source is left that was not dropped.
    pub(in crate::bundle) fn has_sources(&self) -> bool {
        self.sources.iter().any(|slot| !slot.is_dropped)
    }

    /// Whether any source that is known could still bring something, now or later.
    pub(in crate::bundle) fn has_hope(&self, now: Instant) -> bool {
        let is_growing =
            |index: usize| self.queue.is_part(index) && self.growing_until.is_some_and(|until| until > now);
        let could_help = |(index, slot): (usize, &Slot)| {
            !slot.is_dropped && (self.queue.has_for(index, slot.next_odd) || is_growing(index))
        };
        !self.bundles.is_empty() || self.sources.iter().enumerate().any(could_help)
    }
}
