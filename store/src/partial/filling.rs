//! Who fills a part at this moment: this store, or another process.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Weak,
};

use shoal_content::Cid;

use crate::{Store, files::Handle, finish::Name, lock::lock};

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
