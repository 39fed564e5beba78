//! Tests of what is shared, and taking it back.

use std::{fs, path::Path};

use super::*;
use crate::{
    Published,
    testing::{Home, publish},
};

fn blobs(store: &Store) -> usize {
    store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap()
}

#[test]
fn taking_one_share_back_leaves_what_others_need() {
    let home = Home::new();
    let store = home.open();
    for name in ["dir/a", "dir/sub/b", "elsewhere"] {
        home.write(name, if name == "elsewhere" { "dir/a" } else { name }.as_bytes());
    }
    let dir = publish(&store, &home.path("dir"));
    let sub = publish(&store, &home.path("dir/sub"));
    let file = publish(&store, &home.path("elsewhere"));
    let is_here = |bytes: &str| store.blob(&Digest::of(bytes.as_bytes())).unwrap().is_some();

    let gone = store.unpublish(&Selector::Path(home.path("dir"))).unwrap();
    assert_eq!(gone.iter().map(|share| share.cid).collect::<Vec<_>>(), [dir.cid]);
    assert!(is_here("dir/a") && is_here("dir/sub/b"));
    assert!(store.blob(&dir.cid.digest()).unwrap().is_none());

    assert_eq!(store.unpublish(&Selector::Cid(file.cid)).unwrap().len(), 1);
    assert!(!is_here("dir/a") && is_here("dir/sub/b"));
    assert_eq!(store.unpublish(&Selector::Cid(sub.cid)).unwrap().len(), 1);
    assert_eq!(blobs(&store), 0);
    assert!(store.unpublish(&Selector::Cid(sub.cid)).unwrap().is_empty());
    assert!(home.path("dir/a").exists(), "files stay");
}

#[test]
fn the_same_content_at_two_paths_is_two_shares_with_one_name() {
    let home = Home::new();
    let store = home.open();
    let first = publish(&store, &home.write("a/x", b"same"));
    let second = publish(&store, &home.write("b/y", b"same"));
    assert_eq!(first.cid, second.cid);
    assert_eq!(blobs(&store), 1);
    let (dir_a, dir_b) = (publish(&store, &home.path("a")), publish(&store, &home.path("b")));
    assert_ne!(dir_a.cid, dir_b.cid);
    assert_eq!(store.unpublish(&Selector::Cid(first.cid)).unwrap().len(), 2);
    assert_eq!(store.shares().unwrap().len(), 2);
    assert!(store.blob(&first.cid.digest()).unwrap().is_some());
}

#[test]
fn a_share_is_as_bad_as_the_worst_of_its_files() {
    let home = Home::new();
    let store = home.open();
    for name in ["dir/a", "dir/b", "dir/c"] {
        home.write(name, name.as_bytes());
    }
    publish(&store, &home.path("dir"));
    let state = || store.shares().unwrap()[0].state;
    assert_eq!(state(), ShareState::Ok);
    home.write("dir/b", b"other");
    assert_eq!(state(), ShareState::Changed);
    fs::remove_file(home.path("dir/c")).unwrap();
    assert_eq!(state(), ShareState::Missing);
    home.write("dir/b", b"dir/b");
    home.write("dir/c", b"dir/c");
    assert_eq!(state(), ShareState::Ok, "the old bytes are back");
}

#[test]
fn what_is_announced_is_there() {
    let home = Home::new();
    let store = home.open();
    for name in ["dir/a", "dir/b", "dir/c", "gone/x", "one"] {
        home.write(name, name.as_bytes());
    }
    let dir = publish(&store, &home.path("dir")).cid.digest();
    publish(&store, &home.path("gone"));
    let one = publish(&store, &home.path("one")).cid.digest();
    fs::remove_dir_all(home.path("gone")).unwrap();
    home.write("dir/a", b"edited");
    let [b, c] = ["dir/b", "dir/c"].map(|name| Digest::of(name.as_bytes()));
    assert_eq!(announceable(&store, 1000), [dir, b, c, one]);
    assert_eq!(announceable(&store, 2), [dir, b, one]);
    assert_eq!(announceable(&store, 0), [dir, one]);
}

/// What there is to announce, page by page.
fn announceable(store: &Store, max_files: usize) -> Vec<Digest> {
    let (mut digests, mut after) = (Vec::new(), None);
    while let Some(page) = store.announceable(after.as_deref(), max_files).unwrap() {
        digests.extend(page.contents.into_iter().map(|(digest, _)| digest));
        after = Some(page.last);
    }
    digests
}

#[test]
fn a_row_that_does_not_decode_costs_its_own_share_and_no_other() {
    let home = Home::new();
    let paths = ["a", "b", "c"].map(|name| publish(&home.open(), &home.write(name, name.as_bytes())).path);
    for was_closed in [true, false] {
        let store = home.open();
        store.inner.db.write(|write| write.damage(Some(&paths[1]), None)).unwrap();
        drop(store);
        if !was_closed {
            fs::remove_file(home.path("store/clean")).unwrap();
        }
        let store = home.open();
        let shared =
            |store: &Store| store.shares().unwrap().into_iter().map(|share| share.path).collect::<Vec<_>>();
        assert_eq!(shared(&store), [paths[0].clone(), paths[2].clone()]);
        assert_eq!(announceable(&store, 0).len(), 2);
        assert_eq!(store.lost(), std::slice::from_ref(&paths[1]), "the journal knows it");
        assert_eq!(store.inner.db.write(|write| write.aside(&paths[1])).unwrap(), Some(b"rot".to_vec()));
        store.collect().unwrap();
        drop(store);
        let store = home.open();
        assert_eq!(store.lost(), std::slice::from_ref(&paths[1]), "and still does after a restart");
        publish(&store, &paths[1]);
        assert_eq!(shared(&store), paths);
        assert!(store.lost().is_empty());
    }
}

#[test]
fn a_file_of_which_nothing_decodes_is_published_again() {
    let home = Home::new();
    let store = home.open();
    let [path, other] = ["a", "b"].map(|name| publish(&store, &home.write(name, name.as_bytes())).path);
    store.inner.db.write(|write| write.damage(None, Some(&path))).unwrap();
    assert_eq!(announceable(&store, 0), [Digest::of(b"b")], "the others are announced");
    store.collect().unwrap();
    let report = store.verify(&(), &crate::Cancel::new()).unwrap();
    assert_eq!(report.ok, 1);
    assert_eq!(publish(&store, &path).hashed_bytes, 1);
    assert!(store.blob(&Digest::of(b"a")).unwrap().is_some());
    assert_eq!(store.unpublish(&Selector::Path(other)).unwrap().len(), 1);
}

#[test]
fn a_lost_path_can_be_given_up() {
    let home = Home::new();
    let Published { path, cid, .. } = publish(&home.open(), &home.write("file", b"bytes"));
    fs::write(home.path("store/store.redb"), [7; 100]).unwrap();
    let store = home.open();
    assert_eq!(store.lost(), std::slice::from_ref(&path));
    let gone = store.unpublish(&Selector::Path(path.clone())).unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].cid, &gone[0].path, gone[0].state), (cid, &path, ShareState::Missing));
    assert!(store.lost().is_empty());
    drop(store);
    assert!(home.open().lost().is_empty());
    assert!(Path::new(&home.path("store/store.redb.damaged")).exists());
}

#[test]
fn a_share_has_a_label_and_its_files_have_none() {
    let home = Home::new();
    let store = home.open();
    home.write("dir/a", b"in the folder");
    let dir = publish(&store, &home.path("dir")).cid.digest();
    let one = publish(&store, &home.write("one", b"alone")).cid.digest();
    let label = |digest| store.label(&digest).unwrap().map(|label| (label.name, label.size));
    assert_eq!(store.share_count().unwrap(), 2);
    assert_eq!(label(dir), Some(("dir".to_owned(), 13)));
    assert_eq!(label(one), Some(("one".to_owned(), 5)));
    assert_eq!(label(Digest::of(b"in the folder")), None);
}

#[test]
fn a_manifest_that_the_disk_damaged_is_healed_by_publishing_again() {
    let home = Home::new();
    let store = home.open();
    home.write("dir/a", b"bytes");
    publish(&store, &home.write("file", b"more bytes"));
    let cid = publish(&store, &home.path("dir")).cid;
    store.inner.db.write(|write| write.own(&cid.digest(), b"rubbish")).unwrap();
    assert!(store.blob(&cid.digest()).is_err());
    let states = |store: &Store| store.shares().unwrap().iter().map(|share| share.state).collect::<Vec<_>>();
    assert_eq!(states(&store), [ShareState::Missing, ShareState::Ok]);
    assert_eq!(announceable(&store, 10).len(), 1);
    assert_eq!(publish(&store, &home.path("dir")).hashed_bytes, 0);
    assert_eq!(states(&store), [ShareState::Ok, ShareState::Ok]);
    assert!(store.blob(&cid.digest()).unwrap().is_some());
}
