//! Tests of publishing.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Mutex,
};

use shoal_content::{Digest, Entry, Manifest, RelPath, Root, SIZES};

use super::*;
use crate::{
    Selector, ShareState,
    testing::{Home, pattern, publish, read_verified},
};

#[derive(Default)]
struct Watcher {
    total: Mutex<(u64, u64)>,
    done: Mutex<(u64, u64)>,
    skipped: Mutex<Vec<PathBuf>>,
}

impl PublishObserver for Watcher {
    fn total(&self, bytes: u64, files: u64) {
        *self.total.lock().unwrap() = (bytes, files);
    }
    fn progress(&self, bytes: u64, files: u64) {
        let mut done = self.done.lock().unwrap();
        assert!(bytes >= done.0 && files >= done.1);
        *done = (bytes, files);
    }
    fn skipped(&self, skipped: &Skipped) {
        self.skipped.lock().unwrap().push(skipped.path.clone());
    }
}

#[test]
fn the_name_of_a_file_is_its_checksum_at_any_size() {
    let home = Home::new();
    let store = home.open();
    let long = hashing::WIDE_LEN;
    for size in SIZES.iter().map(|(size, _)| *size).chain([long - 1, long, long + 1]) {
        let data = pattern(size, 1);
        let path = home.write("file", &data);
        let watcher = Watcher::default();
        let options = PublishOptions::default();
        let published = store.publish(&path, &options, &watcher, &Cancel::new()).unwrap();
        assert_eq!(published.cid, Cid::file(Digest::of(&data)));
        assert_eq!((published.size, published.files, published.hashed_bytes), (size, 1, size));
        assert_eq!(*watcher.total.lock().unwrap(), (size, 1));
        assert_eq!(*watcher.done.lock().unwrap(), (size, 1));
        let only_hashed = hash_only(&path, &options, &(), &Cancel::new()).unwrap();
        assert_eq!(only_hashed.cid, published.cid);
        let blob = store.blob(&published.cid.digest()).unwrap().unwrap();
        assert_eq!(read_verified(&blob, published.cid.digest()), data);
    }
    assert_eq!(store.shares().unwrap().len(), 1);
    // What the path held before is not needed any more.
    assert_eq!(store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap(), 1);
    assert_eq!(fs::read_dir(home.path("store/outboards")).unwrap().count(), 1);
}

#[test]
fn a_directory_is_a_manifest_of_its_files() {
    let home = Home::new();
    let files = [("a", 5), ("b/c", 100_000), ("b/empty", 0), ("b/same as a", 5), ("z/long", 2_000_000)];
    for (name, size) in files {
        home.write(&format!("dir/{name}"), &pattern(size, 1));
    }
    fs::set_permissions(home.path("dir/a"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(home.path("dir/empty folder")).unwrap();
    symlink("a", home.path("dir/link")).unwrap();
    let entry = |(name, size): (&str, u64)| Entry {
        path: RelPath::parse(name).unwrap(),
        size,
        digest: Digest::of(&pattern(size, 1)),
        executable: name == "a",
    };
    let manifest = Manifest::new(files.map(entry).to_vec()).unwrap();

    let store = home.open();
    let watcher = Watcher::default();
    let published =
        store.publish(&home.path("dir"), &PublishOptions::default(), &watcher, &Cancel::new()).unwrap();
    assert_eq!(published.cid, manifest.encode().cid());
    assert_eq!((published.size, published.files), (2_100_010, 5));
    assert_eq!(*watcher.done.lock().unwrap(), (2_100_010, 5));
    assert_eq!(*watcher.skipped.lock().unwrap(), [home.path("dir/link")]);
    let root = store.small(&published.cid.digest()).unwrap().unwrap();
    assert_eq!(Root::decode(&root).unwrap(), Root::Flat(manifest.clone()));
    for entry in manifest.entries() {
        let blob = store.blob(&entry.digest).unwrap().unwrap();
        assert_eq!(read_verified(&blob, entry.digest).len() as u64, entry.size);
    }
    let blob = store.blob(&published.cid.digest()).unwrap().unwrap();
    assert_eq!(read_verified(&blob, published.cid.digest()), root);
    let hashed = hash_only(&home.path("dir"), &PublishOptions::default(), &(), &Cancel::new()).unwrap();
    assert_eq!(hashed.cid, published.cid);
}

#[test]
fn a_big_directory_has_pages_and_they_come_and_go_with_it() {
    let home = Home::new();
    let store = home.open();
    let folder = "long name ".repeat(20);
    let name = |at: usize| format!("dir/{folder}/{folder}/{folder}/{folder}/{at}");
    for at in 0..1400 {
        home.write(&name(at), &at.to_le_bytes());
    }
    let first = publish(&store, &home.path("dir"));
    let root = store.small(&first.cid.digest()).unwrap().unwrap();
    let Root::Paged(pages) = Root::decode(&root).unwrap() else { panic!("one page") };
    let digests: Vec<Digest> = pages.iter().map(|page| page.digest).collect();
    assert!(digests.iter().all(|page| store.blob(page).unwrap().is_some()));
    assert_eq!(store.shares().unwrap()[0].state, ShareState::Ok);

    home.write(&name(700), b"edited");
    let second = publish(&store, &home.path("dir"));
    assert_eq!(second.unchanged_files, 1399);
    let left = digests.iter().filter(|page| store.blob(page).unwrap().is_some()).count();
    assert_eq!(left, digests.len() - 1);
    assert!(store.blob(&first.cid.digest()).unwrap().is_none());

    store.unpublish(&Selector::Cid(second.cid)).unwrap();
    assert_eq!(store.inner.db.read(|read| Ok(read.blobs()?.count())).unwrap(), 0);
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let home = Home::new();
    for name in ["a", "b", "c"] {
        home.write(&format!("dir/{name}"), name.as_bytes());
    }
    let first = publish(&home.open(), &home.path("dir"));
    assert_eq!((first.hashed_bytes, first.unchanged_files), (3, 0));
    let store = home.open();
    let again = publish(&store, &home.path("dir"));
    assert_eq!((again.cid, again.hashed_bytes, again.unchanged_files), (first.cid, 0, 3));

    home.write("dir/b", b"new bytes");
    fs::remove_file(home.path("dir/c")).unwrap();
    let edited = publish(&store, &home.path("dir"));
    assert_eq!((edited.hashed_bytes, edited.unchanged_files, edited.files), (9, 1, 2));
    for (bytes, is_here) in [("a", true), ("b", false), ("c", false), ("new bytes", true)] {
        assert_eq!(store.blob(&Digest::of(bytes.as_bytes())).unwrap().is_some(), is_here, "{bytes}");
    }
}

#[test]
fn a_file_becomes_a_folder_and_a_folder_a_file() {
    let home = Home::new();
    let store = home.open();
    let path = home.write("x", b"file");
    let file = publish(&store, &path).cid;
    fs::remove_file(&path).unwrap();
    home.write("x/inside", b"inside");
    let folder = publish(&store, &path).cid;
    assert!(store.blob(&file.digest()).unwrap().is_none());
    fs::remove_dir_all(&path).unwrap();
    home.write("x", b"file");
    assert_eq!(publish(&store, &path).cid, file);
    assert!(store.blob(&folder.digest()).unwrap().is_none());
    assert!(store.blob(&Digest::of(b"inside")).unwrap().is_none());
    assert_eq!(store.shares().unwrap().len(), 1);
}

#[test]
fn a_symlink_is_followed_if_it_is_what_the_user_named() {
    let home = Home::new();
    let store = home.open();
    let path = home.write("file", b"bytes");
    symlink("file", home.path("link")).unwrap();
    let published = publish(&store, &home.path("link"));
    assert_eq!((published.path, published.name.as_str()), (path, "file"));
}

#[test]
fn what_cannot_be_published_says_why() {
    let home = Home::new();
    let store = home.open();
    let publish = |path: &Path, exclude: Vec<PathBuf>| {
        let options = PublishOptions { exclude, ..PublishOptions::default() };
        store.publish(path, &options, &(), &Cancel::new()).unwrap_err()
    };
    let missing = publish(&home.path("missing"), Vec::new());
    assert!(matches!(missing, PublishError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound));
    let pipe = home.path("pipe");
    crate::testing::make_pipe(&pipe);
    let refused = publish(&pipe, Vec::new());
    assert!(refused.to_string().ends_with("it is not a regular file but a pipe"), "{refused}");
    let own = publish(&home.path("store"), Vec::new());
    assert!(matches!(own, PublishError::Refused { reason: SkipReason::Own, .. }));
    let home_itself = publish(&home.write("home/identity", b"secret"), vec![home.path("home")]);
    assert!(matches!(home_itself, PublishError::Refused { reason: SkipReason::Own, .. }));
    home.write("other/store/store.redb", b"");
    home.write("other/identity", b"secret");
    let other = publish(&home.path("other"), Vec::new());
    assert!(matches!(other, PublishError::Refused { reason: SkipReason::Home, .. }));
    fs::create_dir(home.path("empty")).unwrap();
    symlink("nowhere", home.path("empty/link")).unwrap();
    let empty = publish(&home.path("empty"), Vec::new());
    assert!(matches!(empty, PublishError::Nothing { skipped, .. } if skipped.len() == 1));
    assert!(store.shares().unwrap().is_empty());
    // The store itself lies in this folder, and is left out.
    let all = crate::testing::publish(&store, &home.path(""));
    assert!(all.skipped.iter().any(|skipped| matches!(skipped.reason, SkipReason::Own)));
    assert_eq!(all.files, 1);
}

#[test]
fn names_that_other_systems_cannot_hold_are_warned_about() {
    let home = Home::new();
    home.write("dir/AUX.txt", b"");
    home.write("dir/fine", b"");
    assert_eq!(publish(&home.open(), &home.path("dir")).warnings.len(), 1);
}

/// Changes a file each time some of it was hashed.
struct Meddler(PathBuf);

impl PublishObserver for Meddler {
    fn progress(&self, _: u64, _: u64) {
        fs::File::options().append(true).open(&self.0).unwrap().set_len(hashing::WIDE_LEN + 1).unwrap();
    }
}

#[test]
fn a_file_that_keeps_changing_is_not_published() {
    let home = Home::new();
    let store = home.open();
    let path = home.write("dir/log", &vec![0; usize::try_from(hashing::WIDE_LEN).unwrap()]);
    let meddler = Meddler(path.clone());
    // The first attempt is noticed; nothing meddles with the second, which is silent.
    let published = store.publish(&path, &PublishOptions::default(), &meddler, &Cancel::new()).unwrap();
    assert_eq!(published.size, hashing::WIDE_LEN + 1);
    assert_eq!(fs::read_dir(home.path("store/partials")).unwrap().count(), 0);
}

#[test]
fn a_file_that_never_stands_still_is_left_out() {
    let home = Home::new();
    let store = home.open();
    home.write("dir/calm", b"calm");
    let path = home.write("dir/log", b"");
    // Reading it takes long against the time for which a busy machine may keep the writer waiting.
    fs::File::options().write(true).open(&path).unwrap().set_len(64 * hashing::WIDE_LEN).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let begun = std::sync::Barrier::new(2);
    let published = std::thread::scope(|scope| {
        scope.spawn(|| {
            let log = fs::File::options().append(true).open(&path).unwrap();
            begun.wait();
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                io::Write::write_all(&mut &log, b"x").unwrap();
            }
        });
        begun.wait();
        let published = publish(&store, &home.path("dir"));
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        published
    });
    assert_eq!(published.files, 1);
    assert!(matches!(published.skipped[..], [Skipped { reason: SkipReason::Changing, .. }]));
}

/// Sets the flag once something is done.
struct Stopper<'a>(&'a Cancel);

impl PublishObserver for Stopper<'_> {
    fn progress(&self, bytes: u64, _: u64) {
        if bytes > 0 {
            self.0.cancel();
        }
    }
}

#[test]
fn a_publish_that_is_stopped_has_published_nothing_and_the_next_one_goes_on() {
    let home = Home::new();
    let store = home.open();
    for at in 0..20 {
        home.write(&format!("dir/{at}"), &pattern(100_000, at));
    }
    let cancel = Cancel::new();
    let stopped = store.publish(&home.path("dir"), &PublishOptions::default(), &Stopper(&cancel), &cancel);
    assert!(matches!(stopped, Err(PublishError::Cancelled)), "{stopped:?}");
    assert!(store.shares().unwrap().is_empty());
    assert_eq!(publish(&store, &home.path("dir")).files, 20);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_only_says_that_it_is_empty_is_not_published() {
    let version = Path::new("/proc/version");
    let error = hash_only(version, &PublishOptions::default(), &(), &Cancel::new()).unwrap_err();
    assert!(matches!(error, PublishError::Refused { .. }), "{error}");
}
