//! Begins to receive a blob, or goes on where it was left.

use std::{
    collections::hash_map::Entry,
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use shoal_content::{Digest, GroupRanges, ProviderKey, Tree};

use super::{
    Body, Disk, Folder, PartFile, Partial, PartialError, Place, Shared, State,
    body::{Memory, Writer},
    record,
    recover::recover,
};
use crate::{
    Store,
    disk::PartialRecord,
    finish::Name,
    lock::lock,
    stamp::{FileId, Stamp},
};

impl Store {
    /// Begins to receive a blob into the part file `part`, or goes on where it was left.
    ///
    /// The folder of `part` must exist. Nothing is made there before a size is claimed. A part file that was
    /// removed or cut since is begun anew; one that this store did not make is never written to.
    pub fn partial(&self, digest: &Digest, part: &Path) -> Result<Partial, PartialError> {
        let Name { dir, name, path } = Name::new(&self.inner.files, part)
            .map_err(|source| PartialError::Io { path: part.to_owned(), source })?;
        let place = Place::File(PartFile { dir, name, path, folder: Folder::Theirs });
        self.partial_in(digest, place)
    }

    /// Begins to receive a manifest, or a page of one, to memory.
    ///
    /// A claim of more bytes than a manifest may have is an error. See [`Partial::into_small`].
    pub fn partial_small(&self, digest: &Digest) -> Partial {
        let state = State::new(None, GroupRanges::empty(), Body::Memory(Memory::default()));
        Partial { shared: Arc::new(self.shared(digest, Place::Memory, state)) }
    }

    /// Begins to receive a blob to `place`, or goes on.
    pub(crate) fn partial_in(&self, digest: &Digest, place: Place) -> Result<Partial, PartialError> {
        let state = State::new(None, GroupRanges::empty(), Body::Memory(Memory::default()));
        let shared = Arc::new(self.shared(digest, place, state));
        let path = shared.path();
        // Found under its path from now on, and not to be opened again; the part file is looked at after.
        match lock(&self.inner.live).entry(path.clone()) {
            Entry::Occupied(known) if known.get().strong_count() > 0 => {
                return Err(PartialError::InUse { path });
            }
            Entry::Occupied(mut gone) => drop(gone.insert(Arc::downgrade(&shared))),
            Entry::Vacant(free) => drop(free.insert(Arc::downgrade(&shared))),
        }
        if let Some(resumed) = shared.resume()? {
            *lock(&shared.state) = resumed;
        } else if *digest == Digest::of(&[]) {
            // There is nothing to receive, nor to prove.
            let mut state = lock(&shared.state);
            state.tree = Some(Tree::new(0));
            state.have = GroupRanges::all(1);
        }
        Ok(Partial { shared })
    }

    fn shared(&self, digest: &Digest, place: Place, state: State) -> Shared {
        Shared {
            store: self.clone(),
            digest: *digest,
            key: ProviderKey::derive(&self.inner.network, digest),
            place,
            state: Mutex::new(state),
            syncing: Mutex::new(()),
        }
    }
}

impl Shared {
    /// Opens the part file and the hash tree that a record speaks of.
    fn resume(&self) -> Result<Option<State>, PartialError> {
        let Place::File(PartFile { dir, name, path, .. }) = &self.place else {
            return Ok(None);
        };
        let io = |source| PartialError::Io { path: path.clone(), source };
        let partials = &self.store.inner.partials;
        let stem = record::stem(path);
        let known = record::read(partials, &stem).map_err(io)?;
        let Some(known) = known.filter(|known| known.part == path.as_os_str().as_bytes()) else {
            return Ok(None);
        };
        let data = match dir.open_writable(name) {
            Ok(data) => data,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                record::remove(partials, &stem).map_err(io)?;
                return Ok(None);
            }
            Err(error) => return Err(io(error)),
        };
        let metadata = data.metadata().map_err(io)?;
        if FileId::of(&metadata) != known.id {
            record::remove(partials, &stem).map_err(io)?;
            return Ok(None);
        }
        let pairs = match record::open_pairs(&self.store.inner, &stem, &self.digest) {
            Ok(pairs) if known.digest == self.digest => pairs,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            // Other content was received into this file of ours, or its hash tree is lost: begin anew.
            _ => {
                record::remove(partials, &stem).map_err(io)?;
                dir.remove(name).map_err(io)?;
                return Ok(None);
            }
        };
        if !data.hold() {
            return Err(PartialError::InUse { path: path.clone() });
        }
        let sequence = AtomicU64::new(known.sequence.saturating_add(1));
        let writer = Writer::new(Stamp::of(&metadata));
        let disk = Disk { data, pairs, id: known.id, stem, sequence, writer };
        self.resume_from(&known, disk, Stamp::of(&metadata)).map(Some).map_err(io)
    }

    /// Believes the record if nobody touched the part file since; else looks what is really there.
    fn resume_from(&self, known: &PartialRecord, disk: Disk, stamp: Stamp) -> io::Result<State> {
        let tree = Tree::new(known.size);
        let is_clean = stamp == known.stamp;
        let have = if is_clean { tree.clip(&known.have) } else { recover(&self.digest, tree, &disk)? };
        let mut state = State::new(Some(tree), have, Body::Disk(Arc::new(disk)));
        // What was recovered has no record yet, and may not be durable.
        state.unsynced = u64::from(!is_clean);
        Ok(state)
    }
}
