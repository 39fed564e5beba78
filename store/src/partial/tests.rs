//! Tests of receiving blobs.

use std::fs;

use shoal_content::{GroupRanges, SIZES};

use super::*;
use crate::{
    FinishOptions, Selector,
    testing::{Home, Sender, pattern, read_verified},
};

const LONG: u64 = 5 * 1024 * 1024 + 17;

fn share() -> FinishOptions {
    FinishOptions { share_as: Some("file".to_owned()), ..FinishOptions::default() }
}

#[test]
fn a_blob_of_any_size_is_received_finished_and_served() {
    for &(size, _) in SIZES.iter().chain(&[(LONG, "")]) {
        let home = Home::new();
        let store = home.open();
        let sender = Sender::new(pattern(size, 1));
        let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
        sender.send_all(&partial).unwrap();
        assert!(partial.is_complete());
        assert_eq!(partial.size(), Some(size));
        assert_eq!(read_verified(&partial.blob().unwrap(), sender.digest), sender.data);
        let target = home.path("file");
        let share = partial.finish(&target, &share()).unwrap().unwrap();
        assert_eq!((share.path.as_path(), share.size), (target.as_path(), size));
        assert_eq!(fs::read(&target).unwrap(), sender.data);
        assert!(!home.path(".file.shoal-part").exists());
        drop(partial);
        assert_eq!(read_verified(&store.blob(&sender.digest).unwrap().unwrap(), sender.digest), sender.data);
        assert_eq!(fs::read_dir(home.path("store/partials")).unwrap().count(), 0);
        drop(store);
        let store = home.open();
        assert_eq!(read_verified(&store.blob(&sender.digest).unwrap().unwrap(), sender.digest), sender.data);
        assert_eq!(store.unpublish(&Selector::Path(target)).unwrap().len(), 1);
        assert!(store.blob(&sender.digest).unwrap().is_none());
        assert_eq!(fs::read_dir(home.path("store/outboards")).unwrap().count(), 0);
    }
}

/// Receives some groups, drops everything, and opens the part file again.
fn resume(home: &Home, sender: &Sender, ranges: &GroupRanges, sync: bool) -> Partial {
    let part = home.path(".file.shoal-part");
    let store = home.open();
    let partial = store.partial(&sender.digest, &part).unwrap();
    sender.send(&partial, ranges).unwrap();
    if sync {
        partial.sync().unwrap();
    }
    drop((partial, store));
    home.open().partial(&sender.digest, &part).unwrap()
}

#[test]
fn what_was_received_is_there_after_a_kill_synced_or_not() {
    let sender = Sender::new(pattern(LONG, 2));
    let ranges = GroupRanges::from_iter([0..3, 64..70, 200..201, 320..321]);
    for sync in [true, false] {
        let home = Home::new();
        let partial = resume(&home, &sender, &ranges, sync);
        assert_eq!(partial.have(), ranges);
        assert_eq!(partial.size(), Some(LONG));
        assert_eq!(read_verified(&partial.blob().unwrap(), sender.digest).len() as u64, partial.received());
        sender.send(&partial, &partial.missing()).unwrap();
        partial.finish(&home.path("file"), &share()).unwrap();
        assert_eq!(fs::read(home.path("file")).unwrap(), sender.data);
    }
}
