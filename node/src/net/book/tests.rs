//! What was learnt survives a restart, and rubbish on disk does no harm.

use std::time::{Duration, SystemTime};

use libp2p::PeerId;

use super::{Book, MAX_AGE, MAX_PEERS};

#[test]
fn peers_survive_a_restart_and_the_freshest_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peers");
    let now = SystemTime::now();
    let (old, new) = (PeerId::random(), PeerId::random());
    let mut book = Book::open(path.clone(), now);
    book.saw(old, &["/ip4/192.0.2.1/tcp/1".parse().unwrap()], now - Duration::from_secs(60));
    book.saw(new, &["/ip4/192.0.2.2/tcp/1".parse().unwrap()], now);
    book.take_draft().unwrap().write().unwrap();
    assert!(book.take_draft().is_none(), "nothing changed since");

    let peers: Vec<_> = Book::open(path.clone(), now).recent().into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(peers, [new, old]);
    assert!(Book::open(path, now + MAX_AGE + Duration::from_secs(120)).recent().is_empty());
}

#[test]
fn the_book_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Book::open(folder.path().join("peers"), SystemTime::now());
    for _ in 0..MAX_PEERS + 10 {
        book.saw(PeerId::random(), &["/ip4/192.0.2.1/tcp/1".parse().unwrap()], SystemTime::now());
    }
    assert_eq!(book.recent().len(), MAX_PEERS);
}

#[test]
fn an_unreadable_book_is_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peers");
    std::fs::write(&path, b"\xff\x00 rubbish").unwrap();
    assert!(Book::open(path, SystemTime::now()).recent().is_empty());
}
