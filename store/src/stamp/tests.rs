//! Tests of stamps on real files.

use std::{fs, time::Duration};

use super::*;

#[test]
fn whatever_may_change_the_bytes_changes_the_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let stamp = || Stamp::of(&fs::metadata(&path).unwrap());
    fs::write(&path, "one").unwrap();
    let first = stamp();
    assert_eq!(stamp(), first);

    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let touched = stamp();
    assert_ne!(touched.mtime_ns, first.mtime_ns);

    fs::write(dir.path().join("new"), "two").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_ne!(stamp().inode, touched.inode);
}

#[test]
fn a_file_is_itself_under_any_name_and_with_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    fs::write(&old, "one").unwrap();
    let id = FileId::of(&fs::metadata(&old).unwrap());
    fs::rename(&old, &new).unwrap();
    fs::write(&new, "longer than before").unwrap();
    assert_eq!(FileId::of(&fs::metadata(&new).unwrap()), id);
    fs::write(&old, "one").unwrap();
    assert_ne!(FileId::of(&fs::metadata(&old).unwrap()), id);
}

#[test]
fn a_file_is_fresh_for_a_minute() {
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let stamp = |age: i64| Stamp { size: 0, mtime_ns: since_epoch(now) - age, ctime_ns: 0, inode: 0 };
    let minute = 60 * 1_000_000_000;
    assert!(stamp(0).is_fresh(now));
    assert!(stamp(minute - 1).is_fresh(now));
    assert!(!stamp(minute).is_fresh(now));
    // From the future, which a wrong clock makes: it proves nothing either.
    assert!(stamp(-minute).is_fresh(now));
}
