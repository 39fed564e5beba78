//! How far telling has come, for a node that keeps it on disk: a restart is no reason to tell everything again.
//!
//! For each part of the key space it says until when every key that was ours then had been told, when the oldest of
//! those announcements was made, and until when it holds. So it is small whatever a node shares, and one that is
//! somewhat out of date makes the node tell a little too much, never too little.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::batch::{renew_after, stagger};
use super::ledger::{Ledger, Told};
use super::own::{CELLS, State};
use crate::record_store::MAX_AGE;
use crate::scope::{AddressClass, MAX_ADDRESSES, Scope};

const VERSION: u8 = 1;

/// Announcements that hold for less than this are as good as over: they are told at once.
const NEARLY_OVER: Duration = Duration::from_secs(60);

/// What was told in one overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Addresses that each of those announcements names.
    pub(super) addresses: Vec<Multiaddr>,
    /// Peers in the routing table when that was done; the least, where it differs.
    peers: usize,
    cells: Vec<Option<Cell>>,
    /// How many batches had been opened in this run; not kept.
    opened: u32,
}

/// A part of the key space. The times are seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Every key that was ours then had been told.
    known: u64,
    /// The oldest of those announcements was made then.
    told: u64,
    /// The first of them to expire does so then.
    until: u64,
}

/// The wall clock as it was at some moment: what happens to it later is not to change what was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Instant,
    /// Since the Unix epoch. Not in whole seconds: what is ours since a second would seem to be so for up to one less.
    wall: Duration,
}

impl Clock {
    pub(crate) fn new(at: Instant, wall: SystemTime) -> Self {
        Self { at, wall: wall.duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    fn seconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.at);
        let before = self.at.saturating_duration_since(at);
        self.wall.saturating_add(since).saturating_sub(before).as_secs()
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self { addresses: Vec::new(), peers: 0, cells: vec![None; CELLS], opened: 0 }
    }
}

impl Mark {
    /// Brings the mark up to date. Parts of the key space in which something is still to be told stay as they were.
    pub(super) fn update(&mut self, ledger: &Ledger, clock: Clock, now: Instant) {
        let known = clock.seconds(now);
        let keys = ledger.keys.lock();
        for (at, cell) in self.cells.iter_mut().enumerate() {
            let mut oldest: Option<(Instant, u64)> = None;
            let mut is_whole = true;
            for state in keys.states(ledger.scope, at) {
                let State::In(id) = state else {
                    is_whole = false;
                    break;
                };
                let told = ledger.batches.get(&id).filter(|batch| batch.open == 0 && batch.taken > 0);
                let Some((opened, ttl)) = told.and_then(|batch| batch.opened.zip(batch.ttl())) else {
                    is_whole = false;
                    break;
                };
                let until = clock.seconds(opened).saturating_add(ttl.as_secs());
                let (first, soonest) = oldest.unwrap_or((opened, until));
                oldest = Some((first.min(opened), soonest.min(until)));
            }
            if is_whole {
                *cell = oldest.map(|(opened, until)| Cell { known, told: clock.seconds(opened), until });
            }
        }
        self.peers = ledger.least_peers();
        self.opened = ledger.opened();
    }

    /// Forgets everything, because it is not what should be told any more.
    pub(super) fn void(&mut self) {
        self.cells.fill(None);
    }

    /// What the mark says of a key that has been ours `since` a second, in a cell.
    pub(super) fn told(&self, cell: usize, since: u64, clock: Clock, now: Instant) -> Option<Told> {
        let Cell { known, told, until } = (*self.cells.get(cell)?)?;
        let second = clock.seconds(now);
        // A clock that was set back makes lies of all of these.
        let makes_sense = told <= known && known <= second && until.saturating_sub(told) <= MAX_AGE.as_secs();
        let left = Duration::from_secs(until.saturating_sub(second));
        if since >= known || !makes_sense || left < NEARLY_OVER {
            return None;
        }
        let (ttl, age) = (Duration::from_secs(until - told), Duration::from_secs(second - told));
        // What was told at one moment is not told again at one moment, nor is all that is late meanwhile while others
        // still know it.
        let place = u64::try_from(cell).unwrap_or(0) << (u64::BITS - u8::BITS);
        let wait = match renew_after(ttl).checked_sub(age) {
            Some(latest) => {
                let earliest = latest.checked_sub(stagger(renew_after(ttl) / 2, place));
                earliest.unwrap_or_else(|| stagger(latest, place))
            }
            None => stagger(left / 2, place),
        };
        Some(Told { opened: now.checked_sub(age), ttl, renew: now + wait, peers: self.peers })
    }

    fn is_same(&self, other: &Self) -> bool {
        let of = |cell: &Option<Cell>| cell.map(|cell| (cell.told, cell.until));
        (&self.addresses, self.opened) == (&other.addresses, other.opened)
            && self.cells.iter().map(of).eq(other.cells.iter().map(of))
    }
}

/// The marks of the overlays, as bytes.
pub(crate) fn encode(marks: &[(Scope, Mark)]) -> Vec<u8> {
    let rows = marks.iter().map(|(scope, mark)| {
        let addresses = mark.addresses.iter().take(MAX_ADDRESSES);
        let addresses = addresses.map(|address| ByteBuf::from(address.to_vec())).collect();
        let cells = mark.cells.iter().zip(0_u32..);
        let cells = cells
            .filter_map(|(cell, at)| cell.map(|Cell { known, told, until }| (at, known, told, until)))
            .collect();
        ScopeRow(scope.as_str().to_owned(), addresses, u64::try_from(mark.peers).unwrap_or(0), cells)
    });
    // It holds numbers, text and bytes, which all have a form.
    serde_ipld_dagcbor::to_vec(&Row(VERSION, rows.collect())).unwrap_or_default()
}

/// Reads marks back; bytes that are none are as good as a node that never told anything.
pub(crate) fn decode(bytes: &[u8]) -> Vec<(Scope, Mark)> {
    let Ok(Row(VERSION, rows)) = serde_ipld_dagcbor::from_slice(bytes) else { return Vec::new() };
    let mark = |ScopeRow(scope, addresses, peers, cells): ScopeRow| {
        let scope = [Scope::Lan, Scope::Wan].into_iter().find(|known| known.as_str() == scope)?;
        let addresses = addresses.into_iter().map(|bytes| Multiaddr::try_from(bytes.into_vec()));
        let addresses: Vec<_> = addresses.collect::<Result<_, _>>().ok()?;
        let addresses = scope.usable(&addresses, AddressClass::Loopback);
        let mut mark = Mark { addresses, peers: usize::try_from(peers).ok()?, ..Mark::default() };
        for (at, known, told, until) in cells {
            *mark.cells.get_mut(usize::try_from(at).ok()?)? = Some(Cell { known, told, until });
        }
        Some((scope, mark))
    };
    rows.into_iter().filter_map(mark).collect()
}

/// The version, and a row for each overlay.
#[derive(Serialize, Deserialize)]
struct Row(u8, Vec<ScopeRow>);

/// Its name, the addresses, the peers in the table, and for each cell of which something is known its number and times.
#[derive(Serialize, Deserialize)]
struct ScopeRow(String, Vec<ByteBuf>, u64, Vec<(u32, u64, u64, u64)>);

/// The marks of all overlays, and what of them is on disk.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    written: Vec<(Scope, Mark)>,
}

impl Marks {
    /// Takes what an earlier run wrote.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self { written: decode(bytes) }
    }

    pub(crate) fn of(&self, scope: Scope) -> Option<&Mark> {
        self.written.iter().find(|(known, _)| *known == scope).map(|(_, mark)| mark)
    }

    /// The bytes to write if `marks` say something else than what was written last.
    pub(crate) fn changed(&mut self, marks: Vec<(Scope, Mark)>) -> Option<Vec<u8>> {
        let is_same = marks.len() == self.written.len()
            && marks.iter().zip(&self.written).all(|((a, new), (b, old))| a == b && new.is_same(old));
        if is_same {
            return None;
        }
        let bytes = encode(&marks);
        self.written = marks;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
