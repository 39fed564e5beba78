//! Sources that are asked before anybody has heard whether they hold anything.

use super::*;

const SIZE: u64 = 1000 * GROUP_LEN;
const A: SourceId = SourceId(0);
const B: SourceId = SourceId(1);
const C: SourceId = SourceId(2);

/// What is asked of whom, with the claim that goes with it.
fn asked(actions: &[Action]) -> Vec<(RequestId, SourceId, GroupRanges, Option<u64>)> {
    let asked = actions.iter().filter_map(|action| match action {
        Action::Request { id, source, ranges, most, claim } => {
            assert_eq!(*most, None);
            Some((*id, *source, ranges.clone(), *claim))
        }
        _ => None,
    });
    asked.collect()
}

fn head_and_last() -> GroupRanges {
    GroupRanges::from(0..4).union(&GroupRanges::from(u64::MAX - 1..u64::MAX))
}

/// Starts with one guess, which is asked at once.
fn guessing() -> (Scheduler, RequestId, Instant) {
    let (mut scheduler, now) = (Scheduler::new(0), Instant::now());
    assert!(scheduler.source_guessed(A));
    let [(id, A, ranges, None)] = &asked(&scheduler.poll(now))[..] else { panic!("one request") };
    assert_eq!(*ranges, head_and_last());
    assert!(scheduler.poll(now + Duration::from_secs(1)).is_empty(), "once");
    (scheduler, *id, now)
}

#[test]
fn a_guess_that_says_what_it_holds_is_asked_for_the_next_piece_before_the_size_is_proven() {
    let (mut scheduler, proof, now) = guessing();
    scheduler.source_holds(A, GroupRanges::all(1000), SIZE);
    let [(piece, A, ranges, Some(SIZE))] = &asked(&scheduler.poll(now))[..] else { panic!("a piece") };
    assert_eq!(*ranges, GroupRanges::from(4..64), "without what goes with the proof");
    assert!(scheduler.poll(now).is_empty());

    scheduler.heard(proof, 5, now);
    scheduler.size_proven(SIZE, GroupRanges::all(1000), Some(proof));
    scheduler.verified(proof, 0..4, now);
    scheduler.verified(proof, 999..1000, now);
    scheduler.finished(proof, now);
    for (id, _, ranges, _) in asked(&scheduler.poll(now)) {
        assert_ne!(id, *piece);
        assert!(ranges.intersection(&GroupRanges::from(0..64)).is_empty(), "{ranges:?} asked for twice");
    }
    assert!(!scheduler.is_guess(A));
}

#[test]
fn a_small_content_comes_whole_from_a_guess() {
    let (mut scheduler, proof, now) = guessing();
    scheduler.source_holds(A, GroupRanges::all(3), 3 * GROUP_LEN);
    assert!(scheduler.poll(now).is_empty(), "all of it is asked for already");
    scheduler.heard(proof, 3, now);
    scheduler.size_proven(3 * GROUP_LEN, GroupRanges::all(3), Some(proof));
    scheduler.verified(proof, 0..3, now);
    assert!(scheduler.is_done());
}

#[test]
fn a_guess_that_sends_something_is_a_source_whatever_it_says() {
    let (mut scheduler, proof, now) = guessing();
    scheduler.heard(proof, 4, now);
    assert!(!scheduler.is_guess(A));
    scheduler.size_proven(SIZE, GroupRanges::all(1000), Some(proof));
    scheduler.verified(proof, 0..4, now);
    scheduler.finished(proof, now);
    assert!(asked(&scheduler.poll(now)).iter().all(|(_, source, ..)| *source == A));
    assert!(scheduler.has_hope());
}

#[test]
fn of_a_wrong_guess_nobody_hears_unless_it_lies() {
    let quiet = [Failure::NotFound, Failure::Busy, Failure::Lost, Failure::Unreachable("gone".into())];
    for failure in quiet {
        let (mut scheduler, id, now) = guessing();
        scheduler.failed(id, failure.clone(), now);
        assert_eq!(scheduler.poll(now), [Action::Forget { source: A }], "{failure}");
        assert!(!scheduler.has_hope());
    }
    // It holds a part without the last group, or is silent.
    let (mut scheduler, id, now) = guessing();
    scheduler.finished(id, now);
    assert_eq!(scheduler.poll(now), [Action::Forget { source: A }]);
    let (mut scheduler, id, now) = guessing();
    assert_eq!(scheduler.poll(now + STALL), [Action::Cancel { id }, Action::Forget { source: A }]);

    let (mut scheduler, id, now) = guessing();
    let lie = Failure::BadBytes { group: Some(0) };
    scheduler.failed(id, lie.clone(), now);
    assert_eq!(scheduler.poll(now), [Action::Drop { source: A, reason: lie }]);
}

#[test]
fn whoever_is_known_to_hold_it_waits_for_no_guess_and_for_no_place() {
    let (mut scheduler, guess, now) = guessing();
    scheduler.limit_requests(2, None);
    scheduler.source_found(B, Some(GroupRanges::all(1000)), Some(SIZE));
    let requests = asked(&scheduler.poll(now));
    let [(proof, B, _, None), (_, B, piece, Some(SIZE))] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(*piece, GroupRanges::from(0..64));

    scheduler.heard(*proof, 1, now);
    scheduler.size_proven(SIZE, GroupRanges::all(1000), Some(*proof));
    let actions = scheduler.poll(now);
    assert!(actions.contains(&Action::Cancel { id: guess }), "{actions:?}");
    assert!(actions.contains(&Action::Forget { source: A }), "{actions:?}");
    assert!(asked(&actions).iter().all(|(_, source, ..)| *source == B), "{actions:?}");
}

#[test]
fn guesses_are_few_and_the_first_to_send_something_is_the_last() {
    let (mut scheduler, now) = (Scheduler::new(0), Instant::now());
    assert!(scheduler.source_guessed(A));
    assert!(!scheduler.source_guessed(A), "again");
    assert!(scheduler.source_guessed(B));
    assert!(!scheduler.source_guessed(C), "a third");
    let requests = asked(&scheduler.poll(now));
    let [(a, A, ..), (b, B, ..)] = requests[..] else { panic!("{requests:?}") };
    scheduler.heard(b, 1, now);
    assert_eq!(scheduler.poll(now), [Action::Cancel { id: a }, Action::Forget { source: A }]);
    assert!(!scheduler.source_guessed(C), "it is known who has it");

    let mut scheduler = Scheduler::new(0);
    scheduler.size_proven(SIZE, GroupRanges::all(1000), None);
    assert!(!scheduler.source_guessed(A), "there is no round trip to save");
}

#[test]
fn of_two_that_were_guessed_right_one_is_asked_for_the_next_piece() {
    let (mut scheduler, now) = (Scheduler::new(0), Instant::now());
    assert!(scheduler.source_guessed(A) && scheduler.source_guessed(B));
    assert_eq!(asked(&scheduler.poll(now)).len(), 2);
    scheduler.source_holds(A, GroupRanges::all(1000), SIZE);
    assert_eq!(asked(&scheduler.poll(now)).len(), 1);
    scheduler.source_holds(B, GroupRanges::all(1000), SIZE);
    assert_eq!(scheduler.poll(now), [], "both would bring the same");
}
