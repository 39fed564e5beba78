//! Asking for content by its key: who gets it, who learns what, and what it saves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use libp2p::PeerId;
use shoal_content::{Digest, GROUP_LEN, GroupRanges, NetworkName, Pass, ProviderKey, SIZES, Tree};
use shoal_transfer::have::Holding;
use shoal_transfer::wire::{Body, Header, Mark, Name, Request, Want};
use shoal_transfer::{Failure, FetchError, FetchOptions, Naming, Source};

use crate::content::{Library, Threads, bytes, check_whole};
use crate::fake::{Peers, Script, get};
use crate::net::soon;
use crate::serve::Client;

fn key(digest: &Digest) -> ProviderKey {
    ProviderKey::derive(&NetworkName::default(), digest)
}

fn by_name(name: Name) -> Request {
    let want = Want { name, ranges: GroupRanges::all(u64::MAX), most: None };
    Request { wants: vec![want], body: Body::Content, credential: None }
}

fn by_key(digest: &Digest) -> FetchOptions {
    let mut options = FetchOptions::default();
    options.naming = Naming::Key { key: key(digest), asker: PeerId::random() };
    options
}

fn guess(source: Source) -> Source {
    Source { is_guess: true, ..source }
}

#[tokio::test]
async fn by_its_key_content_goes_to_whoever_shows_that_it_knows_the_digest() {
    let library = Library::new();
    let data = bytes(3 * GROUP_LEN, 1);
    let digest = library.publish("a", &data);
    let client = Client::of(&library.store).await;
    let (me, holder, other) = (client.node.id, client.provider.node.id, PeerId::random());
    let asked = || client.provider.served.asked.load(Ordering::Relaxed);

    let (header, body, last) = client.ask(&by_name(Name::hidden(key(&digest), &digest, &me, &holder))).await;
    assert_eq!(header, Header::Follows { size: data.len() as u64, ranges: None });
    let (_, same, _) = client.ask(&by_name(Name::Digest(digest))).await;
    assert!(body == same && last == Some(Mark::Complete));
    assert_eq!(asked(), 2);

    let absent = Digest::of(b"absent");
    let wrong = [
        ("of another content", Name::hidden(key(&digest), &absent, &me, &holder)),
        ("of another peer, who asks the same holder", Name::hidden(key(&digest), &digest, &other, &holder)),
        ("of ours, to another holder", Name::hidden(key(&digest), &digest, &me, &other)),
        ("of the holder, to us", Name::hidden(key(&digest), &digest, &holder, &me)),
        ("of noise", Name::Key { key: key(&digest), pass: Pass::from_bytes([7; 32]) }),
        ("of the digest", Name::Key { key: key(&digest), pass: Pass::from_bytes(*digest.as_bytes()) }),
        ("of what is not here", Name::hidden(key(&absent), &absent, &me, &holder)),
        (
            "of a key that is a digest",
            Name::Key { key: ProviderKey::from_bytes(*digest.as_bytes()), pass: Pass::from_bytes([7; 32]) },
        ),
    ];
    for (why, name) in wrong {
        assert_eq!(client.ask(&by_name(name)).await, (Header::NotFound, vec![], None), "{why}");
    }
    assert_eq!(asked(), 2, "whoever does not know the digest is nobody who takes it");
}

#[tokio::test]
async fn a_guess_that_is_right_takes_one_round_trip_and_tells_no_digest() {
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    for (size, why) in SIZES.iter().filter(|(size, _)| (1..=5 * GROUP_LEN).contains(size)) {
        let data = Arc::new(bytes(*size, *size));
        let partial = ours.partial(&Digest::of(&data));
        let before = peers.turns();
        let source = peers.add(&data, Script::default());
        let peer = source.peer;
        let options = by_key(&partial.digest());
        let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![guess(source)], options)).await;
        assert_eq!(result.unwrap().sources, [(peer, *size)], "{why}");
        assert_eq!((peers.turns() - before, peers.told(peer)), (1, 0), "{why}");
        check_whole(&partial, &data);
        partial.abandon().unwrap();
    }
}

#[tokio::test]
async fn what_a_guess_has_of_a_large_content_is_asked_for_once() {
    let data = Arc::new(bytes(400 * GROUP_LEN, 1));
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    let partial = ours.partial(&Digest::of(&data));
    let source = peers.add(&data, Script::default());
    let (size, peer) = (data.len() as u64, source.peer);
    let holding = Holding { size, ranges: GroupRanges::all(400), complete: true, name: None, files: None };
    let sources = vec![guess(source.clone()), Source { holding: Some(holding), ..source }];
    let options = by_key(&partial.digest());
    let (result, _) = soon(get(&partial, peers.clone(), &pool, sources, options)).await;
    assert_eq!(result.unwrap().sources, [(peer, size)]);
    check_whole(&partial, &data);
    assert_eq!(peers.told(peer), 0, "no request names the digest");
    let hashes = size / 100;
    assert!(peers.received() <= size + hashes, "{} bytes came of {size}", peers.received());
}

#[tokio::test]
async fn of_a_wrong_guess_nobody_hears_and_nobody_waits_for_it() {
    let data = Arc::new(bytes(40 * GROUP_LEN, 1));
    let other = Arc::new(bytes(GROUP_LEN, 2));
    let (ours, pool) = (Library::new(), Threads::start());
    let size = data.len() as u64;
    let wrong: [(&Arc<Vec<u8>>, Script); 3] = [
        (&other, Script::default()),
        (&data, Script { mute: true, ..Script::default() }),
        (&data, Script { refuses: Some((Header::Busy, 1)), ..Script::default() }),
    ];
    for (has, script) in wrong {
        let (peers, partial) = (Peers::new(), ours.partial(&Digest::of(&data)));
        let (wrong, right) = (peers.add(has, script.clone()), peers.add(&data, Script::default()));
        let (guessed, known) = (wrong.peer, right.peer);
        let ranges = GroupRanges::all(Tree::new(size).groups());
        let right = Source {
            holding: Some(Holding { size, ranges, complete: true, name: None, files: None }),
            ..right
        };
        let options = by_key(&partial.digest());
        let sources = vec![guess(wrong.clone()), right];
        let (result, _) = soon(get(&partial, peers.clone(), &pool, sources, options.clone())).await;
        let fetched = result.unwrap();
        assert_eq!(fetched.sources, [(known, size)], "{script:?}");
        assert!(fetched.dropped.is_empty() && fetched.silent.is_empty(), "{fetched:?}");
        assert_eq!((peers.told(guessed), peers.asked(known)), (0, 1), "{script:?}");
        partial.abandon().unwrap();

        if !script.mute {
            let partial = ours.partial(&Digest::of(&data));
            let peers = Peers::new();
            let wrong = guess(peers.add(has, script));
            let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![wrong], options)).await;
            assert!(matches!(result, Err(FetchError::NoSource)), "{result:?}");
        }
    }
}

#[tokio::test]
async fn a_guess_that_lies_is_found_out() {
    let data = Arc::new(bytes(40 * GROUP_LEN, 1));
    let (ours, pool, peers) = (Library::new(), Threads::start(), Peers::new());
    let partial = ours.partial(&Digest::of(&data));
    let liar = peers.add(&data, Script { flips: Some(2), ..Script::default() });
    let peer = liar.peer;
    let options = by_key(&partial.digest());
    let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![guess(liar)], options)).await;
    let Err(FetchError::AllFailed { dropped }) = result else { panic!("{result:?}") };
    let [dropped] = &dropped[..] else { panic!("{dropped:?}") };
    assert_eq!((dropped.peer, &dropped.reason), (peer, &Failure::BadBytes { group: Some(2) }));
    assert_eq!((partial.size(), peers.faults(), peers.told(peer)), (None, 1, 0));
}
