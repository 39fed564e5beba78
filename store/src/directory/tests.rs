//! Tests of putting directories together.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
};

use super::*;
use crate::{
    Filler, FinishOptions, Replace, Selector, Share, ShareState,
    files::fault::Faults,
    testing::{Home, Sender, pattern, publish, read_verified},
};

const FILES: [(&str, u64); 6] = [
    ("a", 5),
    ("b/empty", 0),
    ("b/run", 30_000),
    ("b/same as a", 5),
    ("long", SMALL_LEN + 1),
    ("z/y/x/deep", 100),
];

fn manifest() -> Manifest {
    let entry = |(name, size): (&str, u64)| Entry {
        path: RelPath::parse(name).unwrap(),
        size,
        digest: Digest::of(&pattern(size, 1)),
        executable: name == "b/run",
    };
    Manifest::new(FILES.map(entry).to_vec()).unwrap()
}

fn open(home: &Home, store: &Store) -> PartialDirectory {
    store.partial_directory(manifest(), &home.path(".dir.shoal-part")).unwrap()
}

/// Receives a file unless it is there; tells whether it was.
fn receive(directory: &PartialDirectory, index: usize) -> bool {
    match directory.member(index).unwrap() {
        Member::Done { size } => {
            assert_eq!(size, FILES[index].1);
            true
        }
        Member::Wanted(partial) => {
            let sender = Sender::new(pattern(FILES[index].1, 1));
            sender.send(&partial, &partial.missing()).unwrap();
            directory.place(index, &partial).unwrap();
            false
        }
    }
}

fn receive_some(directory: &PartialDirectory, indexes: std::ops::Range<usize>) {
    for index in indexes {
        receive(directory, index);
    }
}

fn options(replace: Replace) -> FinishOptions {
    FinishOptions { replace, share_as: Some("dir".to_owned()) }
}

fn check(path: &Path) {
    for (name, len) in FILES {
        let path = path.join(name);
        assert_eq!(fs::read(&path).unwrap(), pattern(len, 1), "{name}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, name == "b/run", "{name}");
    }
}

#[test]
fn a_folder_belongs_to_one_receiver_at_a_time() {
    let home = Home::new();
    let store = home.open();
    let first = open(&home, &store);
    receive_some(&first, 0..2);
    let second = store.partial_directory(manifest(), &home.path(".dir.shoal-part"));
    assert!(matches!(second, Err(PartialError::InUse { .. })));
    let (part, others) = (home.path(".dir.shoal-part"), Home::new());
    assert_eq!(store.filler(&part), Some(Filler::ThisStore(manifest().encode().cid())));
    assert!(matches!(others.open().filler(&part), Some(Filler::Other { .. })));
    // Another folder is another matter, and a folder that was let go of is free.
    drop(store.partial_directory(manifest(), &home.path(".other.shoal-part")).unwrap());
    drop(first);
    assert_eq!((store.filler(&part), others.open().filler(&part)), (None, None));
    let second = open(&home, &store);
    receive_some(&second, 0..FILES.len());
    second.finish(&home.path("dir"), &options(Replace::Never)).unwrap();
    check(&home.path("dir"));
}

#[test]
fn what_is_here_of_a_directory_is_told_until_it_is_whole() {
    let home = Home::new();
    let store = home.open();
    let root = manifest().encode().cid().digest();
    let held = |digest: &Digest| store.files_held(digest).unwrap();
    assert_eq!(held(&root), None, "nobody receives it");
    let directory = open(&home, &store);
    assert_eq!(held(&root), Some(GroupRanges::empty()));
    for index in [1, 2, 4] {
        receive(&directory, index);
    }
    assert_eq!(held(&root), Some([1..3, 4..5].into_iter().collect()));
    assert_eq!(held(&Digest::of(b"another")), None);
    drop(directory);
    assert_eq!(held(&root), Some(GroupRanges::empty()), "it was cut off");
    let directory = open(&home, &store);
    receive_some(&directory, 0..FILES.len());
    directory.finish(&home.path("dir"), &options(Replace::Never)).unwrap();
    assert_eq!(held(&root), None, "it is all here");
}

#[test]
fn a_directory_is_received_shared_and_served_from_where_it_is() {
    let home = Home::new();
    let store = home.open();
    let directory = open(&home, &store);
    assert!((0..FILES.len()).all(|index| !receive(&directory, index)));
    let share = directory.finish(&home.path("dir"), &options(Replace::Never)).unwrap().unwrap();
    assert_eq!(share.cid, manifest().encode().cid());
    drop(directory);
    check(&home.path("dir"));
    assert!(!home.path(".dir.shoal-part").exists());
    drop(store);
    let store = home.open();
    assert_eq!(store.shares().unwrap(), [Share { state: ShareState::Ok, ..share.clone() }]);
    for (_, len) in FILES {
        let digest = Digest::of(&pattern(len, 1));
        let blob = store.blob(&digest).unwrap().unwrap();
        assert!(!blob.needs_verifying());
        assert_eq!(read_verified(&blob, digest).len() as u64, len);
    }
    // Nothing is hashed to publish what was received, and nothing is left over.
    assert_eq!(publish(&store, &home.path("dir")).hashed_bytes, 0);
    assert_eq!(store.collect().unwrap(), 0);
    store.unpublish(&Selector::Cid(share.cid)).unwrap();
    assert_eq!(store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap(), 0);
}

#[test]
fn a_killed_directory_goes_on_where_it_was() {
    for noted in [true, false] {
        let home = Home::new();
        let store = home.open();
        let directory = open(&home, &store);
        receive_some(&directory, 0..3);
        let Member::Wanted(long) = directory.member(4).unwrap() else { panic!("it was never received") };
        let sender = Sender::new(pattern(FILES[4].1, 1));
        sender.send(&long, &GroupRanges::from(0..60)).unwrap();
        if noted {
            directory.note(&mut lock(&directory.placed)).unwrap();
            let digest = Digest::of(&pattern(30_000, 1));
            assert!(store.blob(&digest).unwrap().is_some(), "served while the rest arrives");
        }
        drop((long, directory, store));

        let store = home.open();
        store.collect().unwrap();
        let directory = open(&home, &store);
        let Member::Wanted(long) = directory.member(4).unwrap() else { panic!("it is not whole") };
        assert_eq!(long.have().len(), 60);
        drop(long);
        let done = (0..FILES.len()).map(|index| receive(&directory, index)).collect::<Vec<_>>();
        assert_eq!(done, [true, true, true, false, false, false]);
        directory.finish(&home.path("dir"), &options(Replace::Never)).unwrap();
        check(&home.path("dir"));
        assert_eq!(store.shares().unwrap()[0].state, ShareState::Ok);
    }
}

#[test]
fn a_file_that_was_edited_in_the_part_folder_is_received_again() {
    let home = Home::new();
    let store = home.open();
    let directory = open(&home, &store);
    receive_some(&directory, 0..FILES.len());
    directory.note(&mut lock(&directory.placed)).unwrap();
    drop((directory, store));
    for name in ["a", "long"] {
        fs::write(home.path(".dir.shoal-part").join(name), "other bytes").unwrap();
    }
    let store = home.open();
    let directory = open(&home, &store);
    let done = (0..FILES.len()).map(|index| receive(&directory, index)).collect::<Vec<_>>();
    assert_eq!(done, [false, true, true, true, false, true]);
    directory.finish(&home.path("dir"), &options(Replace::Never)).unwrap();
    check(&home.path("dir"));
}

#[test]
fn only_a_whole_directory_is_shared() {
    let home = Home::new();
    let store = home.open();
    let directory = open(&home, &store);
    receive(&directory, 2);
    let finished = directory.finish(&home.path("dir"), &options(Replace::Never));
    assert!(matches!(finished, Err(FinishError::Incomplete { .. })), "{finished:?}");
    let some = directory.finish(&home.path("dir"), &FinishOptions::default()).unwrap();
    assert!(some.is_none());
    assert!(home.path("dir/b/run").exists());
    assert!(store.shares().unwrap().is_empty());
    assert_eq!(store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap(), 0);
}

#[test]
fn an_existing_target_is_left_alone_or_merged_with() {
    let home = Home::new();
    let store = home.open();
    home.write("dir/mine", b"mine");
    home.write("dir/a", b"old");
    home.write("file", b"file");
    let directory = open(&home, &store);
    receive_some(&directory, 0..FILES.len());
    for (target, replace) in [("dir", Replace::Never), ("file", Replace::Never), ("file", Replace::Overwrite)]
    {
        let finished = directory.finish(&home.path(target), &options(replace));
        assert!(matches!(finished, Err(FinishError::Exists { .. })), "{finished:?}");
    }
    assert_eq!(fs::read(home.path("dir/a")).unwrap(), b"old");
    directory.finish(&home.path("dir"), &options(Replace::Overwrite)).unwrap().unwrap();
    check(&home.path("dir"));
    assert_eq!(fs::read(home.path("dir/mine")).unwrap(), b"mine");
    assert!(!home.path(".dir.shoal-part").exists());
    assert_eq!(store.shares().unwrap()[0].state, ShareState::Ok);
    assert_eq!(store.verify(&(), &crate::Cancel::new()).unwrap().ok, 6);
}

#[test]
fn no_symlink_leads_out_of_the_folder() {
    let home = Home::new();
    let store = home.open();
    fs::create_dir(home.path("outside")).unwrap();
    let directory = open(&home, &store);
    symlink(home.path("outside"), home.path(".dir.shoal-part/b")).unwrap();
    symlink(home.path("outside/target"), home.path(".dir.shoal-part/a")).unwrap();
    assert!(directory.member(2).is_err());
    if let Ok(Member::Wanted(partial)) = directory.member(0) {
        Sender::new(pattern(5, 1)).send_all(&partial).unwrap();
        directory.place(0, &partial).unwrap();
    }
    assert_eq!(fs::read_dir(home.path("outside")).unwrap().count(), 0);

    // Nor out of the folder that it is merged with.
    let home = Home::new();
    let store = home.open();
    fs::create_dir_all(home.path("outside")).unwrap();
    fs::create_dir(home.path("dir")).unwrap();
    symlink(home.path("outside"), home.path("dir/b")).unwrap();
    let directory = open(&home, &store);
    receive_some(&directory, 0..FILES.len());
    directory.finish(&home.path("dir"), &options(Replace::Overwrite)).unwrap_err();
    assert_eq!(fs::read_dir(home.path("outside")).unwrap().count(), 0);
}

#[test]
fn a_folder_of_somebody_else_is_not_touched() {
    let home = Home::new();
    let store = home.open();
    home.write(".dir.shoal-part/mine", b"mine");
    let opened = store.partial_directory(manifest(), &home.path(".dir.shoal-part"));
    assert!(matches!(opened, Err(PartialError::Foreign { .. })));
    home.write("file", b"");
    let opened = store.partial_directory(manifest(), &home.path("file"));
    assert!(matches!(opened, Err(PartialError::Foreign { .. })));
    fs::create_dir(home.path("empty")).unwrap();
    store.partial_directory(manifest(), &home.path("empty")).unwrap();
}

#[test]
fn a_size_that_the_manifest_lies_about_is_noticed() {
    let home = Home::new();
    let store = home.open();
    let data = pattern(1000, 1);
    let path = RelPath::parse("a").unwrap();
    let entry = Entry { path, size: 999, digest: Digest::of(&data), executable: false };
    let lie = Manifest::new(vec![entry]).unwrap();
    let directory = store.partial_directory(lie, &home.path(".dir.shoal-part")).unwrap();
    let Member::Wanted(partial) = directory.member(0).unwrap() else { panic!("it is not there") };
    Sender::new(data).send_all(&partial).unwrap();
    let placed = directory.place(0, &partial);
    assert!(matches!(placed, Err(FinishError::WrongSize { listed: 999, size: 1000, .. })), "{placed:?}");
}

#[test]
fn giving_up_leaves_only_what_is_not_ours() {
    let home = Home::new();
    let store = home.open();
    let directory = open(&home, &store);
    receive_some(&directory, 0..FILES.len());
    directory.note(&mut lock(&directory.placed)).unwrap();
    home.write(".dir.shoal-part/b/mine", b"mine");
    directory.abandon().unwrap();
    let left: Vec<_> =
        fs::read_dir(home.path(".dir.shoal-part")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["b"]);
    assert_eq!(fs::read(home.path(".dir.shoal-part/b/mine")).unwrap(), b"mine");
    drop(directory);
    assert_eq!(store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap(), 0);
    assert_eq!(store.collect().unwrap(), 0);
}

#[test]
fn a_full_disk_can_be_made_room_on_and_nothing_is_received_twice() {
    let try_all = |number: Option<u64>| {
        let home = Home::new();
        drop(home.open());
        let faults = Arc::new(number.map_or_else(Faults::default, Faults::once));
        let store = home.open_on(&faults).ok()?;
        let directory = store.partial_directory(manifest(), &home.path(".dir.shoal-part")).ok()?;
        for (index, (_, len)) in FILES.into_iter().enumerate() {
            let Ok(Member::Wanted(partial)) = directory.member(index) else { return None };
            let sender = Sender::new(pattern(len, 1));
            sender.send(&partial, &partial.missing()).ok()?;
            directory.place(index, &partial).ok()?;
        }
        let before = faults.calls();
        let noted = directory.note(&mut lock(&directory.placed));
        let during = before..faults.calls();
        if noted.is_err() {
            // The same process goes on, or the next one.
            if number.is_some_and(|number| number % 2 == 0) {
                directory.note(&mut lock(&directory.placed)).unwrap();
            }
            drop((directory, store));
            let store = home.open();
            let directory = open(&home, &store);
            for index in 0..FILES.len() {
                match directory.member(index).unwrap() {
                    Member::Done { .. } => {}
                    Member::Wanted(partial) => {
                        assert!(partial.is_complete(), "{index} is to be received again: {number:?}");
                        directory.place(index, &partial).unwrap();
                    }
                }
            }
            directory.finish(&home.path("dir"), &options(Replace::Never)).unwrap();
            check(&home.path("dir"));
        }
        Some((noted.is_err(), during))
    };
    let (_, during) = try_all(None).unwrap();
    let failed =
        during.clone().filter(|number| try_all(Some(*number)).is_some_and(|(failed, _)| failed)).count();
    assert!(failed as u64 > during.end - during.start - 3, "{failed} of {during:?}");
}

fn small(index: usize) -> SmallFile {
    let Sender { data, pairs, .. } = Sender::new(pattern(FILES[index].1, 1));
    SmallFile { index, bytes: data, pairs }
}

#[test]
fn small_files_are_placed_many_at_once_and_found_again() {
    let home = Home::new();
    let store = home.open();
    let directory = open(&home, &store);
    let all: Vec<usize> = (0..FILES.len()).collect();
    assert_eq!(directory.standing(&all).unwrap(), vec![Standing::Wanted; FILES.len()]);
    directory.place_small(vec![small(0), small(2), small(5)]).unwrap();
    drop(directory);

    // Killed before anything was noted: what is whole is found, what is not is replaced.
    fs::write(home.path(".dir.shoal-part/z/y/x/deep"), b"half").unwrap();
    let directory = open(&home, &store);
    let standing = directory.standing(&all).unwrap();
    assert_eq!(standing[0], Standing::Done { size: 5 });
    assert_eq!(standing[2], Standing::Done { size: 30_000 });
    assert_eq!(standing[5], Standing::Wanted);
    directory.place_small(vec![small(1), small(3), small(5)]).unwrap();
    receive(&directory, 4);
    let share = directory.finish(&home.path("dir"), &options(Replace::Never)).unwrap().unwrap();
    check(&share.path);
    assert_eq!(share.cid, manifest().encode().cid());
    for (_, len) in FILES {
        let data = pattern(len, 1);
        let blob = store.blob(&Digest::of(&data)).unwrap().unwrap();
        assert_eq!(read_verified(&blob, Digest::of(&data)), data);
    }
    assert!(store.verify(&(), &crate::Cancel::new()).unwrap().corrupt.is_empty());

    // What this store has is known when another directory wants it.
    let again = store.partial_directory(manifest(), &home.path(".again.shoal-part")).unwrap();
    assert_eq!(again.standing(&all).unwrap(), vec![Standing::Known; FILES.len()]);
}

#[test]
fn a_small_file_of_another_size_or_without_its_tree_is_not_placed() {
    let home = Home::new();
    let store = home.open();
    let directory = open(&home, &store);
    let mut short = small(2);
    short.bytes.pop();
    let wrong = directory.place_small(vec![small(0), short]);
    assert!(matches!(wrong, Err(FinishError::WrongSize { listed: 30_000, size: 29_999, .. })), "{wrong:?}");
    let bare = SmallFile { pairs: Vec::new(), ..small(2) };
    assert!(matches!(directory.place_small(vec![bare]), Err(FinishError::Incomplete { .. })));
    assert_eq!(directory.standing(&[0, 2]).unwrap(), vec![Standing::Done { size: 5 }, Standing::Wanted]);
}
