//! Tests of opening the store.

use std::{fs, os::unix::ffi::OsStrExt};

use shoal_content::{Cid, NetworkName, ProviderKey};

use crate::{
    OpenError, Store, StoreError,
    disk::JournalLine,
    testing::{Home, pattern, publish, read_verified},
};

#[test]
fn what_was_published_is_there_after_opening_again() {
    let home = Home::new();
    let data = pattern(3_000_000, 1);
    let path = home.write("file", &data);
    let published = publish(&home.open(), &path);
    let store = home.open();
    let digest = published.cid.digest();
    assert_eq!(published.cid, Cid::file(shoal_content::Digest::of(&data)));
    assert_eq!(read_verified(&store.blob(&digest).unwrap().unwrap(), digest), data);
    assert_eq!(store.shares().unwrap()[0].path, path);
}

#[test]
fn a_store_is_open_once() {
    let home = Home::new();
    let store = home.open();
    let again = Store::open(&home.path("store"), &NetworkName::default());
    assert!(matches!(again, Err(OpenError::InUse { .. })));
    drop(store);
    home.open();
}

#[test]
fn a_store_that_was_closed_can_be_opened_again_while_clones_of_it_are_kept() {
    let home = Home::new();
    let store = home.open();
    let digest = publish(&store, &home.write("file", b"hello")).cid.digest();
    let kept = store.clone();
    store.close();
    assert!(matches!(kept.shares(), Err(StoreError::Closed)));
    let again = home.open();
    assert_eq!(again.shares().unwrap().len(), 1);
    store.close();
    drop((store, kept));
    assert!(!home.path("store/clean").exists(), "another has it open");
    assert!(again.blob(&digest).unwrap().is_some());
}

#[test]
fn provider_keys_follow_the_network() {
    let home = Home::new();
    let path = home.write("file", b"hello");
    let digest = publish(&home.open(), &path).cid.digest();
    for name in ["main", "other", "main"] {
        let network = NetworkName::parse(name).unwrap();
        let store = Store::open(&home.path("store"), &network).unwrap();
        assert_eq!(store.digest_for(&ProviderKey::derive(&network, &digest)).unwrap(), Some(digest));
        let elsewhere = ProviderKey::derive(&NetworkName::parse("third").unwrap(), &digest);
        assert_eq!(store.digest_for(&elsewhere).unwrap(), None);
    }
}

#[test]
fn looking_after_a_store_leaves_it_on_its_network() {
    let home = Home::new();
    let network = NetworkName::parse("other").unwrap();
    assert!(Store::open_as_it_is(&home.path("store")).unwrap().shares().unwrap().is_empty());
    let store = Store::open(&home.path("store"), &network).unwrap();
    let digest = publish(&store, &home.write("file", b"hello")).cid.digest();
    drop(store);
    let store = Store::open_as_it_is(&home.path("store")).unwrap();
    assert_eq!(store.shares().unwrap().len(), 1);
    assert_eq!(store.digest_for(&ProviderKey::derive(&network, &digest)).unwrap(), Some(digest));
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let home = Home::new();
    let path = home.write("file", b"hello");
    let store = home.open();
    publish(&store, &path);
    store.inner.db.write(|write| write.set_version(2)).unwrap();
    drop(store);
    let opened = Store::open(&home.path("store"), &NetworkName::default());
    assert!(matches!(opened, Err(OpenError::Newer { .. })), "{opened:?}");
    assert!(!home.path("store/store.redb.damaged").exists());
}

#[test]
fn a_database_that_is_no_database_is_moved_aside_and_its_shares_are_lost_not_forgotten() {
    let home = Home::new();
    let path = home.write("file", b"hello");
    publish(&home.open(), &path);
    fs::write(home.path("store/store.redb"), b"not a database at all".repeat(1000)).unwrap();
    let store = home.open();
    assert_eq!(store.shares().unwrap(), []);
    assert_eq!(store.lost(), std::slice::from_ref(&path));
    drop(store);
    let store = home.open();
    assert_eq!(store.lost(), std::slice::from_ref(&path));
    publish(&store, &path);
    assert!(store.lost().is_empty());
    drop(store);
    assert!(home.open().lost().is_empty());
}

#[test]
fn a_journal_that_somebody_wrote_to_is_read_again() {
    let home = Home::new();
    let path = home.write("file", b"hello");
    let cid = publish(&home.open(), &path).cid;
    let journal = home.path("store/shares.journal");
    let mut lines = fs::read(&journal).unwrap();
    assert!(home.open().lost().is_empty());
    assert_eq!(fs::read(&journal).unwrap(), lines);
    let other = home.path("other");
    lines.extend(JournalLine { path: other.as_os_str().as_bytes().to_vec(), cid: Some(cid) }.encode());
    fs::write(&journal, lines).unwrap();
    // What is lost is still lost when the store was closed since.
    for _ in 0..2 {
        let store = home.open();
        assert_eq!(store.lost(), std::slice::from_ref(&other));
        assert_eq!(store.shares().unwrap()[0].path, path);
    }
}
