//! Tests of the journal.

use std::{fs, path::Path};

use shoal_content::Digest;

use super::*;
use crate::files::Files;

fn open(dir: &Path, shares: &[(PathBuf, Cid)]) -> (Journal, Vec<PathBuf>) {
    let (journal, lost) = Journal::open(&Files::default().dir(dir).unwrap(), shares).unwrap();
    assert!(lost.iter().all(|lost| share(lost.path.to_str().unwrap()).1 == lost.cid));
    assert_eq!(journal.shared(&[]).unwrap(), []);
    (journal, lost.into_iter().map(|lost| lost.path).collect())
}

fn share(path: &str) -> (PathBuf, Cid) {
    (path.into(), Cid::file(Digest::of(path.as_bytes())))
}

fn note(journal: &Journal, path: &str, is_shared: bool) {
    let (path, cid) = share(path);
    journal.note(&path, is_shared.then_some(cid)).unwrap();
}

#[test]
fn what_the_database_does_not_know_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, lost) = open(dir.path(), &[]);
    assert!(lost.is_empty());
    for (path, is_shared) in
        [("/a", true), ("/b", true), ("/a", false), ("/c", true), ("/c", false), ("/c", true)]
    {
        note(&journal, path, is_shared);
    }
    let (_, lost) = open(dir.path(), &[share("/b")]);
    assert_eq!(lost, [Path::new("/c")]);
}

#[test]
fn what_only_the_database_knows_is_added() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &[share("/a")]));
    assert_eq!(open(dir.path(), &[]).1, [Path::new("/a")]);
}

#[test]
fn a_line_that_was_cut_off_is_forgotten_and_those_after_it_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &[]);
    note(&journal, "/a", true);
    note(&journal, "/b", true);
    let path = dir.path().join(JOURNAL);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let (journal, lost) = open(dir.path(), &[]);
    assert_eq!(lost, [Path::new("/a")]);
    note(&journal, "/c", true);
    assert_eq!(open(dir.path(), &[]).1, [Path::new("/a"), Path::new("/c")]);
}

#[test]
fn it_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &[]);
    for _ in 0..=SLACK_LINES {
        note(&journal, "/a", true);
        note(&journal, "/b", true);
    }
    let len = || fs::metadata(dir.path().join(JOURNAL)).unwrap().len();
    let before = len();
    assert_eq!(open(dir.path(), &[share("/a")]).1, [Path::new("/b")]);
    assert!(len() < before / 100);
}

fn open_noted(dir: &Path, noted: &str) -> Option<Journal> {
    Journal::open_noted(&Files::default().dir(dir).unwrap(), noted).unwrap()
}

#[test]
fn a_journal_that_is_what_it_was_is_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &[]);
    note(&journal, "/a", true);
    let noted = journal.noted().unwrap().unwrap();
    drop(journal);
    let journal = open_noted(dir.path(), &noted).unwrap();
    note(&journal, "/b", true);
    assert!(open_noted(dir.path(), &noted).is_none(), "a line was added since");
    drop(journal);
    let (_, lost) = open(dir.path(), &[share("/a")]);
    assert_eq!(lost, [Path::new("/b")], "and it was added behind the others");

    for garbage in ["", "0", "x y", "0 Stamp", "-1 Stamp"] {
        assert!(open_noted(dir.path(), garbage).is_none(), "{garbage:?}");
    }
    fs::remove_file(dir.path().join(JOURNAL)).unwrap();
    assert!(open_noted(dir.path(), &noted).is_none());
}

#[test]
fn a_journal_with_many_new_lines_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path(), &[]);
    let mut rounds = 0;
    loop {
        for _ in 0..SLACK_LINES / 2 {
            note(&journal, "/a", true);
        }
        rounds += 1;
        let noted = journal.noted().unwrap().unwrap();
        match open_noted(dir.path(), &noted) {
            Some(again) => journal = again,
            None => break,
        }
    }
    assert_eq!(rounds, 3, "the count goes on over openings");
}
