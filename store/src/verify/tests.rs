//! Tests of reading everything again.

use std::{
    fs::{self, File},
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    ReadError, ShareState,
    testing::{Home, pattern, publish, read_verified},
};

const NAMES: [&str; 5] = ["corrupt", "edited", "gone", "good", "touched"];

fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn everything_is_told_apart() {
    let home = Home::new();
    for name in NAMES {
        age(&home.write(&format!("dir/{name}"), name.as_bytes()));
    }
    let store = home.open();
    publish(&store, &home.path("dir"));
    let path = |name: &str| home.path("dir").join(name);
    fs::write(path("edited"), "EDITED").unwrap();
    fs::remove_file(path("gone")).unwrap();
    File::options().write(true).open(path("touched")).unwrap().set_modified(SystemTime::now()).unwrap();
    // A disk that rots changes no stamp: write the new one down as if it were the old.
    fs::write(path("corrupt"), "rotten!").unwrap();
    let rotten = Stamp::of(&fs::symlink_metadata(path("corrupt")).unwrap());
    let row = store.inner.db.read(|read| read.source(&path("corrupt"))).unwrap().unwrap();
    store.inner.note_sources(&[(path("corrupt"), row.clone(), SourceRow { stamp: rotten, ..row })]).unwrap();

    let report = store.verify(&(), &Cancel::new()).unwrap();
    let expected = Report {
        ok: 2,
        changed: vec![path("edited")],
        missing: vec![path("gone")],
        corrupt: vec![path("corrupt")],
        rebuilt: 0,
    };
    assert_eq!(report, expected);
    assert!(matches!(store.blob(&Digest::of(b"corrupt")), Err(ReadError::Changed { .. })));
    assert_eq!(store.shares().unwrap()[0].state, ShareState::Missing);
}

#[test]
fn damaged_hash_trees_are_built_again() {
    for len in [100_000, 2_000_000] {
        let home = Home::new();
        let data = pattern(len, 1);
        let store = home.open();
        let digest = publish(&store, &home.write("file", &data)).cid.digest();
        let damage = || {
            if len > 1_000_000 {
                let path = home.path("store/outboards").join(outboard_name(&digest));
                fs::write(&path, vec![0; 64]).unwrap();
            } else {
                let row = BlobRow { size: len, outboard: Outboard::Inline(vec![0; 64]) };
                let path = home.path("file");
                store
                    .inner
                    .db
                    .write(|write| write.hold(&digest, &row, crate::db::Holder::Source(&path)))
                    .unwrap();
            }
        };
        damage();
        assert_eq!(store.verify(&(), &Cancel::new()).unwrap().rebuilt, 1);
        assert_eq!(read_verified(&store.blob(&digest).unwrap().unwrap(), digest), data);
        damage();
        assert!(!store.report_bad(&digest).unwrap());
        assert_eq!(read_verified(&store.blob(&digest).unwrap().unwrap(), digest), data);
    }
}

#[test]
fn a_receiver_who_got_bad_bytes_makes_us_look_again() {
    let home = Home::new();
    let path = home.write("file", b"good bytes");
    age(&path);
    let store = home.open();
    let digest = publish(&store, &path).cid.digest();
    assert!(!store.report_bad(&digest).unwrap());
    assert!(!store.report_bad(&Digest::of(b"never here")).unwrap());
    let row = store.inner.db.read(|read| read.source(&path)).unwrap().unwrap();
    fs::write(&path, b"bad! bytes").unwrap();
    let stamp = Stamp::of(&fs::symlink_metadata(&path).unwrap());
    store.inner.note_sources(&[(path, row.clone(), SourceRow { stamp, ..row })]).unwrap();
    assert!(store.blob(&digest).is_ok(), "the stamp tells nothing");
    assert!(store.report_bad(&digest).unwrap());
    assert!(matches!(store.blob(&digest), Err(ReadError::Changed { .. })));
}

#[test]
fn a_stopped_verify_tells_what_it_saw() {
    let home = Home::new();
    let store = home.open();
    publish(&store, &home.write("file", b"bytes"));
    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(store.verify(&(), &cancel).unwrap(), Report::default());
}
