//! When peers are asked again: soon while there is news, ever later without, and no more once they hold nothing.

use shoal_content::GroupRanges;

use super::*;

fn holding(groups: u64) -> Holding {
    Holding { size: 1 << 30, ranges: GroupRanges::all(groups), complete: false, name: None, files: None }
}

fn candidate(peer: PeerId) -> Candidate {
    Candidate { peer, addresses: Vec::new(), via: Via::Dht }
}

#[test]
fn who_gets_more_is_asked_soon_and_who_does_not_ever_later() {
    let start = Instant::now();
    let (mut watch, peer) = (Watch::default(), PeerId::random());
    watch.found(&candidate(peer), &holding(10), start);
    assert!(watch.next(start).is_none(), "it was asked just now");
    let mut now = start;
    for groups in [20, 30] {
        assert_eq!(watch.next_due(), Some(now + SOONEST));
        now += SOONEST;
        assert_eq!(watch.next(now).map(|candidate| candidate.peer), Some(peer));
        assert!(watch.next(now).is_none() && watch.next_due().is_none(), "one question at a time");
        assert!(watch.answered(peer, Some(&holding(groups)), false, now));
    }
    for pause in (0..8).map(|doubled| SOONEST * (1 << doubled)).chain([LATE, LATE]) {
        assert_eq!(watch.next_due(), Some(now + pause));
        now += pause;
        watch.next(now).unwrap();
        assert!(!watch.answered(peer, Some(&holding(30)), false, now));
    }
    now += LATE;
    watch.next(now).unwrap();
    watch.answered(peer, Some(&holding(30)), true, now);
    assert_eq!(watch.next_due(), Some(now + SOONEST), "it introduced somebody");
}

#[test]
fn more_files_of_a_directory_are_news() {
    let start = Instant::now();
    let (mut watch, peer) = (Watch::default(), PeerId::random());
    let with = |files: u64| Holding { files: Some(GroupRanges::all(files)), ..holding(1) };
    watch.found(&candidate(peer), &with(0), start);
    for (files, is_news) in [(3, true), (3, false), (4, true)] {
        let due = watch.next_due().unwrap();
        watch.next(due).unwrap();
        assert_eq!(watch.answered(peer, Some(&with(files)), false, due), is_news, "{files}");
    }
    let due = watch.next_due().unwrap();
    watch.next(due).unwrap();
    assert!(watch.answered(peer, Some(&holding(1)), false, due), "it has all of them now");
}

#[test]
fn who_fetches_a_directory_is_not_left_alone_for_long() {
    let start = Instant::now();
    let (mut watch, peer) = (Watch::default(), PeerId::random());
    let some = Holding { files: Some(GroupRanges::all(3)), ..holding(1) };
    watch.found(&candidate(peer), &some, start);
    let mut due = watch.next_due().unwrap();
    for _ in 0..8 {
        watch.next(due).unwrap();
        watch.answered(peer, Some(&some), false, due);
        let next = watch.next_due().unwrap();
        assert!(next - due <= SOONEST * MOST_OF_SOON);
        due = next;
    }
}

#[test]
fn many_are_asked_as_often_in_all_as_few() {
    let start = Instant::now();
    let pause = |peers: u32| {
        let mut watch = Watch::default();
        for _ in 0..peers {
            watch.introduced(PeerId::random(), Vec::new(), start);
        }
        let asked = watch.next(start).unwrap().peer;
        for other in watch.0.values_mut() {
            other.due = None;
        }
        watch.answered(asked, Some(&holding(1)), false, start);
        watch.next_due().unwrap() - start
    };
    assert_eq!([1, 4, 16, 64].map(pause), [SOONEST, SOONEST, 16 * A_QUESTION, SOON]);
}

#[test]
fn the_introduced_are_asked_at_once_and_forgotten_when_they_hold_nothing() {
    let mut now = Instant::now();
    let (mut watch, peer) = (Watch::default(), PeerId::random());
    assert!(watch.introduced(peer, Vec::new(), now));
    assert!(!watch.introduced(peer, Vec::new(), now), "known");
    for _ in 0..MAX_IN_VAIN {
        assert_eq!(watch.next(now).map(|candidate| candidate.peer), Some(peer));
        watch.in_vain(peer, now);
        now += LATE;
    }
    assert!(watch.next(now).is_none() && watch.0.is_empty());
}

#[test]
fn no_more_are_watched_than_allowed() {
    let now = Instant::now();
    let mut watch = Watch::default();
    for _ in 0..2 * MAX_WATCHED {
        watch.introduced(PeerId::random(), Vec::new(), now);
        watch.found(&candidate(PeerId::random()), &holding(1), now);
    }
    assert_eq!(watch.0.len(), MAX_WATCHED);
}
