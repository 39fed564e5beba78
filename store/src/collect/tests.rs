//! Tests of tidying.

use std::{fs, num::NonZeroUsize};

use shoal_content::{Digest, Entry, GroupRanges, Manifest, RelPath};

use crate::{
    Cancel, PublishObserver, PublishOptions,
    testing::{Home, Sender, pattern, publish},
};

/// Stops a publish once most of it is noted.
struct Stopper<'a>(&'a Cancel);

impl PublishObserver for Stopper<'_> {
    fn progress(&self, _: u64, files: u64) {
        if files == 140 {
            self.0.cancel();
        }
    }
}

#[test]
fn what_a_stopped_publish_noted_is_forgotten_and_what_is_shared_is_not() {
    let home = Home::new();
    let store = home.open();
    publish(&store, &home.write("dir/kept", &pattern(2_000_000, 99)));
    for at in 0..150 {
        home.write(&format!("dir/{at}"), &pattern(1_100_000, at));
    }
    let cancel = Cancel::new();
    let options = PublishOptions { threads: NonZeroUsize::new(1), ..PublishOptions::default() };
    store.publish(&home.path("dir"), &options, &Stopper(&cancel), &cancel).unwrap_err();
    let files = || fs::read_dir(home.path("store/outboards")).unwrap().count();
    assert_eq!(files(), 129, "a batch was noted");
    assert!(store.collect().unwrap() >= 128);
    assert_eq!(files(), 1);
    assert_eq!(fs::read_dir(home.path("store/partials")).unwrap().count(), 0);
    assert_eq!(store.shares().unwrap().len(), 1);
    assert_eq!(store.collect().unwrap(), 0);
}

#[test]
fn a_partial_blob_is_kept_as_long_as_its_part_file() {
    let home = Home::new();
    let sender = Sender::new(pattern(2_000_000, 1));
    let part = home.path(".file.shoal-part");
    let store = home.open();
    let partial = store.partial(&sender.digest, &part).unwrap();
    sender.send(&partial, &GroupRanges::from(0..50)).unwrap();
    assert_eq!(store.collect().unwrap(), 0, "it is being received");
    drop(partial);
    assert_eq!(store.collect().unwrap(), 0, "it can be gone on with");
    fs::remove_file(&part).unwrap();
    fs::write(&part, "somebody else's").unwrap();
    assert_eq!(store.collect().unwrap(), 1);
    assert_eq!(fs::read_dir(home.path("store/partials")).unwrap().count(), 0);
    assert!(part.exists());
}

#[test]
fn files_that_nobody_knows_are_removed() {
    let home = Home::new();
    let store = home.open();
    let digest = publish(&store, &home.write("file", &pattern(2_000_000, 1))).cid.digest();
    home.write("store/outboards/rubbish", b"");
    home.write(&format!("store/outboards/{}", "0".repeat(64)), b"");
    home.write("store/partials/new-7", b"");
    home.write("store/partials/rubbish", b"");
    home.write(&format!("store/partials/{}.tree", "0".repeat(32)), b"");
    assert_eq!(store.collect().unwrap(), 5);
    assert!(store.blob(&digest).unwrap().is_some());
}

#[test]
fn rows_that_do_not_decode_keep_nothing_else_from_being_tidied_and_nothing_of_theirs_is_lost() {
    let home = Home::new();
    let store = home.open();
    let lens = [10, 100_000, 2_000_000, 3_000_000];
    let files: Vec<_> = (0..).zip(lens).map(|(at, len)| (format!("dir/{at}"), pattern(len, at))).collect();
    files.iter().for_each(|(name, data)| drop(home.write(name, data)));
    publish(&store, &home.path("dir"));
    let manifest = Manifest::new(vec![Entry {
        path: RelPath::parse("file").unwrap(),
        size: 10,
        digest: Digest::of(b"elsewhere"),
        executable: false,
    }]);
    drop(store.partial_directory(manifest.unwrap(), &home.path("part")).unwrap());
    home.write("store/outboards/rubbish", b"");
    let digests: Vec<_> = files.iter().map(|(_, data)| Digest::of(data)).collect();
    let damage = |write: &mut crate::db::Write<'_>| {
        write.damage_download(&home.path("part"))?;
        digests[1..3].iter().try_for_each(|digest| write.damage_blob(digest))
    };
    store.inner.db.write(damage).unwrap();

    assert_eq!(store.collect().unwrap(), 1);
    assert!(!store.inner.is_news(3), "it was told");
    assert_eq!(store.collect().unwrap(), 0);
    assert_eq!(fs::read_dir(home.path("store/outboards")).unwrap().count(), 2);
    let readable = || {
        let read = |digest: &&Digest| store.blob(digest).is_ok_and(|blob| blob.is_some());
        digests.iter().filter(read).count()
    };
    assert_eq!(readable(), 2);
    assert_eq!(store.verify(&(), &Cancel::new()).unwrap().rebuilt, 2);
    assert_eq!(readable(), 4);
    assert_eq!(store.collect().unwrap(), 0);
    assert!(store.inner.is_news(3), "one is left, so these are others");
}
