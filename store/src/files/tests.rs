//! Tests of the door to the disk.

use std::{ffi::OsStr, fs, os::unix::fs::symlink};

use super::*;

fn dir() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Files::default().dir(temp.path()).unwrap();
    (temp, dir)
}

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

/// Both ways to rename without replacing, the system's and the one by hand.
fn each_rename(check: impl Fn(fn(&Dir, &OsStr, &Dir, &OsStr) -> io::Result<()>)) {
    check(Dir::rename_new);
    check(Dir::rename_new_by_hand);
}

#[test]
fn renaming_replaces_nothing() {
    each_rename(|rename| {
        let (temp, dir) = dir();
        fs::write(temp.path().join("new"), "new").unwrap();
        fs::write(temp.path().join("old"), "old").unwrap();
        fs::create_dir(temp.path().join("folder")).unwrap();
        symlink("nowhere", temp.path().join("link")).unwrap();
        for taken in ["old", "folder", "link"] {
            let renamed = rename(&dir, name("new"), &dir, name(taken));
            assert_eq!(renamed.unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{taken}");
        }
        rename(&dir, name("new"), &dir, name("free")).unwrap();
        assert_eq!(fs::read(temp.path().join("free")).unwrap(), b"new");
        assert!(!temp.path().join("new").exists());
        rename(&dir, name("folder"), &dir, name("other")).unwrap();
        assert!(temp.path().join("other").is_dir());
    });
}

#[test]
fn a_symlink_is_never_followed() {
    let (temp, dir) = dir();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "precious").unwrap();
    symlink(outside.path().join("file"), temp.path().join("file")).unwrap();
    symlink(outside.path(), temp.path().join("folder")).unwrap();
    assert!(dir.open(name("file")).is_err());
    assert!(dir.open_writable(name("file")).is_err());
    assert!(dir.create(name("file")).is_err());
    assert!(dir.create_private(name("file")).is_err());
    assert!(dir.open_or_make_dir(name("folder")).is_err());
    assert!(Files::default().open_source(&temp.path().join("file")).is_err());
    assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"precious");
}

#[test]
fn several_threads_may_need_the_same_folder_at_once() {
    const THREADS: usize = 4;
    let (_temp, dir) = dir();
    let start = std::sync::Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..100 {
                    start.wait();
                    dir.open_or_make_dir(name(&number.to_string())).unwrap();
                }
            });
        }
    });
}

#[test]
fn slices_are_written_one_after_the_other_however_many() {
    let (temp, dir) = dir();
    let file = dir.create(name("file")).unwrap();
    let slices: Vec<Vec<u8>> =
        (0..MAX_SLICES + 7).map(|at| vec![u8::try_from(at % 251).unwrap(); at % 5]).collect();
    file.write_slices_at(&slices.iter().map(Vec::as_slice).collect::<Vec<_>>(), 3).unwrap();
    assert_eq!(fs::read(temp.path().join("file")).unwrap(), [vec![0; 3], slices.concat()].concat());
}

#[test]
fn slices_are_read_one_after_the_other_however_many() {
    let (temp, dir) = dir();
    let bytes: Vec<u8> = (0..=250).cycle().take(2000).collect();
    fs::write(temp.path().join("file"), &bytes).unwrap();
    let file = dir.open(name("file")).unwrap();
    let mut read: Vec<Vec<u8>> = (0..MAX_SLICES + 7).map(|at| vec![0; at % 5]).collect();
    file.read_slices_at(&mut read.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(), 3).unwrap();
    let read = read.concat();
    assert_eq!(read, bytes[3..3 + read.len()]);

    let (mut here, mut beyond) = ([0; 10], [0; 10]);
    let cut = file.read_slices_at(&mut [&mut here, &mut beyond], 1985).unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn whoever_may_read_a_file_may_run_it_if_it_is_executable() {
    let (temp, dir) = dir();
    let file = dir.create(name("file")).unwrap();
    fs::set_permissions(temp.path().join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    file.make_executable().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
fn the_door_fails_when_it_is_told_to() {
    let temp = tempfile::tempdir().unwrap();
    let tries = |faults: fault::Faults| {
        let faults = std::sync::Arc::new(faults);
        let files = Files::with_faults(std::sync::Arc::clone(&faults));
        let failed = (0..5).map(|_| files.stat(temp.path()).is_err()).collect::<Vec<_>>();
        (failed, faults.calls(), faults.injected())
    };
    assert_eq!(tries(fault::Faults::once(2)), (vec![false, false, true, false, false], 5, 1));
    assert_eq!(tries(fault::Faults::from(2)), (vec![false, false, true, true, true], 5, 3));
    assert_eq!(tries(fault::Faults::default()), (vec![false; 5], 5, 0));
}
