//! A blob that is being received.
//!
//! Groups are verified by whoever receives them, before they come here. A blob of up to [`SMALL_LEN`] bytes is
//! kept in memory until it is whole: it costs no file, no sync, and nothing worth resuming. A longer one is
//! written to its *part file*, beside the final name, and its hash tree and a record of what is there to
//! the store. It can be served while it grows.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use shoal_content::{Digest, GROUP_LEN, GroupRanges, PARENT_LEN, ProviderKey, Tree};

use crate::{Blob, Held, ReadError, Store, lock::lock};

mod body;
mod error;
mod fill;
mod filling;
mod open;
mod part;
pub(crate) mod record;
mod recover;
#[cfg(test)]
mod tests;

pub(crate) use body::Body;
use body::Disk;
pub use error::{PartialError, WriteError};
pub use filling::{Filled, Filler};
pub(crate) use part::{Folder, PartFile, PartTrouble};

/// Longest blob that is kept in memory until it is whole: what a kill can cost, and what each of some dozens
/// of transfers can hold in memory at once.
pub(crate) const SMALL_LEN: u64 = 1024 * 1024;

/// Bytes received between two syncs. More would be lost in a power cut.
const SYNC_BYTES: u64 = 64 * 1024 * 1024;

/// Time between two syncs of a blob that arrives slowly.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// A disk with so much left is not the one that was full: no write of a part or of what is kept about it is as long.
const SOME_ROOM: u64 = 16 * 1024 * 1024;

/// Verified bytes, to be written.
#[derive(Clone, Copy, Debug)]
pub enum Verified<'a> {
    /// The pair of hashes in a slot of the outboard.
    Parent {
        /// The slot.
        index: u64,
        /// The pair.
        pair: &'a [u8; PARENT_LEN],
    },
    /// A group, after all the pairs above it.
    Leaf {
        /// Which group.
        group: u64,
        /// All its bytes.
        bytes: &'a [u8],
    },
}

/// A blob that is being received. Clones are the same blob; all methods may be called from several threads.
///
/// Dropping the last clone keeps the part file. What was received since the last [`sync`](Self::sync) is then
/// found again by hashing, when the blob is received to the same part file the next time.
#[derive(Clone, Debug)]
pub struct Partial {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones share, and whoever serves the blob.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    digest: Digest,
    key: ProviderKey,
    pub(crate) place: Place,
    pub(crate) state: Mutex<State>,
    /// Held while syncing, so that records are written in the order in which they were true, and none after
    /// what it speaks of is gone. Taken before `state`.
    pub(crate) syncing: Mutex<()>,
}

/// Where a blob is received to.
#[derive(Debug)]
pub(crate) enum Place {
    /// To memory, for good: a manifest.
    Memory,
    /// To a file.
    File(PartFile),
}

#[derive(Debug)]
pub(crate) struct State {
    /// The shape, once somebody claimed a size.
    pub(crate) tree: Option<Tree>,
    pub(crate) have: GroupRanges,
    pub(crate) body: Body,
    unsynced: u64,
    synced_at: Instant,
    pub(crate) finished: bool,
}

impl State {
    fn new(tree: Option<Tree>, have: GroupRanges, body: Body) -> Self {
        Self { tree, have, body, unsynced: 0, synced_at: Instant::now(), finished: false }
    }

    /// The tree, if its size is proven: the last group can be verified under the right size only.
    fn proven(&self) -> Option<Tree> {
        self.tree.filter(|tree| self.have.contains(tree.groups() - 1))
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.proven().is_some_and(|tree| self.have.len() == tree.groups())
    }
}

impl Partial {
    /// What is being received.
    pub fn digest(&self) -> Digest {
        self.shared.digest
    }

    /// The size, once it is proven.
    pub fn size(&self) -> Option<u64> {
        lock(&self.shared.state).proven().map(|tree| tree.size())
    }

    /// The tree of the size that was claimed last.
    pub fn tree(&self) -> Option<Tree> {
        lock(&self.shared.state).tree
    }

    /// The groups that were received.
    pub fn have(&self) -> GroupRanges {
        lock(&self.shared.state).have.clone()
    }

    /// The groups that were not; all there can be while no size was claimed.
    pub fn missing(&self) -> GroupRanges {
        let state = lock(&self.shared.state);
        let groups = state.tree.map_or(u64::MAX, |tree| tree.groups());
        GroupRanges::all(groups).difference(&state.have)
    }

    /// Counts the bytes that were received.
    pub fn received(&self) -> u64 {
        let state = lock(&self.shared.state);
        state.tree.map_or(0, |tree| bytes_of(tree, &state.have))
    }

    /// Whether all groups were received.
    pub fn is_complete(&self) -> bool {
        lock(&self.shared.state).is_complete()
    }

    /// Takes somebody's word for the size of the blob, until it is proven.
    ///
    /// Another size than was claimed before loses everything that was received under the old claim; so stay
    /// with one, and ask for the last group early. No space is taken until verified bytes are written.
    pub fn claim_size(&self, size: u64) -> Result<(), WriteError> {
        let _order = lock(&self.shared.syncing);
        let mut state = lock(&self.shared.state);
        if state.finished {
            return Err(WriteError::Finished);
        }
        match (state.tree, state.proven()) {
            (Some(tree), _) if tree.size() == size => return self.shared.check_space(&state),
            (_, Some(tree)) => {
                return Err(WriteError::Size { proven: tree.size(), claimed: size });
            }
            _ => {}
        }
        let body = self.shared.new_body(&mut state, size)?;
        *state = State::new(Some(Tree::new(size)), GroupRanges::empty(), body);
        Ok(())
    }

    /// Writes verified bytes, in the order of [`Tree::plan`]; and syncs, when it is time.
    ///
    /// A group counts as received when this returns.
    pub fn write(&self, items: &[Verified<'_>]) -> Result<(), WriteError> {
        let sync = self.shared.write(items)?;
        if sync && let Ok(guard) = self.shared.syncing.try_lock() {
            self.shared.sync_locked(&guard)?;
        }
        Ok(())
    }

    /// Makes what was received durable, then the record of it.
    ///
    /// Call it before the last clone is dropped to save the hashing the next time.
    pub fn sync(&self) -> Result<(), WriteError> {
        self.shared.sync_locked(&lock(&self.shared.syncing))
    }

    /// Opens what was received so far, to be served; nothing while no size was claimed.
    pub fn blob(&self) -> Option<Blob> {
        self.shared.blob()
    }

    /// Removes the part file and what the store knows of it.
    pub fn abandon(self) -> Result<(), WriteError> {
        let _order = lock(&self.shared.syncing);
        let mut state = lock(&self.shared.state);
        state.finished = true;
        self.shared.discard(&mut state)
    }
}

impl Shared {
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn key(&self) -> ProviderKey {
        self.key
    }

    /// The path to name in errors.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.place {
            Place::File(file) => file.path.clone(),
            Place::Memory => PathBuf::from(self.digest.to_string()),
        }
    }

    pub(crate) fn io(&self, source: io::Error) -> WriteError {
        let path = match &self.place {
            Place::File(file) if source.kind() == io::ErrorKind::StorageFull => {
                let inner = &self.store.inner;
                let kept_is_full = only_kept_is_full(file.dir.space().ok(), inner.partials.space().ok());
                if kept_is_full { inner.path.clone() } else { self.path() }
            }
            _ => self.path(),
        };
        WriteError::Io { path, source }
    }

    pub(crate) fn held(&self) -> Option<Held> {
        let state = lock(&self.state);
        let tree = state.tree.filter(|_| !state.have.is_empty() && !state.finished)?;
        Some(Held { size: tree.size(), ranges: state.have.clone(), complete: state.is_complete() })
    }

    pub(crate) fn blob(self: &Arc<Self>) -> Option<Blob> {
        let state = lock(&self.state);
        Some(Blob::partial(state.tree?, state.have.clone(), Arc::clone(self)))
    }

    /// Writes to memory or disk; tells whether it is time to sync.
    fn write(&self, items: &[Verified<'_>]) -> Result<bool, WriteError> {
        let mut state = lock(&self.state);
        if state.finished {
            return Err(WriteError::Finished);
        }
        let tree = state.tree.ok_or(WriteError::Misfit)?;
        let written = body::check(tree, items)?;
        let was_proven = state.proven().is_some();
        let disk = match &mut state.body {
            Body::Memory(memory) => {
                memory.write(tree, items);
                None
            }
            Body::Disk(disk) => Some(Arc::clone(disk)),
        };
        if let Some(disk) = disk {
            // Others may read and write meanwhile.
            drop(state);
            disk.write(items).map_err(|source| self.io(source))?;
            state = lock(&self.state);
            if !matches!(&state.body, Body::Disk(now) if Arc::ptr_eq(now, &disk)) {
                return Err(WriteError::Misfit);
            }
        }
        for item in items {
            if let Verified::Leaf { group, .. } = item {
                state.have.insert(*group..*group + 1);
            }
        }
        state.unsynced += written;
        if !was_proven && state.proven().is_some() {
            self.check_space(&state)?;
        }
        Ok(state.unsynced >= SYNC_BYTES || state.synced_at.elapsed() >= SYNC_INTERVAL)
    }

    /// Refuses to go on when the rest of the blob has no room, as soon as its size is more than a claim.
    fn check_space(&self, state: &State) -> Result<(), WriteError> {
        let (Some(tree), Place::File(file)) = (state.proven(), &self.place) else {
            return Ok(());
        };
        let need = tree.size() - bytes_of(tree, &state.have);
        let available = file.dir.space().map_err(|source| self.io(source))?;
        if need <= available {
            return Ok(());
        }
        Err(WriteError::NoSpace { path: file.path.clone(), need, available })
    }

    /// Finds out what is good of a part file to which somebody else wrote, and goes on from there.
    pub(crate) fn look_again(&self, state: &mut State) -> io::Result<()> {
        let (Body::Disk(disk), Some(tree)) = (&state.body, state.tree) else { return Ok(()) };
        // What they write from here on shows the next time.
        disk.write_again()?;
        state.have = recover::recover(&self.digest, tree, disk)?;
        // The record is of what was there before.
        state.unsynced = state.unsynced.max(1);
        Ok(())
    }

    fn sync_locked(&self, _order: &MutexGuard<'_, ()>) -> Result<(), WriteError> {
        let mut state = lock(&self.state);
        let (Body::Disk(disk), Some(tree)) = (&state.body, state.tree) else { return Ok(()) };
        if state.unsynced == 0 || state.finished {
            return Ok(());
        }
        let (disk, have) = (Arc::clone(disk), state.have.clone());
        let received = std::mem::take(&mut state.unsynced);
        state.synced_at = Instant::now();
        // What arrives meanwhile is for the next time.
        drop(state);
        let synced = disk.sync().and_then(|stamp| record::write(self, &disk, stamp, tree, have));
        synced.map_err(|source| {
            lock(&self.state).unsynced += received;
            self.io(source)
        })
    }

    pub(crate) fn read_at(&self, tree: Tree, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let Some(last) = offset.checked_add(buffer.len() as u64).and_then(|end| end.checked_sub(1)) else {
            return Ok(());
        };
        let groups = offset / GROUP_LEN..last / GROUP_LEN + 1;
        let disk = {
            let state = lock(&self.state);
            let wanted = GroupRanges::from(groups);
            if state.tree != Some(tree) || !wanted.difference(&state.have).is_empty() {
                return Err(ReadError::NotHere);
            }
            match &state.body {
                Body::Memory(memory) => return memory.read_at(offset, buffer).ok_or(ReadError::NotHere),
                Body::Disk(disk) => Arc::clone(disk),
            }
        };
        disk.read_at(offset, buffer).map_err(|source| ReadError::Io { path: self.path(), source })
    }

    pub(crate) fn parent(&self, tree: Tree, index: u64) -> Result<[u8; PARENT_LEN], ReadError> {
        let disk = {
            let state = lock(&self.state);
            match &state.body {
                _ if state.tree != Some(tree) => return Err(ReadError::NotHere),
                Body::Memory(memory) => return memory.parent(index).ok_or(ReadError::NotHere),
                Body::Disk(disk) => Arc::clone(disk),
            }
        };
        disk.parent(index).map_err(|source| ReadError::Io { path: self.path(), source })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Place::File(PartFile { path, .. }) = &self.place {
            // Another may have been opened for the same file since the last clone of this one went.
            let mut live = lock(&self.store.inner.live);
            if live.get(path).is_some_and(|known| known.strong_count() == 0) {
                live.remove(path);
            }
        }
    }
}

/// Whether a disk without room is that of what is kept about a part, not that of the part, by what each has left.
fn only_kept_is_full(part: Option<u64>, kept: Option<u64>) -> bool {
    part.is_some_and(|room| room >= SOME_ROOM) && kept.is_some_and(|room| room < SOME_ROOM)
}

fn bytes_of(tree: Tree, have: &GroupRanges) -> u64 {
    have.iter().map(|range| tree.group_span(range.end - 1).end - tree.group_span(range.start).start).sum()
}
