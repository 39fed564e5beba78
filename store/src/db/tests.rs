//! Tests of the database under a disk that fails.

use std::{path::Path, sync::Arc};

use shoal_content::{Digest, NetworkName};

use super::*;
use crate::{
    disk::{BlobRow, Outboard},
    files::{Files, fault::Faults},
};

fn open(dir: &Path, faults: Faults) -> (Result<Db, StoreError>, Arc<Faults>) {
    let faults = Arc::new(faults);
    let opened = Files::with_faults(Arc::clone(&faults)).dir(dir).map_err(StoreError::Io);
    (opened.and_then(|dir| Db::open(dir, Some(&NetworkName::default()), Trust::Believe)), faults)
}

fn put(db: &Db, number: u8) -> Result<(), StoreError> {
    db.write(|write| {
        let row = BlobRow { size: 5, outboard: Outboard::Inline(Vec::new()) };
        write.hold(&Digest::of(&[number]), &row, Holder::Source(Path::new("/file")))
    })
}

fn has(db: &Db, number: u8) -> Result<bool, StoreError> {
    db.read(|read| Ok(read.blob(&Digest::of(&[number]))?.is_some()))
}

#[test]
fn after_a_failure_it_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Faults::default()).0.unwrap());
    let (db, faults) = open(dir.path(), Faults::default());
    put(&db.unwrap(), 0).unwrap();
    let mut injected = 0;
    for number in 0..faults.calls() {
        let (db, faults) = open(dir.path(), Faults::once(number));
        if let Ok(db) = db {
            let results = [put(&db, 1), has(&db, 0).map(drop), put(&db, 2), has(&db, 1).map(drop)];
            assert!(results.iter().filter(|result| result.is_err()).count() <= 1, "{number} {results:?}");
            put(&db, 3).unwrap();
            assert!([0, 3].iter().all(|number| has(&db, *number).unwrap()));
            let acknowledged =
                [(1, &results[0]), (2, &results[2])].into_iter().filter(|(_, put)| put.is_ok());
            assert!(acknowledged.into_iter().all(|(number, _)| has(&db, number).unwrap()));
        }
        injected += faults.injected();
    }
    assert_eq!(injected, faults.calls());
}

#[test]
fn threads_that_meet_one_failure_open_one_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut injected = 0;
    for number in (20..400).step_by(7) {
        let (db, faults) = open(dir.path(), Faults::once(number));
        let Ok(db) = db else { continue };
        let acknowledged: Vec<u8> = std::thread::scope(|scope| {
            let db = &db;
            let put_some = |thread: u8| {
                (0..5_u8).map(move |at| thread * 5 + at).filter(|number| put(db, *number).is_ok())
            };
            let threads: Vec<_> =
                (0..4).map(|thread| scope.spawn(move || put_some(thread).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        injected += faults.injected();
        assert!(acknowledged.len() >= 20 - usize::try_from(faults.injected()).unwrap());
        drop(db);
        let (db, _) = open(dir.path(), Faults::default());
        let db = db.unwrap();
        assert!(acknowledged.iter().all(|number| has(&db, *number).unwrap()));
        db.write(|write| (0..20).try_for_each(|number| write.forget_blob(&Digest::of(&[number])).map(drop)))
            .unwrap();
    }
    assert!(injected > 20);
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Faults::default()).0.unwrap();
    let failed: Result<(), StoreError> = db.write(|write| {
        let row = BlobRow { size: 5, outboard: Outboard::Inline(Vec::new()) };
        write.hold(&Digest::of(&[1]), &row, Holder::Source(Path::new("/file")))?;
        Err(StoreError::Failed)
    });
    assert!(failed.is_err());
    assert!(!has(&db, 1).unwrap());
}

#[test]
fn what_lies_below_a_folder_is_found_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Faults::default()).0.unwrap();
    let row = crate::disk::SourceRow {
        digest: Digest::of(b""),
        stamp: crate::stamp::Stamp { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 0 },
        state: crate::disk::SourceState::Good,
    };
    let paths = ["/a", "/a b", "/a/b", "/a/b/c", "/a-b", "/a0", "/b"];
    db.write(|write| paths.iter().try_for_each(|path| write.set_source(Path::new(path), &row).map(drop)))
        .unwrap();
    let below = |path: &str| {
        let paths = db.read(|read| read.sources_below(Path::new(path))?.map(|row| Ok(row?.0)).collect());
        let paths: Vec<std::path::PathBuf> = paths.unwrap();
        paths.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(below("/a"), ["/a", "/a/b", "/a/b/c"]);
    assert_eq!(below("/a/b/c"), ["/a/b/c"]);
    assert_eq!(below("/").len(), paths.len());
    assert!(below("/c").is_empty());
}
