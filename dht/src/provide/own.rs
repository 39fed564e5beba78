//! Our own keys in the order of the key space, for all overlays at once.
//!
//! A node may share a hundred thousand things and tell two overlays of each, so this costs 48 bytes for a key and
//! no more: sorted lists, one for each part of the key space, and what each overlay knows of a key in four bytes.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_content::ProviderKey;

use crate::position::Position;
use crate::scope::Scope;

/// Parts of the key space, by the first byte of a position. With more, inserting would move less and an empty
/// table would be larger.
pub(crate) const CELLS: usize = 256;

/// Room for further keys, as a part of those there are. Doubling a list would waste half of the memory.
const SPARE_PART: usize = 8;

/// Names a batch of messages of one overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchId(pub(super) u32);

/// How far telling of a key has come in one overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not ours there.
    Foreign,
    /// It is to be told, and nobody waits for it.
    Due,
    /// It is to be told, and somebody waits for it.
    Awaited,
    /// It was told last with this batch.
    In(BatchId),
}

/// A state in four bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Packed(u32);

impl Packed {
    const FOREIGN: u32 = 0;
    const DUE: u32 = 1;
    const AWAITED: u32 = 2;
    const FIRST_BATCH: u32 = 3;
}

impl From<State> for Packed {
    fn from(state: State) -> Self {
        Self(match state {
            State::Foreign => Self::FOREIGN,
            State::Due => Self::DUE,
            State::Awaited => Self::AWAITED,
            State::In(BatchId(id)) => id.saturating_add(Self::FIRST_BATCH),
        })
    }
}

impl From<Packed> for State {
    fn from(Packed(packed): Packed) -> Self {
        match packed {
            Packed::FOREIGN => Self::Foreign,
            Packed::DUE => Self::Due,
            Packed::AWAITED => Self::Awaited,
            batch => Self::In(BatchId(batch - Packed::FIRST_BATCH)),
        }
    }
}

/// One key. Its place is the beginning of its position, enough to sort by.
#[derive(Debug)]
struct Own {
    place: u64,
    key: ProviderKey,
    states: [Packed; 2],
}

/// All of them.
#[derive(Debug)]
pub(crate) struct OwnKeys {
    cells: Vec<Vec<Own>>,
    counts: [usize; 2],
}

impl Default for OwnKeys {
    fn default() -> Self {
        Self { cells: (0..CELLS).map(|_| Vec::new()).collect(), counts: [0; 2] }
    }
}

/// The keys as the overlays and their stores share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedKeys(Arc<Mutex<OwnKeys>>);

impl SharedKeys {
    pub(crate) fn lock(&self) -> MutexGuard<'_, OwnKeys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnKeys {
    /// How many there are in one overlay.
    pub(crate) fn count(&self, scope: Scope) -> usize {
        *slot(&self.counts, scope)
    }

    pub(crate) fn state(&self, scope: Scope, key: &ProviderKey) -> State {
        let place = place_of(key);
        let cell = self.cells.get(cell_of(place)).map(Vec::as_slice).unwrap_or_default();
        let own = find(cell, place, key).ok().and_then(|at| cell.get(at));
        own.map_or(State::Foreign, |own| (*slot(&own.states, scope)).into())
    }

    /// Takes keys in that are foreign so far, each in the state that `state` gives it.
    pub(crate) fn add(
        &mut self,
        scope: Scope,
        keys: impl IntoIterator<Item = ProviderKey>,
        mut state: impl FnMut(usize, &ProviderKey) -> State,
    ) {
        let mut new: Vec<(u64, ProviderKey)> = Vec::new();
        for key in keys {
            let place = place_of(&key);
            match self.get_mut(place, &key) {
                Some(own) => {
                    let packed = slot_mut(&mut own.states, scope);
                    if State::from(*packed) == State::Foreign {
                        *packed = state(cell_of(place), &key).into();
                        *slot_mut(&mut self.counts, scope) += 1;
                    }
                }
                None => new.push((place, key)),
            }
        }
        new.sort_unstable();
        new.dedup();
        *slot_mut(&mut self.counts, scope) += new.len();
        for of_cell in new.chunk_by(|(a, _), (b, _)| cell_of(*a) == cell_of(*b)) {
            let Some((first, _)) = of_cell.first() else { continue };
            let at = cell_of(*first);
            let Some(cell) = self.cells.get_mut(at) else { continue };
            if cell.capacity() < cell.len() + of_cell.len() {
                cell.reserve_exact(of_cell.len() + cell.len() / SPARE_PART);
            }
            for (place, key) in of_cell {
                let mut own = Own { place: *place, key: *key, states: Default::default() };
                *slot_mut(&mut own.states, scope) = state(at, key).into();
                match of_cell {
                    [_] => {
                        let before = find(cell, *place, key).unwrap_or_else(|before| before);
                        cell.insert(before, own);
                    }
                    _ => cell.push(own),
                }
            }
            if of_cell.len() > 1 {
                cell.sort_unstable_by_key(|own| (own.place, own.key));
            }
        }
    }

    /// Changes the state of a key that is ours; gives the one before.
    pub(crate) fn set(&mut self, scope: Scope, key: &ProviderKey, state: State) -> State {
        let Some(own) = self.get_mut(place_of(key), key) else { return State::Foreign };
        let packed = slot_mut(&mut own.states, scope);
        let before = (*packed).into();
        if before != State::Foreign {
            *packed = state.into();
        }
        before
    }

    /// Forgets a key in one overlay; gives the state that it had.
    pub(crate) fn remove(&mut self, scope: Scope, key: &ProviderKey) -> State {
        let before = self.set(scope, key, State::Foreign);
        if before == State::Foreign {
            return before;
        }
        *slot_mut(&mut self.counts, scope) -= 1;
        let place = place_of(key);
        if let Some(cell) = self.cells.get_mut(cell_of(place))
            && let Ok(at) = find(cell, place, key)
            && cell.get(at).is_some_and(|own| own.states == <[Packed; 2]>::default())
        {
            cell.remove(at);
        }
        before
    }

    /// The keys of one overlay in a part of the key space, in its order.
    pub(crate) fn range(
        &self,
        scope: Scope,
        range: RangeInclusive<u64>,
    ) -> impl Iterator<Item = (u64, ProviderKey, State)> {
        let (first, last) = range.into_inner();
        let cells = self.cells.get(cell_of(first)..=cell_of(last)).unwrap_or_default();
        let within = move |cell: &'_ Vec<Own>| {
            let from = cell.partition_point(|own| own.place < first);
            let to = cell.partition_point(|own| own.place <= last);
            from..to
        };
        let owns = cells.iter().flat_map(move |cell| cell.get(within(cell)).unwrap_or_default());
        owns.filter_map(move |own| {
            let state = State::from(*slot(&own.states, scope));
            (state != State::Foreign).then_some((own.place, own.key, state))
        })
    }

    /// All of them, in whatever overlay they are ours.
    pub(crate) fn all(&self) -> impl Iterator<Item = ProviderKey> {
        self.cells.iter().flatten().map(|own| own.key)
    }

    /// The states of the keys of one overlay in one cell.
    pub(crate) fn states(&self, scope: Scope, cell: usize) -> impl Iterator<Item = State> {
        let owns = self.cells.get(cell).map(Vec::as_slice).unwrap_or_default();
        let states = owns.iter().map(move |own| State::from(*slot(&own.states, scope)));
        states.filter(|state| *state != State::Foreign)
    }

    fn get_mut(&mut self, place: u64, key: &ProviderKey) -> Option<&mut Own> {
        let cell = self.cells.get_mut(cell_of(place))?;
        let at = find(cell, place, key).ok()?;
        cell.get_mut(at)
    }
}

/// The beginning of a key's position.
pub(crate) fn place_of(key: &ProviderKey) -> u64 {
    Position::of_key(key).prefix()
}

/// The part of the key space in which a place is.
pub(crate) fn cell_of(place: u64) -> usize {
    let [first, ..] = place.to_be_bytes();
    first.into()
}

fn find(cell: &[Own], place: u64, key: &ProviderKey) -> Result<usize, usize> {
    cell.binary_search_by(|own| (own.place, &own.key).cmp(&(place, key)))
}

fn slot<T>([lan, wan]: &[T; 2], scope: Scope) -> &T {
    match scope {
        Scope::Lan => lan,
        Scope::Wan => wan,
    }
}

fn slot_mut<T>([lan, wan]: &mut [T; 2], scope: Scope) -> &mut T {
    match scope {
        Scope::Lan => lan,
        Scope::Wan => wan,
    }
}

#[cfg(test)]
mod tests;
