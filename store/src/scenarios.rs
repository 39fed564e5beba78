//! Every scenario, once for each input or output it makes, with that one failing, or that and all after it.
//!
//! After the failure the store is opened again on a healthy disk. Then what was acknowledged must be there, what
//! was not must be there wholly or not at all, whatever the store serves must be right, and doing it again must
//! work and leave nothing behind.

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use shoal_content::{Cid, Digest, Entry, GroupRanges, Manifest, RelPath};

use crate::{
    Cancel, FinishOptions, Member, PublishOptions, Replace, Selector, SmallFile, Standing, Store,
    files::fault::Faults,
    testing::{Home, Sender, pattern, publish, read_verified},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Something that is done with a store, in a home that was prepared for it.
struct Scenario {
    prepare: fn(&Home),
    act: fn(&Home, &Store) -> Outcome,
    /// Looks at a healthy store; tells whether the deed was done.
    done: fn(&Home, &Store) -> bool,
}

/// How many entries the folders of the store's files have when nothing is left over.
fn count(home: &Home, folder: &str) -> usize {
    fs::read_dir(home.path("store").join(folder)).unwrap().count()
}

impl Scenario {
    fn run(&self) {
        let calls = self.attempt(Faults::default()).calls();
        assert!(calls > 10, "a scenario that does nothing");
        let mut injected = 0;
        for number in 0..calls {
            injected += self.attempt(Faults::once(number)).injected();
            injected += self.attempt(Faults::from(number)).injected();
        }
        assert!(injected >= 2 * calls, "{injected} faults in {calls} calls");
    }

    fn attempt(&self, faults: Faults) -> Arc<Faults> {
        let home = Home::new();
        (self.prepare)(&home);
        let faults = Arc::new(faults);
        let acknowledged = match home.open_on(&faults) {
            Ok(store) => {
                (self.act)(&home, &store).is_ok() || {
                    // A disk that failed once works again, with the same store.
                    let again = (self.act)(&home, &store);
                    assert!(again.is_ok() || faults.injected() != 1, "{again:?} {faults:?}");
                    again.is_ok()
                }
            }
            Err(_) => false,
        };
        let context = format!("{faults:?}");
        let store = home.open();
        let done = (self.done)(&home, &store);
        assert!(done || !acknowledged, "acknowledged and not there: {context}");
        check_all(&store, &context);
        if !done {
            let again = (self.act)(&home, &store);
            assert!(again.is_ok(), "not possible any more: {again:?} {context}");
            assert!((self.done)(&home, &store), "{context}");
        }
        drop(store);
        let store = home.open();
        assert!((self.done)(&home, &store), "{context}");
        store.collect().unwrap();
        check_all(&store, &context);
        assert_eq!(count(&home, "partials"), 0, "{context}");
        faults
    }
}

/// Everything that the store says it has must be right to the last bit.
fn check_all(store: &Store, context: &str) {
    let report = store.verify(&(), &Cancel::new()).unwrap();
    assert!(report.corrupt.is_empty(), "{report:?} {context}");
    let blobs =
        store.inner.db.read(|read| read.blobs()?.map(|row| Ok(row?.0)).collect::<Result<Vec<Digest>, _>>());
    for digest in blobs.unwrap() {
        if let Ok(Some(blob)) = store.blob(&digest) {
            let bytes = read_verified(&blob, digest);
            assert!(!blob.is_complete() || Digest::of(&bytes) == digest, "{context}");
        }
    }
}

/// Long enough for an outboard file, short enough to be hashed a thousand times.
const LONG: u64 = 1024 * 1024 + 20_000;

fn options() -> PublishOptions {
    PublishOptions { threads: std::num::NonZeroUsize::new(1), ..PublishOptions::default() }
}

fn publish_at(home: &Home, store: &Store, name: &str) -> Outcome {
    let published = store.publish(&home.path(name), &options(), &(), &Cancel::new())?;
    // A file that could not be read is left out and named, and the rest is published.
    if published.skipped.is_empty() { Ok(()) } else { Err(format!("{:?}", published.skipped).into()) }
}

fn is_shared(home: &Home, store: &Store, name: &str, cid: Cid) -> bool {
    let path = home.path(name);
    let shares = store.shares().unwrap();
    let share = shares.iter().find(|share| share.path == path && share.cid == cid);
    if let Some(share) = share {
        assert_eq!(share.state, crate::ShareState::Ok);
        assert!(store.blob(&cid.digest()).unwrap().unwrap().is_complete());
    }
    share.is_some()
}

#[test]
fn publish_a_file() {
    Scenario {
        prepare: |home| drop(home.write("file", &pattern(LONG, 1))),
        act: |home, store| publish_at(home, store, "file"),
        done: |home, store| {
            let data = fs::read(home.path("file")).unwrap();
            assert_eq!(data, pattern(LONG, 1));
            is_shared(home, store, "file", Cid::file(Digest::of(&data)))
        },
    }
    .run();
}

const FILES: [(&str, u64); 4] = [("a", 10), ("b/c", 0), ("b/long", LONG), ("b/two groups", 20_000)];

fn write_directory(home: &Home, seed: u64) {
    for (name, len) in FILES {
        home.write(&format!("dir/{name}"), &pattern(len, seed));
    }
}

fn manifest(seed: u64) -> Manifest {
    let entry = |(name, len): (&str, u64)| Entry {
        path: RelPath::parse(name).unwrap(),
        size: len,
        digest: Digest::of(&pattern(len, seed)),
        executable: false,
    };
    Manifest::new(FILES.map(entry).to_vec()).unwrap()
}

#[test]
fn publish_a_directory() {
    Scenario {
        prepare: |home| write_directory(home, 1),
        act: |home, store| publish_at(home, store, "dir"),
        done: |home, store| is_shared(home, store, "dir", manifest(1).encode().cid()),
    }
    .run();
}

#[test]
fn publish_a_directory_that_has_changed() {
    Scenario {
        prepare: |home| {
            write_directory(home, 1);
            publish(&home.open(), &home.path("dir"));
            write_directory(home, 2);
            fs::remove_file(home.path("dir/a")).unwrap();
        },
        act: |home, store| publish_at(home, store, "dir"),
        done: |home, store| {
            let left: Vec<_> = manifest(2).entries()[1..].to_vec();
            let done = is_shared(home, store, "dir", Manifest::new(left).unwrap().encode().cid());
            // What it was before is there until something else is in its place, and no longer.
            let old = manifest(1).encode().cid();
            let is_old = store.shares().unwrap().iter().any(|share| share.cid == old);
            assert_eq!(store.blob(&old.digest()).unwrap().is_some(), is_old);
            assert!(!(is_old && done));
            done
        },
    }
    .run();
}

#[test]
fn unpublish_a_directory() {
    Scenario {
        prepare: |home| {
            write_directory(home, 1);
            let store = home.open();
            publish(&store, &home.path("dir"));
            publish(&store, &home.path("dir/b/long"));
        },
        act: |home, store| {
            store.unpublish(&Selector::Path(home.path("dir")))?;
            Ok(())
        },
        done: |home, store| {
            let long = Digest::of(&pattern(LONG, 1));
            assert!(is_shared(home, store, "dir/b/long", Cid::file(long)));
            assert_eq!(count(home, "outboards"), 1);
            assert!(store.lost().iter().all(|path| *path != home.path("dir")));
            let gone = !is_shared(home, store, "dir", manifest(1).encode().cid());
            assert_eq!(store.blob(&Digest::of(&pattern(10, 1))).unwrap().is_none(), gone);
            gone
        },
    }
    .run();
}

/// What is received, made once: it is needed a thousand times.
static LONG_FILE: LazyLock<Sender> = LazyLock::new(|| Sender::new(pattern(LONG, 3)));
static SHORT_FILE: LazyLock<Sender> = LazyLock::new(|| Sender::new(pattern(40_000, 3)));

fn is_received(home: &Home, store: &Store, sender: &Sender) -> bool {
    if !home.path("file").exists() {
        assert!(!is_shared(home, store, "file", Cid::file(sender.digest)));
        return false;
    }
    assert_eq!(fs::read(home.path("file")).unwrap(), sender.data, "half-written under its final name");
    is_shared(home, store, "file", Cid::file(sender.digest))
}

/// Receives a blob as a node does that is told of the failure, and finds the target in its place when it is.
fn receive(home: &Home, store: &Store, sender: &Sender) -> Outcome {
    let target = home.path("file");
    if target.exists() {
        return publish_at(home, store, "file");
    }
    let partial = store.partial(&sender.digest, &home.path(".file.shoal-part"))?;
    sender.send(&partial, &partial.missing().intersection(&GroupRanges::from(0..40)))?;
    partial.sync()?;
    let missing = partial.missing();
    sender.send(&partial, &missing)?;
    partial
        .finish(&target, &FinishOptions { share_as: Some("file".to_owned()), ..FinishOptions::default() })?;
    Ok(())
}

#[test]
fn receive_a_long_file() {
    Scenario {
        prepare: |_| {},
        act: |home, store| receive(home, store, &LONG_FILE),
        done: |home, store| is_received(home, store, &LONG_FILE),
    }
    .run();
}

#[test]
fn receive_a_short_file() {
    Scenario {
        prepare: |_| {},
        act: |home, store| receive(home, store, &SHORT_FILE),
        done: |home, store| is_received(home, store, &SHORT_FILE),
    }
    .run();
}

#[test]
fn go_on_receiving_a_long_file() {
    Scenario {
        prepare: |home| {
            let partial = home.open().partial(&LONG_FILE.digest, &home.path(".file.shoal-part")).unwrap();
            LONG_FILE.send(&partial, &GroupRanges::from(7..50)).unwrap();
        },
        act: |home, store| receive(home, store, &LONG_FILE),
        done: |home, store| is_received(home, store, &LONG_FILE),
    }
    .run();
}

fn receive_directory(home: &Home, store: &Store, replace: Replace) -> Outcome {
    let directory = store.partial_directory(manifest(4), &home.path(".dir.shoal-part"))?;
    for (index, (_, len)) in manifest(4).entries().iter().map(|entry| ((), entry.size)).enumerate() {
        if let Member::Wanted(partial) = directory.member(index)? {
            let sender = Sender::new(pattern(len, 4));
            let missing = partial.missing();
            sender.send(&partial, &missing)?;
            directory.place(index, &partial)?;
        }
    }
    let options = FinishOptions { replace, share_as: Some("dir".to_owned()) };
    directory.finish(&home.path("dir"), &options)?;
    Ok(())
}

fn has_directory(path: &Path) -> bool {
    if path.exists() {
        for (name, len) in FILES {
            assert_eq!(fs::read(path.join(name)).unwrap(), pattern(len, 4), "not whole under its final name");
        }
    }
    path.exists()
}

#[test]
fn receive_a_directory() {
    Scenario {
        prepare: |_| {},
        act: |home, store| match has_directory(&home.path("dir")) {
            true => publish_at(home, store, "dir"),
            false => receive_directory(home, store, Replace::Never),
        },
        done: |home, store| {
            has_directory(&home.path("dir")) && is_shared(home, store, "dir", manifest(4).encode().cid())
        },
    }
    .run();
}

/// Receives a directory as a node does that gets its small files in bundles.
fn receive_bundled(home: &Home, store: &Store) -> Outcome {
    let directory = store.partial_directory(manifest(4), &home.path(".dir.shoal-part"))?;
    let all: Vec<usize> = (0..FILES.len()).collect();
    let mut bundle = Vec::new();
    for (index, standing) in all.iter().zip(directory.standing(&all)?) {
        let sender = Sender::new(pattern(manifest(4).entries()[*index].size, 4));
        match standing {
            Standing::Done { size } => assert_eq!(size, sender.data.len() as u64),
            Standing::Wanted | Standing::Known if sender.data.len() as u64 <= Store::SMALL_LEN => {
                bundle.push(SmallFile { index: *index, bytes: sender.data, pairs: sender.pairs });
            }
            Standing::Wanted | Standing::Known => {
                if let Member::Wanted(partial) = directory.member(*index)? {
                    sender.send(&partial, &partial.missing())?;
                    directory.place(*index, &partial)?;
                }
            }
        }
    }
    directory.place_small(bundle)?;
    let options = FinishOptions { replace: Replace::Never, share_as: Some("dir".to_owned()) };
    directory.finish(&home.path("dir"), &options)?;
    Ok(())
}

#[test]
fn receive_a_directory_in_bundles() {
    Scenario {
        prepare: |_| {},
        act: |home, store| match has_directory(&home.path("dir")) {
            true => publish_at(home, store, "dir"),
            false => receive_bundled(home, store),
        },
        done: |home, store| {
            has_directory(&home.path("dir")) && is_shared(home, store, "dir", manifest(4).encode().cid())
        },
    }
    .run();
}

#[test]
fn look_into_everything() {
    Scenario {
        prepare: |home| {
            write_directory(home, 1);
            let published = publish(&home.open(), &home.path("dir"));
            assert_eq!(published.files, 4);
            // One is touched, and the hash tree of another is damaged.
            let touched = fs::File::open(home.path("dir/a")).unwrap();
            touched.set_modified(std::time::UNIX_EPOCH).unwrap();
            let outboard =
                fs::read_dir(home.path("store/outboards")).unwrap().next().unwrap().unwrap().path();
            let mut pairs = fs::read(&outboard).unwrap();
            pairs[1000] ^= 1;
            fs::write(&outboard, pairs).unwrap();
        },
        act: |_, store| {
            store.verify(&(), &Cancel::new())?;
            store.report_bad(&Digest::of(&pattern(LONG, 1)))?;
            store.collect()?;
            store.announceable(None, 10)?;
            Ok(())
        },
        done: |home, store| {
            store.verify(&(), &Cancel::new()).unwrap();
            let digest = Digest::of(&pattern(LONG, 1));
            read_verified(&store.blob(&digest).unwrap().unwrap(), digest);
            is_shared(home, store, "dir", manifest(1).encode().cid())
        },
    }
    .run();
}
