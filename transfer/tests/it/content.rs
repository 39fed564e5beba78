//! Contents with their hash trees, the stores that hold them, and the encoding a correct response has.

use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use shoal_content::{
    Digest, GROUP_LEN, GroupRanges, NetworkName, Step, Tree, group_cv, left_groups, parent_cv,
};
use shoal_store::{Cancel, Partial, PartialError, PublishOptions, Store};
use shoal_transfer::Pool;
use tempfile::TempDir;

use crate::net::SOON;

/// Bytes that differ from group to group.
pub(crate) fn bytes(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(word).flatten().take(len as usize).collect()
}

/// The pairs of a subtree in pre-order, and what stands above them.
fn pairs(data: &[u8], first: u64, groups: u64, is_root: bool) -> (Vec<[u8; 64]>, [u8; 32]) {
    if groups == 1 {
        return (vec![], group_cv(data, first, is_root));
    }
    let left = left_groups(groups);
    let (left_data, right_data) = data.split_at((left * GROUP_LEN) as usize);
    let (mut all, left_cv) = pairs(left_data, first, left, false);
    let (right_pairs, right_cv) = pairs(right_data, first + left, groups - left, false);
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&left_cv);
    pair[32..].copy_from_slice(&right_cv);
    all.insert(0, pair);
    all.extend(right_pairs);
    (all, parent_cv(&left_cv, &right_cv, is_root))
}

/// A correct encoding of ranges, with each step apart, made without any of the code under test.
pub(crate) fn encode(data: &[u8], ranges: &GroupRanges) -> Vec<(Step, Vec<u8>)> {
    let tree = Tree::new(data.len() as u64);
    let (pairs, root) = pairs(data, 0, tree.groups(), true);
    assert_eq!(root, *Digest::of(data).as_bytes());
    let bytes_of = |step: &Step| match *step {
        Step::Parent { index, .. } => pairs[index as usize].to_vec(),
        Step::Leaf { offset, len, .. } => data[offset as usize..][..len].to_vec(),
    };
    tree.plan(ranges).map(|step| (step, bytes_of(&step))).collect()
}

/// A store in a folder of its own, and a folder for files beside it.
pub(crate) struct Library {
    pub(crate) store: Store,
    pub(crate) dir: TempDir,
}

impl Library {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        let store = Store::open(&dir.path().join("store"), &NetworkName::default()).unwrap();
        Library { store, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("files").join(name)
    }

    /// Publishes a file that looks old, so that it is not verified again as it is sent.
    pub(crate) fn publish(&self, name: &str, data: &[u8]) -> Digest {
        self.publish_fresh(name, data, true)
    }

    pub(crate) fn publish_fresh(&self, name: &str, data: &[u8], age: bool) -> Digest {
        let path = self.path(name);
        std::fs::write(&path, data).unwrap();
        if age {
            let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
        }
        let published = self.store.publish(&path, &PublishOptions::default(), &(), &Cancel::new()).unwrap();
        assert_eq!(published.cid.digest(), Digest::of(data));
        published.cid.digest()
    }

    /// Begins or goes on, once the pool has let go of what an earlier fetch left to sync.
    pub(crate) fn partial(&self, digest: &Digest) -> Partial {
        self.partial_at(digest, ".part")
    }

    pub(crate) fn partial_at(&self, digest: &Digest, name: &str) -> Partial {
        let start = Instant::now();
        loop {
            match self.store.partial(digest, &self.path(name)) {
                Err(PartialError::InUse { .. }) if start.elapsed() < SOON => std::thread::yield_now(),
                partial => return partial.unwrap(),
            }
        }
    }
}

/// Checks that a partial holds exactly these bytes.
pub(crate) fn check_whole(partial: &Partial, data: &[u8]) {
    assert!(partial.is_complete());
    let mut read = vec![0; data.len()];
    partial.blob().unwrap().read_at(0, &mut read).unwrap();
    assert!(read == data, "the bytes differ");
}

/// Checks that what a partial holds is right, as far as it goes. Gives how many groups that are.
pub(crate) fn check_held(partial: &Partial, data: &[u8]) -> u64 {
    let Some(blob) = partial.blob() else { return 0 };
    for group in blob.ranges().iter().flatten() {
        let span = blob.tree().group_span(group);
        let mut read = vec![0; (span.end - span.start) as usize];
        blob.read_at(span.start, &mut read).unwrap();
        assert!(read == data[span.start as usize..span.end as usize], "group {group} differs");
    }
    blob.ranges().len()
}

/// Two threads that may block.
pub(crate) struct Threads(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Threads {
    pub(crate) fn start() -> Arc<dyn Pool> {
        let (sender, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..2 {
            let jobs = jobs.clone();
            std::thread::spawn(move || {
                loop {
                    let Ok(job) = jobs.lock().unwrap().recv() else {
                        return;
                    };
                    job();
                }
            });
        }
        Arc::new(Threads(sender))
    }
}

impl Pool for Threads {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.send(job).unwrap();
    }
}
