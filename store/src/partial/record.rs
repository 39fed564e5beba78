//! How far a blob has come, on disk: two files per blob, written in turn, so that one of them is always whole.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    sync::atomic::Ordering,
};

use shoal_content::{Digest, GroupRanges, Tree};

use super::{Disk, Shared};
use crate::{
    disk::{PartialRecord, hex},
    files::{Dir, Handle},
    stamp::Stamp,
    store::{Inner, outboard_name},
};

/// Longest record that is read; one with the most ranges is not much more than half of this.
const MAX_RECORD_LEN: u64 = 2 * 1024 * 1024;

/// What the names of the two records and of the hash tree end in.
const SLOTS: [&str; 2] = [".a", ".b"];
const PAIRS: &str = ".tree";

/// Length of the beginning that these names share.
const STEM_LEN: usize = 32;

/// The beginning of the names of everything that is kept about the part file at `path`.
pub(crate) fn stem(path: &Path) -> String {
    let hash = blake3::hash(path.as_os_str().as_bytes());
    hex(hash.as_bytes().first_chunk::<16>().map_or(&[], |half| half.as_slice()))
}

pub(crate) fn pairs_name(stem: &str) -> OsString {
    format!("{stem}{PAIRS}").into()
}

fn slot_name(stem: &str, slot: &str) -> OsString {
    format!("{stem}{slot}").into()
}

/// Writes a record of `have`, all of which is durable, over the older of the two.
pub(super) fn write(
    shared: &Shared,
    disk: &Disk,
    stamp: Stamp,
    tree: Tree,
    have: GroupRanges,
) -> io::Result<()> {
    let sequence = disk.sequence.fetch_add(1, Ordering::SeqCst);
    let record = PartialRecord {
        sequence,
        digest: shared.digest(),
        part: shared.path().into_os_string().into_vec(),
        id: disk.id,
        stamp,
        size: tree.size(),
        have,
    };
    let slot = if sequence.is_multiple_of(2) { SLOTS[0] } else { SLOTS[1] };
    let file = shared.store.inner.partials.create_private(&slot_name(&disk.stem, slot))?;
    file.write_all_at(&record.encode(), 0)?;
    file.sync_data()
}

/// Reads the later of the two records that are whole; nothing if neither is.
pub(crate) fn read(partials: &Dir, stem: &str) -> io::Result<Option<PartialRecord>> {
    let mut latest: Option<PartialRecord> = None;
    for slot in SLOTS {
        let bytes = match partials.open(&slot_name(stem, slot)) {
            Ok(file) => file.read_all(MAX_RECORD_LEN)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Ok(record) = PartialRecord::decode(&bytes)
            && latest.as_ref().is_none_or(|known| known.sequence < record.sequence)
        {
            latest = Some(record);
        }
    }
    Ok(latest)
}

/// Opens the hash tree of a blob. After a failure in the middle of noting the blob it has its final name already.
pub(crate) fn open_pairs(store: &Inner, stem: &str, digest: &Digest) -> io::Result<Handle> {
    match store.partials.open_writable(&pairs_name(stem)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            store.outboards.open_writable(&outboard_name(digest))
        }
        opened => opened,
    }
}

/// Removes both records durably, then the hash tree.
pub(crate) fn remove(partials: &Dir, stem: &str) -> io::Result<()> {
    for slot in SLOTS {
        partials.remove(&slot_name(stem, slot))?;
    }
    partials.sync()?;
    partials.remove(&pairs_name(stem))
}

/// Removes both records of a blob that is noted elsewhere; it does no harm if they come back after a crash.
pub(crate) fn forget(partials: &Dir, stem: &str) -> io::Result<()> {
    SLOTS.iter().try_for_each(|slot| partials.remove(&slot_name(stem, slot)))
}

/// The stem of a name in the folder, unless it is that of something else.
pub(crate) fn stem_of(name: &OsStr) -> Option<&str> {
    let (stem, suffix) = name.to_str()?.split_at_checked(STEM_LEN)?;
    (suffix == PAIRS || SLOTS.contains(&suffix)).then_some(stem)
}
