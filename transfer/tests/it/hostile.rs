//! Fetching from peers that lie, hang, break off, refuse and send too much.

use std::sync::Arc;
use std::time::Duration;

use shoal_content::{Digest, GROUP_LEN, GroupRanges, Tree};
use shoal_transfer::have::Holding;
use shoal_transfer::wire::{Header, Mark};
use shoal_transfer::{Dropped, Failure, FetchError, FetchOptions};

use crate::content::{Library, Threads, bytes, check_held, check_whole};
use crate::fake::{Damage, Peers, Script, Stop, get};
use crate::net::soon;

fn data(groups: u64) -> Arc<Vec<u8>> {
    Arc::new(bytes(groups * GROUP_LEN - 77, groups))
}

fn reason(result: &Result<shoal_transfer::Fetched, FetchError>) -> &Failure {
    match result {
        Err(FetchError::AllFailed { dropped }) => &dropped.last().unwrap().reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_group_is_found_and_named_and_costs_one_group() {
    let data = data(128);
    let digest = Digest::of(&data);
    let (library, pool) = (Library::new(), Threads::start());
    let mut faults = 0;
    for group in 0..128 {
        let peers = Peers::new();
        let evil = peers.add(&data, Script { flips: Some(group), ..Script::default() });
        let good = peers.add(&data, Script::default());
        let partial = library.partial(&digest);
        let opener = || -> Arc<dyn shoal_transfer::Open> { peers.clone() };

        let (alone, _) =
            soon(get(&partial, opener(), &pool, vec![evil.clone()], FetchOptions::default())).await;
        assert_eq!(*reason(&alone), Failure::BadBytes { group: Some(group) });
        assert!(!partial.have().contains(group), "a bad group was kept");
        faults += peers.faults();

        let (result, _) =
            soon(get(&partial, opener(), &pool, vec![good.clone()], FetchOptions::default())).await;
        let fetched = result.unwrap();
        assert_eq!(fetched.sources.len(), 1);
        check_whole(&partial, &data);
        // What was verified before a proof failed is thrown away, and so is what was read ahead of the bad group.
        let wasted = peers.received() - data.len() as u64;
        assert!(wasted <= 16 * GROUP_LEN, "{wasted} bytes wasted for group {group}");
        partial.abandon().unwrap();
    }
    assert!(faults >= 128, "{faults} faults injected");
}

#[tokio::test]
async fn a_lie_about_the_size_is_exposed_at_once_and_takes_no_space() {
    let data = data(300);
    let digest = Digest::of(&data);
    let size = data.len() as u64;
    let (library, pool) = (Library::new(), Threads::start());
    let claims = [
        0,
        1,
        GROUP_LEN,
        size - 1,
        size + 1,
        size - GROUP_LEN,
        size + GROUP_LEN,
        2 * size,
        1 << 63,
        u64::MAX,
    ];
    for claimed in claims {
        for says_it_before in [false, true] {
            let peers = Peers::new();
            let mut liar = peers.add(&data, Script { claims: Some(claimed), ..Script::default() });
            if says_it_before {
                let ranges = GroupRanges::all(Tree::new(claimed).groups());
                liar.holding =
                    Some(Holding { size: claimed, ranges, complete: true, name: None, files: None });
            }
            let partial = library.partial(&digest);
            let (result, _) =
                soon(get(&partial, peers.clone(), &pool, vec![liar.clone()], FetchOptions::default())).await;
            let reason = reason(&result);
            assert!(reason.is_proof(), "{claimed}: {reason}");
            assert_eq!(partial.size(), None);
            assert!(!library.path(".part").exists(), "nothing is written on a claim");
            assert!(peers.received() <= 1024 * 1024 + 65_536, "{claimed}: {} received", peers.received());

            let good = peers.add(&data, Script::default());
            let (result, _) =
                soon(get(&partial, peers.clone(), &pool, vec![liar, good.clone()], FetchOptions::default()))
                    .await;
            let fetched = result.unwrap();
            assert_eq!(fetched.size, size);
            assert_eq!(fetched.sources, [(good.peer, size)]);
            check_whole(&partial, &data);
            // One to prove it, and perhaps one for the piece that goes with the proof, in both gets.
            assert!((2..=4).contains(&peers.faults()), "{claimed}: {}", peers.faults());
            partial.abandon().unwrap();
        }
    }
}

#[tokio::test]
async fn a_proven_size_is_not_disputed() {
    let data = data(300);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&Digest::of(&data));
    let peers = Peers::new();
    let cut = Script { stops: Some((100 * GROUP_LEN, Stop::Say(Mark::Changed))), ..Script::default() };
    let first = peers.add(&data, cut);
    let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![first], FetchOptions::default())).await;
    assert_eq!(*reason(&result), Failure::Changed);
    assert_eq!(partial.size(), Some(data.len() as u64));

    let liar = peers.add(&data, Script { claims: Some(5), ..Script::default() });
    let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![liar], FetchOptions::default())).await;
    assert_eq!(*reason(&result), Failure::WrongSize { claimed: 5 });
}

#[tokio::test]
async fn a_peer_that_hangs_does_not_hold_up_a_good_one() {
    let data = data(400);
    let digest = Digest::of(&data);
    let (library, pool) = (Library::new(), Threads::start());
    let hangs = |after| Script { stops: Some((after, Stop::Hang)), ..Script::default() };
    let mute = Script { mute: true, ..Script::default() };
    // At once, for each waits until the silence is long enough to take over.
    let scripts = [mute.clone(), hangs(0), hangs(64), hangs(20_000), hangs(500_000)];
    let fetches = scripts.into_iter().map(async |script| {
        let peers = Peers::new();
        let library = Library::new();
        let partial = library.partial(&digest);
        let bad = peers.add(&data, script);
        let good = peers.add(&data, Script::default());
        let sources = vec![bad.clone(), good];
        let (result, _) = get(&partial, peers.clone(), &pool, sources, FetchOptions::default()).await;
        let fetched = result.unwrap();
        check_whole(&partial, &data);
        assert!(peers.faults() > 0);
        let sent = fetched.sources.iter().any(|(peer, _)| *peer == bad.peer);
        let named = fetched.silent.contains(&bad.peer);
        assert_ne!(sent, named, "it is named as one who sent something or as one who did not: {fetched:?}");
    });
    soon(futures::future::join_all(fetches)).await;

    let peers = Peers::new();
    let partial = library.partial(&digest);
    let bad = peers.add(&data, mute);
    let mut options = FetchOptions::default();
    options.timeout = Duration::from_millis(300);
    let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![bad.clone()], options)).await;
    let Err(FetchError::TimedOut { silent, .. }) = result else { panic!("{result:?}") };
    assert_eq!(silent, [bad.peer]);
}

#[tokio::test]
async fn bytes_beyond_what_was_asked_for_are_not_read() {
    let data = data(3);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&Digest::of(&data));
    let peers = Peers::new();
    let endless = peers.add(&data, Script { tail: 1_000_000, ..Script::default() });
    let (result, _) =
        soon(get(&partial, peers.clone(), &pool, vec![endless.clone()], FetchOptions::default())).await;
    let fetched = result.unwrap();
    check_whole(&partial, &data);
    assert_eq!(peers.faults(), 1);
    let [Dropped { peer, reason: Failure::Misbehaved(_) }] = fetched.dropped.as_slice() else {
        panic!("{:?}", fetched.dropped)
    };
    assert_eq!(*peer, endless.peer);
    assert!(peers.received() < data.len() as u64 + 1024, "the tail was read");
}

#[tokio::test]
async fn a_response_that_ends_early_is_told_apart_by_how_it_ends() {
    let data = data(40);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&Digest::of(&data));
    for (mark, expected) in [
        (Mark::Changed, Failure::Changed),
        (Mark::Complete, Failure::Misbehaved("it ends before everything was sent".into())),
    ] {
        for after in [0, 70_000] {
            let peers = Peers::new();
            let bad = peers.add(&data, Script { stops: Some((after, Stop::Say(mark))), ..Script::default() });
            let (result, _) =
                soon(get(&partial, peers.clone(), &pool, vec![bad], FetchOptions::default())).await;
            assert_eq!(*reason(&result), expected);
            assert_eq!(peers.faults(), 1);
        }
    }
}

#[tokio::test]
async fn a_source_whose_stream_breaks_is_asked_again_for_the_rest() {
    let data = data(400);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&Digest::of(&data));
    let peers = Peers::new();
    let cut = Script { stops: Some((150 * GROUP_LEN, Stop::Cut)), ..Script::default() };
    let only = peers.add(&data, cut);
    let (result, _) = soon(get(&partial, peers.clone(), &pool, vec![only], FetchOptions::default())).await;
    let fetched = result.unwrap();
    assert_eq!(fetched.dropped, []);
    check_whole(&partial, &data);
    assert!(peers.faults() >= 1);
    let wasted = peers.received() - data.len() as u64;
    assert!(wasted < 40 * GROUP_LEN, "{wasted} bytes wasted");
}

#[tokio::test]
async fn a_busy_source_is_asked_again_and_one_that_has_nothing_is_not() {
    let data = data(5);
    let digest = Digest::of(&data);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&digest);
    let peers = Peers::new();
    let busy = peers.add(&data, Script { refuses: Some((Header::Busy, 2)), ..Script::default() });
    let (result, _) =
        soon(get(&partial, peers.clone(), &pool, vec![busy.clone()], FetchOptions::default())).await;
    result.unwrap();
    assert_eq!(peers.faults(), 2);
    assert!(peers.asked(busy.peer) >= 3);
    partial.abandon().unwrap();

    let partial = library.partial(&digest);
    for (header, expected) in [
        (Header::NotFound, Failure::NotFound),
        (Header::Changed, Failure::Changed),
        (Header::BadRequest, Failure::Misbehaved("it does not understand the request".into())),
    ] {
        let refusing = peers.add(&data, Script { refuses: Some((header, usize::MAX)), ..Script::default() });
        let (result, events) =
            soon(get(&partial, peers.clone(), &pool, vec![refusing.clone()], FetchOptions::default())).await;
        assert_eq!(*reason(&result), expected);
        assert_eq!(peers.asked(refusing.peer), 1);
        assert_eq!(events.len(), 1, "{events:?}");
    }
    let (result, _) = soon(get(&partial, peers, &pool, vec![], FetchOptions::default())).await;
    assert!(matches!(result, Err(FetchError::NoSource)));
}

#[tokio::test]
async fn holders_of_parts_are_asked_for_their_parts() {
    let data = data(600);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&Digest::of(&data));
    let peers = Peers::new();
    let sources: Vec<_> = [0..250, 200..400, 350..600]
        .into_iter()
        .map(|range| {
            let holds = GroupRanges::from(range);
            let mut source = peers.add(&data, Script { holds: Some(holds.clone()), ..Script::default() });
            let size = data.len() as u64;
            source.holding = Some(Holding { size, ranges: holds, complete: false, name: None, files: None });
            source
        })
        .collect();
    let (result, _) =
        soon(get(&partial, peers.clone(), &pool, sources[..2].to_vec(), FetchOptions::default())).await;
    assert!(matches!(result, Err(FetchError::AllFailed { .. })), "nobody can prove the size: {result:?}");
    let (result, _) = soon(get(&partial, peers.clone(), &pool, sources, FetchOptions::default())).await;
    let fetched = result.unwrap();
    assert_eq!(fetched.sources.len(), 3);
    check_whole(&partial, &data);
}

#[tokio::test]
async fn nine_evil_and_one_good() {
    let data = data(1500);
    let (library, pool) = (Library::new(), Threads::start());
    let partial = library.partial(&Digest::of(&data));
    let peers = Peers::new();
    let evil = [
        Script { mute: true, ..Script::default() },
        Script { flips: Some(1), ..Script::default() },
        Script { flips: Some(700), ..Script::default() },
        Script { claims: Some(1 << 63), ..Script::default() },
        Script { tail: 500_000, ..Script::default() },
        Script { stops: Some((90_000, Stop::Hang)), ..Script::default() },
        Script { stops: Some((200_000, Stop::Cut)), ..Script::default() },
        Script { refuses: Some((Header::Busy, usize::MAX)), ..Script::default() },
        Script { ends: Some(Mark::Failed), ..Script::default() },
    ];
    let mut sources: Vec<_> = evil.into_iter().map(|script| peers.add(&data, script)).collect();
    sources.push(peers.add(&data, Script::default()));
    let (result, _) = soon(get(&partial, peers.clone(), &pool, sources, FetchOptions::default())).await;
    result.unwrap();
    check_whole(&partial, &data);
    assert!(peers.faults() >= 7, "{} faults injected", peers.faults());
    let wasted = peers.received() - data.len() as u64;
    assert!(wasted <= data.len() as u64 / 5 + 9 * 65_536, "{wasted} bytes wasted");
}

#[tokio::test]
async fn whatever_is_damaged_on_the_way_nothing_wrong_is_kept() {
    const CASES: usize = 200;
    let data = data(90);
    let digest = Digest::of(&data);
    let (library, pool) = (Library::new(), Threads::start());
    let dice = bytes(8 * CASES as u64, 42);
    let fetches = dice.chunks(8).enumerate().map(async |(case, dice)| {
        let peers = Peers::new();
        let at = u64::from(u32::from_le_bytes(dice[..4].try_into().unwrap()));
        // Half of them where headers, marks and hashes are dense.
        let at = at % if dice[4] < 128 { 1500 } else { data.len() as u64 };
        let damage = Damage { at, flips: dice[5], split: usize::from(dice[6]) * 64 + 1 };
        let source = peers.add(&data, Script { damage: Some(damage), ..Script::default() });
        let partial = library.partial_at(&digest, &case.to_string());
        let mut options = FetchOptions::default();
        options.timeout = Duration::from_secs(5);
        let (result, _) = get(&partial, peers.clone(), &pool, vec![source], options).await;
        let held = check_held(&partial, &data);
        assert_eq!(result.is_ok(), held == 90, "{damage:?}: {result:?}");
        (peers.faults() > 0, held)
    });
    let outcomes = soon(futures::future::join_all(fetches)).await;
    let damaged = outcomes.iter().filter(|(damaged, _)| *damaged).count();
    assert!(damaged > CASES / 2, "{damaged} responses were damaged");
    assert!(outcomes.iter().any(|(damaged, held)| *damaged && *held > 4), "some got far");
}
