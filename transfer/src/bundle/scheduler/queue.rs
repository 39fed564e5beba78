//! The blobs that are still to come, and who refused which of them.

use std::collections::VecDeque;

/// What is known of all blobs.
#[derive(Debug)]
pub(super) struct Queue {
    blobs: Vec<Blob>,
    /// Asked of nobody now, and refused by nobody. In order: neighbours lie in one folder.
    fresh: VecDeque<usize>,
    /// Each blob that was refused, again whenever it was returned. Every source goes through it once, so that nothing
    /// is looked at over and over.
    odd: Vec<usize>,
    /// What has neither come nor been given up.
    open: usize,
    /// The cost of what nobody is asked for now.
    unasked_cost: u64,
}

#[derive(Debug)]
struct Blob {
    cost: u64,
    /// A bit for each source that refused it.
    refused: u64,
    /// How many sources it is asked of now.
    asked: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Came,
    Unfit,
}

impl Queue {
    pub(super) fn new(costs: impl Iterator<Item = u64>) -> Self {
        let blob = |cost| Blob { cost, refused: 0, asked: 0, state: State::Open };
        let blobs: Vec<Blob> = costs.map(blob).collect();
        Queue {
            fresh: (0..blobs.len()).collect(),
            odd: Vec::new(),
            open: blobs.len(),
            unasked_cost: blobs.iter().map(|blob| blob.cost).fold(0, u64::saturating_add),
            blobs,
        }
    }

    pub(super) fn cost(&self, blob: usize) -> u64 {
        self.blobs.get(blob).map_or(0, |blob| blob.cost)
    }

    pub(super) fn unasked_cost(&self) -> u64 {
        self.unasked_cost
    }

    pub(super) fn is_done(&self) -> bool {
        self.open == 0
    }

    /// Whether there is nothing more to wait for of a blob.
    pub(super) fn is_over(&self, blob: usize) -> bool {
        self.blobs.get(blob).is_none_or(|blob| blob.state != State::Open)
    }

    /// What did not come.
    pub(super) fn left(&self) -> Vec<usize> {
        let left = self.blobs.iter().enumerate().filter(|(_, blob)| blob.state != State::Came);
        left.map(|(index, _)| index).collect()
    }

    /// Takes what a source can be asked for: up to `budget`, but at least one. Refused blobs come first, for there are
    /// fewer sources for them.
    pub(super) fn take(
        &mut self,
        source: usize,
        next_odd: &mut usize,
        mut budget: u64,
        most: usize,
    ) -> Vec<usize> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let (next, is_odd) = match self.next_odd(source, next_odd) {
                Some(odd) => (odd, true),
                None => match self.fresh.front() {
                    Some(fresh) => (*fresh, false),
                    None => break,
                },
            };
            let cost = self.cost(next);
            if cost > budget && !taken.is_empty() {
                break;
            }
            budget = budget.saturating_sub(cost);
            if is_odd {
                *next_odd += 1;
            } else {
                self.fresh.pop_front();
            }
            self.asked(next);
            taken.push(next);
        }
        taken
    }

    /// Whether there is anything that a source can be asked for.
    pub(super) fn has_for(&self, source: usize, next_odd: usize) -> bool {
        !self.fresh.is_empty() || self.next_odd(source, &mut next_odd.clone()).is_some()
    }

    /// The next blob that somebody else refused, moving on to it.
    fn next_odd(&self, source: usize, next_odd: &mut usize) -> Option<usize> {
        loop {
            let odd = *self.odd.get(*next_odd)?;
            if self.blobs.get(odd).is_some_and(|blob| blob.asked == 0 && blob.may_be_asked_of(source)) {
                return Some(odd);
            }
            *next_odd += 1;
        }
    }

    /// One more source is asked for a blob.
    pub(super) fn asked(&mut self, index: usize) {
        if let Some(blob) = self.blobs.get_mut(index) {
            if blob.asked == 0 {
                self.unasked_cost = self.unasked_cost.saturating_sub(blob.cost);
            }
            blob.asked = blob.asked.saturating_add(1);
        }
    }

    /// Whether a source may be asked for a blob that one other is asked for.
    pub(super) fn may_repeat(&self, blob: usize, source: usize) -> bool {
        self.blobs.get(blob).is_some_and(|blob| blob.asked == 1 && blob.may_be_asked_of(source))
    }

    pub(super) fn came(&mut self, index: usize) {
        self.close(index, State::Came);
    }

    /// Nobody is to be asked for a blob any more.
    pub(super) fn unfit(&mut self, index: usize) {
        self.close(index, State::Unfit);
    }

    fn close(&mut self, index: usize, state: State) {
        if let Some(blob) = self.blobs.get_mut(index) {
            blob.asked = blob.asked.saturating_sub(1);
            if blob.state == State::Open {
                self.open -= 1;
            }
            if blob.state != State::Came {
                blob.state = state;
            }
        }
    }

    /// A source does not have a blob, or not as it should be.
    pub(super) fn refused(&mut self, index: usize, source: usize) {
        if let Some(blob) = self.blobs.get_mut(index) {
            blob.refused |= bit(source);
        }
        self.returned(index);
    }

    /// A source may have these after all.
    pub(super) fn forgive(&mut self, source: usize, blobs: &[usize]) {
        for blob in blobs {
            if let Some(blob) = self.blobs.get_mut(*blob) {
                blob.refused &= !bit(source);
            }
        }
    }

    /// A source is not asked for a blob any more.
    pub(super) fn returned(&mut self, index: usize) {
        let Some(blob) = self.blobs.get_mut(index) else { return };
        blob.asked = blob.asked.saturating_sub(1);
        if blob.asked > 0 || blob.state != State::Open {
            return;
        }
        self.unasked_cost = self.unasked_cost.saturating_add(blob.cost);
        if blob.refused == 0 {
            self.fresh.push_front(index);
        } else {
            self.odd.push(index);
        }
    }
}

impl Blob {
    fn may_be_asked_of(&self, source: usize) -> bool {
        self.state == State::Open && self.refused & bit(source) == 0
    }
}

fn bit(source: usize) -> u64 {
    u32::try_from(source).ok().and_then(|source| 1_u64.checked_shl(source)).unwrap_or(0)
}
