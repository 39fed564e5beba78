//! Tests of giving a file its final name.

use std::{fs, os::unix::fs::symlink};

use shoal_content::GroupRanges;

use super::*;
use crate::{
    Store,
    testing::{Home, Sender, pattern},
};

const SIZES: [u64; 2] = [40_000, 2_000_000];

fn received(home: &Home, store: &Store, len: u64) -> (Partial, Sender) {
    let sender = Sender::new(pattern(len, 1));
    let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
    sender.send_all(&partial).unwrap();
    (partial, sender)
}

fn never() -> FinishOptions {
    FinishOptions { replace: Replace::Never, share_as: Some("file".to_owned()) }
}

fn left(home: &Home) -> Vec<String> {
    let names = fs::read_dir(home.path("")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn nothing_is_overwritten_unless_asked_to() {
    for len in SIZES {
        let home = Home::new();
        let store = home.open();
        home.write("file", b"precious");
        home.write("folder/file", b"precious");
        symlink("folder/file", home.path("link")).unwrap();
        let (partial, sender) = received(&home, &store, len);
        for taken in ["file", "folder", "link"] {
            let finished = partial.finish(&home.path(taken), &never());
            assert!(matches!(finished, Err(FinishError::Exists { .. })), "{taken} {finished:?}");
        }
        let over = FinishOptions { replace: Replace::Overwrite, ..never() };
        let folder = partial.finish(&home.path("folder"), &over);
        assert!(matches!(folder, Err(FinishError::Exists { .. })), "{folder:?}");
        assert_eq!(fs::read(home.path("folder/file")).unwrap(), b"precious");
        // After an error another name can be tried.
        partial.finish(&home.path("file"), &over).unwrap();
        assert_eq!(fs::read(home.path("file")).unwrap(), sender.data);
        assert_eq!(left(&home), ["file", "folder", "link", "store"]);
    }
}

#[test]
fn what_is_not_to_be_shared_is_only_there() {
    for len in SIZES {
        let home = Home::new();
        let store = home.open();
        let (partial, sender) = received(&home, &store, len);
        let share = partial.finish(&home.path("file"), &FinishOptions::default()).unwrap();
        assert!(share.is_none());
        drop(partial);
        assert!(store.shares().unwrap().is_empty());
        assert!(store.blob(&sender.digest).unwrap().is_none());
        assert_eq!(left(&home), ["file", "store"]);
        assert_eq!(store.collect().unwrap(), 0, "nothing is left over");
    }
}

#[test]
fn what_is_not_whole_gets_no_final_name() {
    for len in SIZES {
        let home = Home::new();
        let store = home.open();
        let sender = Sender::new(pattern(len, 1));
        let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
        sender.send(&partial, &GroupRanges::from(1..sender.tree.groups())).unwrap();
        let finished = partial.finish(&home.path("file"), &never());
        assert!(matches!(finished, Err(FinishError::Incomplete { .. })), "{finished:?}");
        assert!(!home.path("file").exists());
        sender.send(&partial, &partial.missing()).unwrap();
        partial.finish(&home.path("file"), &never()).unwrap();
        let again = partial.finish(&home.path("other"), &never());
        assert!(matches!(again, Err(FinishError::Incomplete { .. })), "{again:?}");
    }
}

#[test]
fn a_part_file_that_was_replaced_is_not_ours() {
    let home = Home::new();
    let store = home.open();
    let (partial, sender) = received(&home, &store, SIZES[1]);
    let part = home.path(".file.shoal-part");
    fs::rename(&part, home.path("stolen")).unwrap();
    fs::write(&part, &sender.data).unwrap();
    let finished = partial.finish(&home.path("file"), &never());
    assert!(matches!(finished, Err(FinishError::Foreign { .. })), "{finished:?}");
    fs::rename(home.path("stolen"), &part).unwrap();
    partial.finish(&home.path("file"), &never()).unwrap();
}

#[test]
fn what_a_crash_left_of_a_small_file_is_written_again() {
    let data = pattern(SIZES[0], 1);
    let torn = |cut: usize, zeros: usize| [&data[..cut], &vec![0; zeros]].concat();
    for left in [Vec::new(), torn(10, 0), torn(0, 40_000), torn(16_384, 23_616), data.clone()] {
        let home = Home::new();
        home.write(".file.shoal-part", &left);
        let store = home.open();
        let (partial, sender) = received(&home, &store, SIZES[0]);
        partial.finish(&home.path("file"), &never()).unwrap();
        assert_eq!(fs::read(home.path("file")).unwrap(), sender.data);
    }
    for foreign in [b"somebody's notes".to_vec(), torn(40_000, 1)] {
        let home = Home::new();
        home.write(".file.shoal-part", &foreign);
        let store = home.open();
        let (partial, _) = received(&home, &store, SIZES[0]);
        let finished = partial.finish(&home.path("file"), &never());
        assert!(matches!(finished, Err(FinishError::Foreign { .. })), "{finished:?}");
        assert_eq!(fs::read(home.path(".file.shoal-part")).unwrap(), foreign);
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_the_disk() {
    let home = Home::new();
    let store = home.open();
    let (partial, _) = received(&home, &store, SIZES[0]);
    let finished = partial.finish(&home.path("no/such/folder"), &never());
    assert!(matches!(finished, Err(FinishError::Io { .. })), "{finished:?}");
}
