//! Tests of when a get stops hoping.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use shoal_content::GroupRanges;
use shoal_transfer::have::Holding;

use super::{
    seen::{MAX_HOLDERS, MAX_UNANSWERED},
    *,
};
use crate::seek::{Round, Via};

fn holder(peer: PeerId) -> Holder {
    let holding = Holding { size: 1, ranges: GroupRanges::all(1), complete: true, name: None, files: None };
    Holder { peer, addresses: Vec::new(), holding, via: Via::Dht, round_trip: Duration::ZERO }
}

#[test]
fn one_with_much_news_crowds_out_nobody_and_is_told_of_each_time() {
    let (whole, busy) = (PeerId::random(), PeerId::random());
    let (gather, crowd) = crowd();
    let mut early = pin!(crowd.holders(Spent::default()));
    gather.0.send_modify(|seen| seen.add(holder(whole)));
    for _ in 0..2 * MAX_HOLDERS {
        gather.0.send_modify(|seen| seen.add(holder(busy)));
    }
    assert_eq!(crowd.len(), 2);
    let mut told = || early.next().now_or_never().flatten().map(|holder| holder.peer);
    assert_eq!([told(), told(), told()], [Some(whole), Some(busy), None]);
    gather.0.send_modify(|seen| seen.add(holder(busy)));
    assert_eq!([told(), told()], [Some(busy), None]);
    let mut late = pin!(crowd.holders(Spent::default()));
    let mut told = || late.next().now_or_never().flatten().map(|holder| holder.peer);
    assert_eq!([told(), told(), told()], [Some(whole), Some(busy), None]);
}

#[test]
fn a_round_that_finds_nobody_but_the_spent_is_the_last() {
    let peer = PeerId::random();
    let holder = holder(peer);
    let (gather, crowd) = crowd();
    let spent = Spent::default();
    let mut holders = pin!(crowd.holders(spent.clone()));
    // Each round is over before anybody looks at what it found.
    let round = || {
        gather.0.send_modify(|seen| {
            seen.add(holder.clone());
            seen.rounds += 1;
        });
    };

    round();
    assert!(holders.next().now_or_never().is_some_and(|found| found.is_some()));
    spent.add(peer);
    assert!(holders.next().now_or_never().is_none(), "others may still answer in this round");
    round();
    assert!(holders.next().now_or_never().is_some_and(|found| found.is_some()));
    assert!(holders.next().now_or_never().is_some_and(|found| found.is_none()), "it goes on for ever");
}

#[test]
fn a_guess_is_told_until_it_is_known_to_be_a_holder() {
    let [a, b] = [(); 2].map(|()| PeerId::random());
    let holder = holder(b);
    let (gather, crowd) = crowd();
    let mut early = pin!(crowd.all(Spent::default()));
    let told = |found: Option<Option<Found>>| match found {
        Some(Some(Found::Guess { peer, .. })) => ("guess", peer),
        Some(Some(Found::Holder(holder))) => ("holder", holder.peer),
        other => panic!("{other:?}"),
    };
    gather.0.send_modify(|seen| seen.guesses.extend([(a, Vec::new()), (b, Vec::new())]));
    assert_eq!(told(early.next().now_or_never()), ("guess", a));
    assert_eq!(told(early.next().now_or_never()), ("guess", b));
    assert!(early.next().now_or_never().is_none(), "again");

    gather.0.send_modify(|seen| seen.add(holder));
    assert_eq!(told(early.next().now_or_never()), ("holder", b));
    let mut late = pin!(crowd.all(Spent::default()));
    assert_eq!(told(late.next().now_or_never()), ("guess", a));
    assert_eq!(told(late.next().now_or_never()), ("holder", b));
    let mut holders = pin!(crowd.holders(Spent::default()));
    assert!(holders.next().now_or_never().is_some_and(|found| found.is_some_and(|found| found.peer == b)));
    assert!(holders.next().now_or_never().is_none(), "a guess is no holder");
}

#[test]
fn why_nobody_has_it_is_said_by_what_those_named_answered() {
    let cid = Cid::file(shoal_content::Digest::of(b"wanted"));
    let (gather, crowd) = crowd();
    let why = |named, gone| {
        gather.0.send_modify(|seen| seen.last_round = Round { named, gone, ..Round::default() });
        crowd.nobody(cid)
    };
    assert!(matches!(why(0, 0), GetError::NoProvider { .. }));
    assert!(matches!(why(2, 1), GetError::Unreachable { named: 2, .. }), "one of them may have it still");
    assert!(matches!(why(2, 2), GetError::Gone { .. }), "each of them was reached");
}

#[test]
fn those_who_never_answer_are_not_remembered_without_end() {
    let (gather, crowd) = crowd();
    let start = Instant::now();
    gather.0.send_modify(|seen| {
        for _ in 0..2 * MAX_UNANSWERED {
            seen.asking(PeerId::random(), start);
        }
    });
    assert_eq!(crowd.silent(start + ANSWERING).len(), MAX_UNANSWERED);
}
