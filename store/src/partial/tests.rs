//! Tests of receiving blobs.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use shoal_content::{Cid, Entry, GroupRanges, Manifest, RelPath, SIZES};

use super::*;
use crate::{
    Filler, FinishError, FinishOptions, Member, Selector,
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

#[test]
fn what_comes_a_second_time_is_not_written_to_a_file_that_is_in_its_place() {
    let (home, sender) = (Home::new(), Sender::new(pattern(LONG, 1)));
    let store = home.open();
    let entry =
        Entry { path: RelPath::parse("file").unwrap(), size: LONG, digest: sender.digest, executable: false };
    let manifest = Manifest::new(vec![entry]).unwrap();
    let directory = store.partial_directory(manifest, &home.path(".dir.shoal-part")).unwrap();
    let Member::Wanted(member) = directory.member(0).unwrap() else { panic!("it is there") };
    let file = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
    for (partial, path) in [(&file, home.path("file")), (&member, home.path(".dir.shoal-part/file"))] {
        sender.send_all(partial).unwrap();
        // A job that was let in before the end, and has not written yet.
        let late = match &lock(&partial.shared.state).body {
            Body::Disk(disk) => Arc::clone(disk),
            Body::Memory(_) => panic!("it is in memory"),
        };
        if path == home.path("file") {
            partial.finish(&path, &share()).unwrap();
        } else {
            directory.place(0, partial).unwrap();
        }
        fs::write(&path, b"edited").unwrap();
        late.write(&sender.verified(&GroupRanges::all(sender.tree.groups()))).unwrap();
        assert!(fs::read(&path).unwrap() == b"edited", "{} was written to", path.display());
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

#[test]
fn a_size_is_a_claim_until_the_last_group_is_here() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(LONG, 1));
    let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
    assert_eq!((partial.size(), partial.tree(), partial.blob().is_none()), (None, None, true));
    assert_eq!(partial.missing(), GroupRanges::all(u64::MAX));
    // The claim of a liar takes no space, and goes when somebody claims something else.
    for claim in [u64::MAX / 2, 10, LONG + 1] {
        partial.claim_size(claim).unwrap();
        assert!(partial.have().is_empty());
        let part = fs::metadata(home.path(".file.shoal-part"));
        assert_eq!(part.map_or(0, |part| part.len()), 0);
    }
    sender.send(&partial, &GroupRanges::from(3..5)).unwrap();
    assert_eq!(partial.size(), None);
    sender.send(&partial, &GroupRanges::from(sender.tree.groups() - 1..sender.tree.groups())).unwrap();
    assert_eq!(partial.size(), Some(LONG));
    let liar = partial.claim_size(LONG - 1);
    assert!(matches!(liar, Err(WriteError::Size { proven: LONG, .. })), "{liar:?}");
    assert_eq!(partial.have().len(), 3);
}

#[test]
fn bytes_that_do_not_fit_are_refused() {
    for len in [40_000, LONG] {
        let home = Home::new();
        let store = home.open();
        let sender = Sender::new(pattern(len, 1));
        let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
        let leaf = |group, bytes: &[u8]| partial.write(&[Verified::Leaf { group, bytes }]);
        assert!(matches!(leaf(0, &[0; 16_384]), Err(WriteError::Misfit)), "no size is known");
        partial.claim_size(len).unwrap();
        let last = sender.tree.groups() - 1;
        for (group, len) in [(0, 16_383), (0, 0), (last, 16_384), (last + 1, 0), (u64::MAX, 1)] {
            assert!(matches!(leaf(group, &vec![0; len]), Err(WriteError::Misfit)), "{group} {len}");
        }
        let pair = &[0; PARENT_LEN];
        let parent = partial.write(&[Verified::Parent { index: sender.tree.parents(), pair }]);
        assert!(matches!(parent, Err(WriteError::Misfit)));
        assert!(partial.have().is_empty());
    }
}

#[test]
fn only_what_is_here_can_be_read() {
    for len in [SMALL_LEN, LONG] {
        let home = Home::new();
        let store = home.open();
        let sender = Sender::new(pattern(len, 1));
        let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
        let ranges = GroupRanges::from_iter([1..3, 10..11]);
        sender.send(&partial, &ranges).unwrap();
        let held = store.held(&sender.digest).unwrap().unwrap();
        assert_eq!((held.size, held.ranges, held.complete), (len, ranges, false));
        assert_eq!(store.digest_for(&partial.shared.key()).unwrap(), Some(sender.digest));
        let blob = store.blob(&sender.digest).unwrap().unwrap();
        assert_eq!(read_verified(&blob, sender.digest).len(), 3 * 16_384);
        for offset in [0, 16_383, 3 * 16_384, 10 * 16_384 - 1, len - 1] {
            let read = blob.read_at(offset, &mut [0; 1]);
            assert!(matches!(read, Err(ReadError::NotHere)), "{offset} {read:?}");
        }
        blob.read_at(16_384, &mut [0; 32_768]).unwrap();
        assert!(blob.read_at(16_384, &mut [0; 32_769]).is_err());
        drop((partial, blob));
        assert!(store.held(&sender.digest).unwrap().is_none(), "nobody receives it any more");
    }
}

#[test]
fn a_part_file_is_received_to_once_and_a_blob_to_several() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(LONG, 1));
    let first = store.partial(&sender.digest, &home.path("one")).unwrap();
    let again = store.partial(&sender.digest, &home.path("one"));
    assert!(matches!(again, Err(PartialError::InUse { .. })));
    let second = store.partial(&sender.digest, &home.path("two")).unwrap();
    sender.send_all(&first).unwrap();
    second.fill(&first.blob().unwrap(), &crate::Cancel::new(), &mut |_| {}).unwrap();
    assert!(second.is_complete());
    first.abandon().unwrap();
    assert!(!home.path("one").exists());
    store.partial(&sender.digest, &home.path("one")).unwrap();
    second.finish(&home.path("file"), &share()).unwrap();
    assert_eq!(fs::read(home.path("file")).unwrap(), sender.data);
}

#[test]
fn who_fills_a_part_is_known_to_other_stores_for_as_long_as_it_does() {
    let (home, others) = (Home::new(), Home::new());
    let (store, other) = (home.open(), others.open());
    let sender = Sender::new(pattern(LONG, 1));
    let part = home.path("part");
    assert_eq!(store.filler(&part), None);
    let partial = store.partial(&sender.digest, &part).unwrap();
    let ours = Some(Filler::ThisStore(Cid::file(sender.digest)));
    assert_eq!(store.filler(&part), ours);
    assert_eq!(other.filler(&part), None, "nothing is there to lose");
    sender.send(&partial, &GroupRanges::all(3)).unwrap();
    let theirs = Some(Filler::Other { pid: cfg!(target_os = "linux").then(std::process::id) });
    assert_eq!((store.filler(&part), other.filler(&part)), (ours, theirs));
    drop(partial);
    assert_eq!((store.filler(&part), other.filler(&part)), (None, None));
    // So it is when one goes on where it was left.
    let partial = store.partial(&sender.digest, &part).unwrap();
    assert_eq!((store.filler(&part), other.filler(&part)), (ours, theirs));
    sender.send_all(&partial).unwrap();
    partial.finish(&home.path("file"), &share()).unwrap();
    assert_eq!(other.filler(&part), None);
}

#[test]
fn what_another_process_is_about_to_fill_is_not_taken_from_it() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(LONG, 1));
    // Made a moment ago, and still empty.
    let part = home.write("part", b"");
    let theirs = fs::File::open(&part).unwrap();
    theirs.try_lock().unwrap();
    let partial = store.partial(&sender.digest, &part).unwrap();
    let refused = partial.claim_size(LONG);
    assert!(matches!(refused, Err(WriteError::InUse { .. })), "{refused:?}");
    drop(theirs);
    sender.send(&partial, &GroupRanges::all(3)).unwrap();
    drop(partial);

    let theirs = fs::File::open(&part).unwrap();
    theirs.try_lock().unwrap();
    let refused = store.partial(&sender.digest, &part).map(drop);
    assert!(matches!(refused, Err(PartialError::InUse { .. })), "{refused:?}");
    drop(theirs);
    assert_eq!(store.partial(&sender.digest, &part).unwrap().have().len(), 3);

    let entry =
        Entry { path: RelPath::parse("a").unwrap(), size: 1, digest: sender.digest, executable: false };
    let manifest = Manifest::new(vec![entry]).unwrap();
    let folder = home.path("folder");
    fs::create_dir(&folder).unwrap();
    let theirs = fs::File::open(&folder).unwrap();
    theirs.try_lock().unwrap();
    let refused = store.partial_directory(manifest.clone(), &folder).map(drop);
    assert!(matches!(refused, Err(PartialError::InUse { .. })), "{refused:?}");
    drop(theirs);
    store.partial_directory(manifest, &folder).unwrap();
}

#[test]
fn whoever_looks_who_fills_a_part_does_not_take_its_lock_away() {
    let (home, others) = (Home::new(), Home::new());
    let (store, other) = (home.open(), others.open());
    let sender = Sender::new(pattern(LONG, 1));
    let part = home.path("part");
    let thirds = Home::new();
    let third = thirds.open();
    let (over, mut unheld) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                other.filler(&part);
            }
        });
        for _ in 0..200 {
            // A test that fails in here must still end.
            let Ok(partial) = store.partial(&sender.digest, &part) else {
                unheld += 1;
                continue;
            };
            unheld += usize::from(sender.send(&partial, &GroupRanges::all(1)).is_err());
            unheld += usize::from(third.filler(&part).is_none());
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(unheld, 0);
}

#[test]
fn how_far_a_part_has_come_changes_with_all_that_is_received_to_it() {
    let (home, others) = (Home::new(), Home::new());
    let (store, other) = (home.open(), others.open());
    let (small, long) = (Sender::new(pattern(100_000, 1)), Sender::new(pattern(LONG, 2)));
    let entry = |name: &str, sender: &Sender| Entry {
        path: RelPath::parse(name).unwrap(),
        size: sender.data.len() as u64,
        digest: sender.digest,
        executable: false,
    };
    let manifest = Manifest::new(vec![entry("a/long", &long), entry("b/small", &small)]).unwrap();
    let part = home.path(".dir.shoal-part");
    let look = || [store.filled(&part), other.filled(&part)];
    let nothing = look();
    let directory = store.partial_directory(manifest, &part).unwrap();
    let mut before = look();
    assert_ne!(nothing, before);
    let member = |index| match directory.member(index).unwrap() {
        Member::Wanted(partial) => partial,
        Member::Done { .. } => panic!("it is not there"),
    };
    let (long_part, small_part) = (member(0), member(1));
    before = look();
    assert_eq!(look(), before, "nothing came");
    small_part.claim_size(100_000).unwrap();
    small.send(&small_part, &GroupRanges::all(1)).unwrap();
    assert_ne!(look()[0], before[0], "it is in memory");
    before = look();
    small.send_all(&small_part).unwrap();
    directory.place(1, &small_part).unwrap();
    let now = look();
    assert!(now[0] != before[0] && now[1] != before[1], "a file was placed");
    for groups in [GroupRanges::all(1), GroupRanges::from(200..201), GroupRanges::from(3..4)] {
        before = look();
        long.send(&long_part, &groups).unwrap();
        let now = look();
        assert_ne!(now[0], before[0]);
        assert!(groups == GroupRanges::from(3..4) || now[1] != before[1], "the file grew");
    }
}

/// Writes to a file as another program would, until its time of change shows that.
fn overwrite(path: &Path, bytes: &[u8], offset: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    while file.metadata().unwrap().modified().unwrap() == before {
        file.write_all_at(bytes, offset).unwrap();
    }
}

#[test]
fn what_another_program_wrote_to_a_part_is_received_again() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(LONG, 1));
    let part = home.path(".file.shoal-part");
    let partial = store.partial(&sender.digest, &part).unwrap();
    sender.send(&partial, &GroupRanges::all(40)).unwrap();
    overwrite(&part, b"not what was sent", 20_000);
    let rest = partial.missing();
    sender.send(&partial, &rest).unwrap();
    assert!(partial.is_complete());
    let refused = partial.finish(&home.path("file"), &share());
    assert!(matches!(refused, Err(FinishError::Incomplete { .. })), "{refused:?}");
    assert_eq!(partial.missing(), GroupRanges::from(1..2), "the rest is good");
    sender.send(&partial, &GroupRanges::from(1..2)).unwrap();

    // The same bytes at another time: it is read again, and is good.
    overwrite(&part, &sender.data[..10], 0);
    partial.finish(&home.path("file"), &share()).unwrap();
    assert!(fs::read(home.path("file")).unwrap() == sender.data);
}

#[test]
fn a_part_that_another_program_wrote_to_is_read_again_when_it_is_opened_again() {
    // What they write after our last write shows as well as what they write between two.
    for rest in [GroupRanges::empty(), GroupRanges::from(10..11)] {
        let home = Home::new();
        let store = home.open();
        let sender = Sender::new(pattern(LONG, 1));
        let part = home.path(".file.shoal-part");
        let partial = store.partial(&sender.digest, &part).unwrap();
        sender.send(&partial, &GroupRanges::all(10)).unwrap();
        overwrite(&part, b"not what was sent", 20_000);
        if !rest.is_empty() {
            sender.send(&partial, &rest).unwrap();
        }
        partial.sync().unwrap();
        drop(partial);
        let partial = store.partial(&sender.digest, &part).unwrap();
        assert_eq!(partial.have(), GroupRanges::from_iter([0..1, 2..10 + rest.len()]));
    }
}

#[test]
fn the_last_clone_may_go_while_another_is_looked_for() {
    let home = Home::new();
    let store = home.open();
    let digest = Digest::of(b"wanted by nobody");
    let last = std::cell::Cell::new(Some(store.partial(&digest, &home.path("part")).unwrap()));
    let found = store.inner.live(|shared| {
        assert_eq!(shared.digest(), digest);
        drop(last.take());
        false
    });
    assert!(found.is_none());
    assert!(store.partial(&digest, &home.path("part")).is_ok(), "its part file is free again");
}

#[test]
fn a_copy_with_other_bytes_fills_nothing() {
    let home = Home::new();
    let store = home.open();
    let (sender, other) = (Sender::new(pattern(LONG, 1)), Sender::new(pattern(LONG, 2)));
    let wrong = store.partial(&other.digest, &home.path("other")).unwrap();
    other.send_all(&wrong).unwrap();
    let partial = store.partial(&sender.digest, &home.path("file")).unwrap();
    let filled = partial.fill(&wrong.blob().unwrap(), &crate::Cancel::new(), &mut |_| {});
    assert!(matches!(filled, Err(WriteError::Read(ReadError::NotThis))), "{filled:?}");
    assert!(partial.have().is_empty());
}

#[test]
fn somebody_elses_file_is_not_written_to() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(LONG, 1));
    let part = home.write(".file.shoal-part", b"precious");
    let outside = home.write("outside", b"");
    let partial = store.partial(&sender.digest, &part).unwrap();
    assert!(matches!(partial.claim_size(LONG), Err(WriteError::Foreign { .. })));
    drop(partial);
    assert_eq!(fs::read(&part).unwrap(), b"precious");
    fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink(&outside, &part).unwrap();
    let partial = store.partial(&sender.digest, &part).unwrap();
    assert!(matches!(partial.claim_size(LONG), Err(WriteError::Foreign { .. })));
    assert_eq!(fs::read(&outside).unwrap(), b"");
}

/// What became of a part file while nobody received to it, and how many groups are believed after.
fn after(deed: impl Fn(&Path), expected: u64) {
    let home = Home::new();
    let sender = Sender::new(pattern(LONG, 1));
    let part = home.path(".file.shoal-part");
    let store = home.open();
    let partial = store.partial(&sender.digest, &part).unwrap();
    sender.send(&partial, &GroupRanges::from(0..200)).unwrap();
    partial.sync().unwrap();
    drop((partial, store));
    deed(&home.path(""));
    let store = home.open();
    let partial = store.partial(&sender.digest, &part).unwrap();
    assert_eq!(partial.have().len(), expected);
    if let Some(blob) = partial.blob() {
        read_verified(&blob, sender.digest);
    }
    sender.send(&partial, &partial.missing()).unwrap();
    partial.finish(&home.path("file"), &share()).unwrap();
    assert_eq!(fs::read(home.path("file")).unwrap(), sender.data);
    drop(partial);
    assert_eq!(store.collect().unwrap(), 0);
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The file in `partials` whose name ends like this.
fn kept(home: &Path, suffix: &str) -> PathBuf {
    let mut names = fs::read_dir(home.join("store/partials")).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.to_str().unwrap().ends_with(suffix)).unwrap()
}

#[test]
fn whatever_happened_to_a_part_file_only_right_groups_are_believed() {
    const PART: &str = ".file.shoal-part";
    after(|_| {}, 200);
    after(|home| fs::remove_file(home.join(PART)).unwrap(), 0);
    after(|home| flip(&home.join(PART), 5 * 16_384), 199);
    after(
        |home| fs::File::options().write(true).open(home.join(PART)).unwrap().set_len(100 * 16_384).unwrap(),
        100,
    );
    after(|home| fs::File::options().write(true).open(home.join(PART)).unwrap().set_len(0).unwrap(), 0);
    // The last record and the one before; both say the same here, and the later is in `.b`.
    after(|home| flip(&kept(home, ".b"), 20), 200);
    after(|home| fs::remove_file(kept(home, ".a")).unwrap(), 200);
    after(|home| fs::remove_file(kept(home, ".tree")).unwrap(), 0);
}

#[test]
fn a_hash_tree_that_is_damaged_loses_what_it_proved() {
    after(
        |home| {
            // Both are touched, so that nothing is believed unseen; slot 1 is above the first 256 groups.
            flip(&kept(home, ".tree"), 64);
            fs::File::options()
                .append(true)
                .open(home.join(".file.shoal-part"))
                .unwrap()
                .set_len(LONG)
                .unwrap();
        },
        0,
    );
}

#[test]
fn other_content_may_have_the_same_part_file_next() {
    let home = Home::new();
    let store = home.open();
    let part = home.path(".file.shoal-part");
    for seed in 0..3 {
        let sender = Sender::new(pattern(LONG, seed));
        let partial = store.partial(&sender.digest, &part).unwrap();
        assert!(partial.have().is_empty());
        sender.send(&partial, &GroupRanges::from(0..10)).unwrap();
    }
}

#[test]
fn of_two_disks_the_full_one_is_named() {
    let (none, much) = (Some(4096), Some(1 << 40));
    assert!(only_kept_is_full(much, none));
    for (part, kept) in [(none, much), (none, none), (much, much), (None, none), (much, None)] {
        assert!(!only_kept_is_full(part, kept), "{part:?} {kept:?}");
    }
}

#[test]
fn an_empty_blob_needs_nobody() {
    let home = Home::new();
    let store = home.open();
    let partial = store.partial(&Digest::of(b""), &home.path(".file.shoal-part")).unwrap();
    assert!(partial.is_complete());
    partial.finish(&home.path("file"), &share()).unwrap();
    assert_eq!(fs::read(home.path("file")).unwrap(), b"");
}

#[test]
fn several_threads_write_at_once() {
    let home = Home::new();
    let store = home.open();
    let sender = Sender::new(pattern(LONG, 1));
    let partial = store.partial(&sender.digest, &home.path(".file.shoal-part")).unwrap();
    partial.claim_size(LONG).unwrap();
    let groups = sender.tree.groups();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (partial, sender) = (&partial, &sender);
            scope.spawn(move || {
                for group in (thread..groups).step_by(4) {
                    sender.send(partial, &GroupRanges::from(group..group + 1)).unwrap();
                    if group % 50 == thread {
                        partial.sync().unwrap();
                    }
                }
            });
        }
    });
    assert!(partial.is_complete());
    partial.finish(&home.path("file"), &share()).unwrap();
    assert_eq!(fs::read(home.path("file")).unwrap(), sender.data);
}
