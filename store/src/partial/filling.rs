//! Who fills a part at this moment: this store, or another process.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use shoal_content::Cid;

use super::{Partial, Shared};
use crate::{Store, files::Handle, finish::Name, lock::lock, stamp::Stamp};

/// Where Linux lists who has locked what.
const LOCKS: &str = "/proc/locks";

/// Who fills a part file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// This store, with this content.
    ThisStore(Cid),
    /// Another process that has another store.
    Other {
        /// Its number, where the system tells.
        pid: Option<u32>,
    },
}

/// How far a part has come. It is another one after anything was received to it, by whomever, as far as that shows on disk;
/// what this store holds in memory shows too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    received: u64,
    sizes: u64,
    times: i64,
}

impl Store {
    /// Who fills the part file or folder `part` now. One that was left, by whomever, is filled by nobody.
    pub fn filler(&self, part: &Path) -> Option<Filler> {
        let Name { dir, name, path } = Name::new(&self.inner.files, part).ok()?;
        if let Some(cid) = self.own(&path) {
            return Some(Filler::ThisStore(cid));
        }
        let found = dir.open(&name).ok()?;
        if !found.is_held() {
            return None;
        }
        // It may have become ours, and it may have got its final name.
        if let Some(cid) = self.own(&path) {
            return Some(Filler::ThisStore(cid));
        }
        Some(Filler::Other { pid: holder_of(&found) })
    }

    /// How far the part file or folder `part` has come. Looks at every file of a folder.
    pub fn filled(&self, part: &Path) -> Filled {
        let files = &self.inner.files;
        let mut filled = Filled::default();
        let Ok(Name { path, .. }) = Name::new(files, part) else { return filled };
        // One of these may have become the last clone, which must not go under the lock.
        let alive: Vec<Arc<Shared>> = lock(&self.inner.live).values().filter_map(Weak::upgrade).collect();
        for shared in alive {
            if shared.path().starts_with(&path) {
                filled.received = filled.received.wrapping_add(Partial { shared }.received());
            }
        }
        // What cannot be looked at, or goes meanwhile, shows nothing.
        let top = files.stat(&path).map(|metadata| (path, metadata));
        let mut left: Vec<_> = top.into_iter().collect();
        while let Some((path, metadata)) = left.pop() {
            let stamp = Stamp::of(&metadata);
            filled.sizes = filled.sizes.wrapping_add(stamp.size);
            filled.times = filled.times.wrapping_add(stamp.ctime_ns);
            if metadata.is_dir() {
                let entries = files.list(&path).unwrap_or_default();
                left.extend(
                    entries.into_iter().filter_map(|(name, known)| Some((path.join(name), known.ok()?))),
                );
            }
        }
        filled
    }

    fn own(&self, path: &PathBuf) -> Option<Cid> {
        // The last clone of one that is looked at here may have gone meanwhile: it must not go under the lock.
        let blob = lock(&self.inner.live).get(path).and_then(Weak::upgrade);
        if let Some(blob) = blob {
            return Some(Cid::file(blob.digest()));
        }
        let all = lock(&self.inner.placed);
        let (root, _) = all.get(path).filter(|(_, placed)| placed.strong_count() > 0)?;
        Some(Cid::directory(*root))
    }
}

/// The process that holds a lock on a file.
fn holder_of(file: &Handle) -> Option<u32> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string(LOCKS).ok()?;
    locks.lines().find_map(|line| {
        // 1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234567 0 EOF
        let mut words = line.split_whitespace().skip(4);
        let (pid, place) = (words.next()?, words.next()?);
        let is_it = place.rsplit(':').next() == Some(inode.as_str());
        pid.parse().ok().filter(|pid| is_it && *pid > 0)
    })
}
