//! Whom a search guesses to have the content.

use std::time::Instant;

use super::*;

fn key(number: u8) -> ProviderKey {
    ProviderKey::from_bytes([number; 32])
}

/// Whom of `connected` a search guesses first, of whom `named` are named as providers.
fn first(connected: &[PeerId], named: &[PeerId], former: &Former) -> Option<PeerId> {
    Guesses::default().among(connected, |peer| named.contains(peer), former, &key(1))
}

#[test]
fn whoever_is_named_comes_before_whoever_had_it_and_those_before_whoever_had_anything() {
    let folder = tempfile::tempdir().unwrap();
    let former = Former::open(folder.path().join("holders"));
    let peers = [(); 4].map(|()| PeerId::random());
    let [a, b, c, d] = peers;
    let now = Instant::now();

    assert_eq!(first(&peers, &[], &former), None, "one is as good as the other");
    assert_eq!(first(&[a], &[], &former), Some(a), "there is only one");
    assert_eq!(first(&[], &[a], &former), None);

    former.note(key(2), a, &[], now);
    former.note(key(3), b, &[], now);
    assert_eq!(first(&peers, &[], &former), Some(b), "who had anything last");
    assert_eq!(first(&[a, c, d], &[], &former), Some(a));
    assert_eq!(first(&[c, d], &[], &former), None);

    former.note(key(1), c, &[], now);
    former.note(key(3), b, &[], now);
    assert_eq!(first(&peers, &[], &former), Some(c), "who had this");
    assert_eq!(first(&peers, &[d], &former), Some(d), "who is said to have it");
}

#[test]
fn guesses_are_few_and_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let former = Former::open(folder.path().join("holders"));
    let peers = [(); 3].map(|()| PeerId::random());
    let mut guesses = Guesses::default();
    assert_eq!(guesses.among(&peers[..1], |_| false, &former, &key(1)), Some(peers[0]));
    assert_eq!(guesses.among(&peers[..1], |_| false, &former, &key(1)), None, "again");
    assert!(!guesses.guess(peers[0]), "again");
    assert!(guesses.guess(peers[1]));
    assert!(!guesses.guess(peers[2]), "a third");
}
