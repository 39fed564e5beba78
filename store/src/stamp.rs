//! What a file looked like when it was read, so that a later look shows whether it changed.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[cfg(test)]
mod tests;

/// A file modified this shortly before it was read may be modified again within one tick of the file
/// system's clock, or have pages in memory that a program is still writing to; its stamp says nothing then.
const FRESH: Duration = Duration::from_secs(60);

/// Size, times and inode of a file: if any differs, the bytes may.
///
/// The device is not in it. Its number moves when disks are plugged in another order, and every file on it
/// would have to be read again; two files that agree in inode and in both times to the nanosecond are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    pub(crate) ctime_ns: i64,
    pub(crate) inode: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Whether the file was modified so shortly before `now` that an equal stamp proves little.
    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        since_epoch(now).saturating_sub(self.mtime_ns) < i64::try_from(FRESH.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// Which file it is, whatever happens to its bytes and its name.
///
/// The time of birth is there because the number of a deleted file soon goes to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) inode: u64,
    /// 0 where the file system does not tell.
    pub(crate) born_ns: i64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), born_ns: metadata.created().map_or(0, since_epoch) }
    }
}

fn since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
