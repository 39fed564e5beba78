//! The blobs that are still to come, who holds which, and who refused which of them.

use std::collections::{BTreeMap, VecDeque};

use shoal_content::GroupRanges;

use super::turns::Turns;

/// What is known of all blobs.
#[derive(Debug)]
pub(super) struct Queue {
    blobs: Vec<Blob>,
    turns: Turns,
    /// Asked of nobody now, refused by nobody, and held by nobody but those who hold all. In the order of asking.
    fresh: VecDeque<usize>,
    /// The same of those that somebody who holds a part holds: whoever holds all is asked for them last.
    shared: VecDeque<usize>,
    /// Each blob that was refused, again whenever it was returned. Every source goes through it once, so that nothing
    /// is looked at over and over.
    odd: Vec<usize>,
    /// What each source holds that holds a part, by the numbers of the files in the directory.
    parts: BTreeMap<usize, GroupRanges>,
    /// What has neither come nor been given up.
    open: usize,
    /// The cost of what nobody is asked for now.
    unasked_cost: u64,
}

#[derive(Debug)]
struct Blob {
    /// Its number in the directory.
    file: usize,
    cost: u64,
    /// A bit for each source that refused it.
    refused: u64,
    /// How many sources it is asked of now.
    asked: u8,
    /// How many of those who hold a part hold it.
    held: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Came,
    Unfit,
}

impl Queue {
    /// The blobs with their numbers in the directory and their costs.
    pub(super) fn new(blobs: impl Iterator<Item = (usize, u64)>, turns: Turns) -> Self {
        let blob = |(file, cost)| Blob { file, cost, refused: 0, asked: 0, held: 0, state: State::Open };
        let blobs: Vec<Blob> = blobs.map(blob).collect();
        let mut queue = Queue {
            fresh: (0..blobs.len()).collect(),
            shared: VecDeque::new(),
            odd: Vec::new(),
            parts: BTreeMap::new(),
            open: blobs.len(),
            unasked_cost: blobs.iter().map(|blob| blob.cost).fold(0, u64::saturating_add),
            turns,
            blobs,
        };
        queue.put_in_order();
        queue
    }

    /// A source says what it holds, and that it fetches the rest. Those who say nothing are thought to hold all. True if
    /// it holds more than before of what is still to come.
    pub(super) fn holds(&mut self, source: usize, salt: u64, files: GroupRanges) -> bool {
        let had = self.parts.insert(source, files);
        let has_more = self.count(source, had.as_ref());
        if self.turns.joined(source, salt) {
            self.put_in_order();
        } else {
            self.sort_out();
        }
        has_more
    }

    /// A source is asked no more, or holds all.
    pub(super) fn forget(&mut self, source: usize) {
        if let Some(had) = self.parts.remove(&source) {
            self.count(source, Some(&had));
            self.turns.left(source);
            self.put_in_order();
        }
    }

    /// Counts what a source holds now, and not any more what it `had`. True if that is more of what is still to come.
    fn count(&mut self, source: usize, had: Option<&GroupRanges>) -> bool {
        let mut has_more = false;
        let has = self.parts.get(&source);
        let holds =
            |files: Option<&GroupRanges>, file: usize| files.is_some_and(|it| it.contains(file as u64));
        for blob in &mut self.blobs {
            let (had_it, has_it) = (holds(had, blob.file), holds(has, blob.file));
            blob.held = blob.held.saturating_sub(u8::from(had_it)).saturating_add(u8::from(has_it));
            if has_it && !had_it {
                // What it refused before it had it, it may be asked for now.
                blob.refused &= !bit(source);
                has_more |= blob.state == State::Open;
            }
        }
        has_more
    }

    /// Begins anew with the order: who fetches the same has changed.
    fn put_in_order(&mut self) {
        let mut all: Vec<usize> = self.fresh.drain(..).chain(self.shared.drain(..)).collect();
        all.sort_by_cached_key(|blob| self.blobs.get(*blob).map(|blob| self.turns.place(blob.file)));
        self.fresh = all.into();
        self.sort_out();
    }

    /// Moves what is held now to those that are, and what is not any more from there.
    fn sort_out(&mut self) {
        let is_held = |blob: &usize| self.blobs.get(*blob).is_some_and(|blob| blob.held > 0);
        let all = self.fresh.drain(..).chain(self.shared.drain(..));
        let (shared, fresh): (Vec<_>, Vec<_>) = all.partition(is_held);
        (self.fresh, self.shared) = (fresh.into(), shared.into());
    }

    /// Whether a source holds a part, and not all.
    pub(super) fn is_part(&self, source: usize) -> bool {
        self.parts.contains_key(&source)
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

    /// Whether somebody was asked for every blob, or refused it.
    pub(super) fn all_asked(&self) -> bool {
        self.fresh.is_empty() && self.shared.is_empty()
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
    /// fewer sources for them; and what others hold too comes last, the rarest of it first.
    pub(super) fn take(
        &mut self,
        source: usize,
        next_odd: &mut usize,
        budget: u64,
        most: usize,
    ) -> Vec<usize> {
        let mut basket = Basket { budget, most, taken: Vec::new() };
        while let Some(odd) = self.next_odd(source, next_odd)
            && basket.put(odd, self.cost(odd))
        {
            *next_odd += 1;
            self.asked(odd);
        }
        if !self.is_part(source) {
            while let Some(fresh) = self.fresh.front().copied()
                && basket.put(fresh, self.cost(fresh))
            {
                self.fresh.pop_front();
                self.asked(fresh);
            }
        }
        if self.is_part(source) || self.fresh.is_empty() {
            // What one alone holds, then the others.
            for most_held in [1, u8::MAX] {
                self.take_shared(source, most_held, &mut basket);
            }
        }
        basket.taken
    }

    fn take_shared(&mut self, source: usize, most_held: u8, basket: &mut Basket) {
        let before = basket.taken.len();
        let mut shared = std::mem::take(&mut self.shared);
        shared.retain(|index| {
            let fits = |blob: &Blob| {
                blob.held <= most_held && self.holds_it(source, blob) && basket.put(*index, blob.cost)
            };
            !self.blobs.get(*index).is_some_and(fits)
        });
        self.shared = shared;
        for index in basket.taken.get(before..).unwrap_or_default() {
            self.asked(*index);
        }
    }

    /// Whether there is anything that a source can be asked for.
    pub(super) fn has_for(&self, source: usize, next_odd: usize) -> bool {
        let holds = |index: &usize| self.blobs.get(*index).is_some_and(|blob| self.holds_it(source, blob));
        (!self.fresh.is_empty() && !self.is_part(source))
            || self.shared.iter().any(holds)
            || self.next_odd(source, &mut next_odd.clone()).is_some()
    }

    /// The next blob that somebody else refused, moving on to it.
    fn next_odd(&self, source: usize, next_odd: &mut usize) -> Option<usize> {
        loop {
            let odd = *self.odd.get(*next_odd)?;
            let may_ask = |blob: &Blob| blob.asked == 0 && self.may_be_asked_of(blob, source);
            if self.blobs.get(odd).is_some_and(may_ask) {
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
        self.blobs.get(blob).is_some_and(|blob| blob.asked == 1 && self.may_be_asked_of(blob, source))
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
        match (blob.refused, blob.held) {
            (0, 0) => self.fresh.push_front(index),
            (0, _) => self.shared.push_front(index),
            _ => self.odd.push(index),
        }
    }

    fn may_be_asked_of(&self, blob: &Blob, source: usize) -> bool {
        blob.state == State::Open && blob.refused & bit(source) == 0 && self.holds_it(source, blob)
    }

    /// Whether a source holds a blob, as far as it says.
    fn holds_it(&self, source: usize, blob: &Blob) -> bool {
        self.parts.get(&source).is_none_or(|files| files.contains(blob.file as u64))
    }
}

/// What is taken for one bundle.
struct Basket {
    budget: u64,
    most: usize,
    taken: Vec<usize>,
}

impl Basket {
    fn is_full(&self) -> bool {
        self.taken.len() >= self.most || (self.budget == 0 && !self.taken.is_empty())
    }

    /// Takes a blob, if there is room for it. The first always has.
    fn put(&mut self, blob: usize, cost: u64) -> bool {
        if self.is_full() || (cost > self.budget && !self.taken.is_empty()) {
            return false;
        }
        self.budget = self.budget.saturating_sub(cost);
        self.taken.push(blob);
        true
    }
}

fn bit(source: usize) -> u64 {
    u32::try_from(source).ok().and_then(|source| 1_u64.checked_shl(source)).unwrap_or(0)
}
