//! Tests of what happens to a blob whose file is touched, edited, replaced or gone.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use shoal_content::{Digest, GROUP_LEN};

use super::*;
use crate::{
    ShareState, Store,
    testing::{Home, pattern, publish, read_verified},
};

/// A published file, old enough that its stamp is trusted.
fn published(home: &Home, len: u64) -> (Store, PathBuf, Digest, Vec<u8>) {
    let data = pattern(len, 1);
    let path = home.write("dir/file", &data);
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let store = home.open();
    let digest = publish(&store, &path).cid.digest();
    (store, path, digest, data)
}

/// Does something to a published file; tells what the store then makes of it.
fn after(deed: impl Fn(&Path)) -> (Result<Option<Vec<u8>>, ReadError>, ShareState) {
    let home = Home::new();
    let (store, path, digest, _) = published(&home, 100_000);
    deed(&path);
    let held = store.held(&digest);
    let blob = store.blob(&digest);
    assert_eq!(held.is_ok_and(|held| held.is_some()), blob.is_ok());
    let read = blob.map(|blob| blob.map(|blob| read_verified(&blob, digest)));
    let state = store.shares().unwrap()[0].state;
    let announceable = store.announceable(None, 10).unwrap().unwrap();
    assert_eq!(announceable.contents.len(), usize::from(state == ShareState::Ok));
    // Publishing again heals whatever it was, unless there is nothing.
    if path.is_file() {
        let again = publish(&store, &path);
        assert_eq!(again.cid.digest(), Digest::of(&fs::read(&path).unwrap()));
        assert_eq!(store.shares().unwrap()[0].state, ShareState::Ok);
    }
    (read, state)
}

#[test]
fn a_file_that_was_only_touched_is_read_again_and_served() {
    let deeds: [fn(&Path); 4] = [
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap(),
        |path| fs::hard_link(path, path.with_extension("link")).unwrap(),
        |path| File::options().write(true).open(path).unwrap().set_modified(SystemTime::now()).unwrap(),
        |path| {
            fs::copy(path, path.with_extension("copy")).unwrap();
            fs::rename(path.with_extension("copy"), path).unwrap();
        },
    ];
    for deed in deeds {
        let (read, state) = after(deed);
        assert_eq!((read.unwrap().unwrap(), state), (pattern(100_000, 1), ShareState::Ok));
    }
}

#[test]
fn a_file_with_other_bytes_is_not_served() {
    let deeds: [fn(&Path); 4] = [
        |path| {
            let mut file = OpenOptions::new().write(true).open(path).unwrap();
            file.seek(SeekFrom::Start(50_000)).unwrap();
            file.write_all(b"edited").unwrap();
        },
        |path| File::options().write(true).open(path).unwrap().set_len(99_999).unwrap(),
        |path| File::options().append(true).open(path).unwrap().write_all(b"more").unwrap(),
        |path| {
            fs::write(path.with_extension("new"), pattern(100_000, 2)).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        },
    ];
    for deed in deeds {
        let (read, state) = after(deed);
        assert!(matches!(read, Err(ReadError::Changed { .. })), "{read:?}");
        assert_eq!(state, ShareState::Changed);
    }
}

#[test]
fn a_file_that_is_gone_is_missing() {
    let deeds: [fn(&Path); 2] =
        [|path| fs::remove_file(path).unwrap(), |path| fs::remove_dir_all(path.parent().unwrap()).unwrap()];
    for deed in deeds {
        let (read, state) = after(deed);
        assert!(matches!(read, Err(ReadError::Missing { .. })), "{read:?}");
        assert_eq!(state, ShareState::Missing);
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_blocks_nobody() {
    let (read, state) = after(|path| {
        fs::remove_file(path).unwrap();
        crate::testing::make_pipe(path);
    });
    assert!(matches!(read, Err(ReadError::Changed { .. })), "{read:?}");
    assert_eq!(state, ShareState::Changed);
}

#[test]
fn an_edit_while_reading_is_noticed_afterwards() {
    let home = Home::new();
    let (store, path, digest, _) = published(&home, 100_000);
    let blob = store.blob(&digest).unwrap().unwrap();
    blob.recheck().unwrap();
    File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    assert!(matches!(blob.recheck(), Err(ReadError::Changed { .. })));
    File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    let cut = blob.read_at(0, &mut [0; 100]);
    assert!(matches!(cut, Err(ReadError::Changed { .. })), "{cut:?}");
    let cut = blob.read_slices_at(0, &mut [&mut [0; 5], &mut [0; 100]]);
    assert!(matches!(cut, Err(ReadError::Changed { .. })), "{cut:?}");
}

#[test]
fn another_copy_is_served_when_one_has_changed() {
    let home = Home::new();
    let (store, path, digest, data) = published(&home, 100_000);
    publish(&store, &home.write("copy", &data));
    fs::write(&path, "edited").unwrap();
    assert_eq!(read_verified(&store.blob(&digest).unwrap().unwrap(), digest), data);
    fs::remove_file(home.path("copy")).unwrap();
    assert!(store.blob(&digest).is_err());
}

#[test]
fn a_file_that_was_written_a_moment_ago_is_to_be_verified() {
    let home = Home::new();
    let (store, _, digest, _) = published(&home, 10);
    assert!(!store.blob(&digest).unwrap().unwrap().needs_verifying());
    let digest = publish(&store, &home.write("new", b"new")).cid.digest();
    assert!(store.blob(&digest).unwrap().unwrap().needs_verifying());
}

#[test]
fn nothing_is_read_beyond_the_end() {
    let home = Home::new();
    for len in [0, 10, 100_000, 3_000_000] {
        let (store, _, digest, _) = published(&home, len);
        let blob = store.blob(&digest).unwrap().unwrap();
        blob.read_at(len, &mut []).unwrap();
        for (offset, count) in [(len, 1), (len.saturating_sub(1), 2), (u64::MAX, 1)] {
            let read = blob.read_at(offset, &mut vec![0; count]);
            assert!(matches!(read, Err(ReadError::NotHere)), "{read:?}");
            let read = blob.read_slices_at(offset, &mut [&mut vec![0; count], &mut []]);
            assert!(matches!(read, Err(ReadError::NotHere)), "{read:?}");
        }
        assert!(matches!(blob.parent(blob.tree().parents()), Err(ReadError::NotHere)));
    }
}

#[test]
fn pairs_are_found_in_any_order() {
    let home = Home::new();
    // More pairs than fit in a window.
    let (store, _, digest, data) = published(&home, 700 * GROUP_LEN);
    let sender = crate::testing::Sender::new(data);
    let blob = store.blob(&digest).unwrap().unwrap();
    let parents = blob.tree().parents();
    for index in (0..parents).chain((0..parents).rev()).chain([5, 600, 6, 300]) {
        assert_eq!(Some(blob.parent(index).unwrap()), pair_in(&sender.pairs, index), "{index}");
    }
}

#[test]
fn what_was_never_here_is_nothing() {
    let home = Home::new();
    let store = home.open();
    assert!(store.blob(&Digest::of(b"x")).unwrap().is_none());
    assert!(store.held(&Digest::of(b"x")).unwrap().is_none());
}
