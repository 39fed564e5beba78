//! Tests of what a walk finds and what it leaves out.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
};

use super::*;

fn names(tree: &Tree) -> Vec<&str> {
    tree.files.iter().map(|file| file.path.as_ref().unwrap().as_str()).collect()
}

#[test]
fn only_regular_files_are_found_and_everything_else_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::create_dir(root.join("own")).unwrap();
    fs::create_dir(root.join(".music.shoal-part")).unwrap();
    fs::create_dir_all(root.join("deep/home/store")).unwrap();
    fs::create_dir_all(root.join("no home/store")).unwrap();
    for file in ["deep/home/identity", "deep/home/store/store.redb", "deep/home/file", "no home/identity"] {
        fs::write(root.join(file), file).unwrap();
    }
    for file in ["b", "a", "deep/er/c", "deep.txt", "own/key", ".music.shoal-part/song", ".x.shoal-part"] {
        fs::write(root.join(file), file).unwrap();
    }
    symlink("a", root.join("link")).unwrap();
    symlink("deep", root.join("folder link")).unwrap();
    fs::write(root.join("back\\slash"), "").unwrap();
    crate::testing::make_pipe(&root.join("pipe"));
    let _socket = UnixListener::bind(root.join("socket")).unwrap();

    let tree = walk(&Files::default(), root, &[root.join("own")], &Cancel::new()).unwrap();
    assert_eq!(names(&tree), ["a", "b", "deep.txt", "deep/er/c", "no home/identity"]);
    let mut skipped: Vec<String> = tree
        .skipped
        .iter()
        .map(|skipped| format!("{}: {}", skipped.path.strip_prefix(root).unwrap().display(), skipped.reason))
        .collect();
    skipped.sort();
    assert_eq!(
        skipped,
        [
            ".music.shoal-part: it is an unfinished download",
            ".x.shoal-part: it is an unfinished download",
            "back\\slash: the path has a backslash in it",
            "deep/home: it is the home of a node, with its secret key",
            "folder link: it is a symlink",
            "link: it is a symlink",
            "own: it is this node's own data",
            "pipe: it is not a regular file but a pipe",
            "socket: it is not a regular file but a socket",
        ]
    );
}

/// Other systems do not let such a name be made.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf8_is_left_out() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"latin-\xe9")), "").unwrap();
    let tree = walk(&Files::default(), dir.path(), &[], &Cancel::new()).unwrap();
    assert!(tree.files.is_empty());
    assert!(matches!(tree.skipped[..], [Skipped { reason: SkipReason::NotUtf8, .. }]));
}

#[test]
fn what_is_deeper_than_a_manifest_can_say_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let deep = |depth: usize| dir.path().join("d/".repeat(depth));
    fs::create_dir_all(deep(40)).unwrap();
    fs::write(deep(31).join("in"), "").unwrap();
    fs::write(deep(32).join("out"), "").unwrap();
    let tree = walk(&Files::default(), dir.path(), &[], &Cancel::new()).unwrap();
    assert_eq!(tree.files.len(), 1);
    assert_eq!(tree.skipped.len(), 2);
    assert!(tree.skipped.iter().all(|skipped| matches!(skipped.reason, SkipReason::Path(_))));
}

#[test]
fn a_walk_stops_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(walk(&Files::default(), dir.path(), &[], &cancel).unwrap().files.is_empty());
}
