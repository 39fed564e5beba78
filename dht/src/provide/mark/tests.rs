//! What telling said and what it kept on disk, on a clock of our own.

use super::*;
use crate::simulation::key;

const HOUR: u64 = 3600;

fn clock() -> (Clock, Instant) {
    let now = Instant::now();
    (Clock::new(now, UNIX_EPOCH + Duration::from_secs(1_000_000)), now)
}

fn mark(known: u64, told: u64, until: u64) -> Mark {
    let mut mark = Mark { peers: 7, ..Mark::default() };
    mark.cells[3] = Some(Cell { known, told, until });
    mark
}

#[test]
fn what_was_told_lately_is_told_again_when_it_is_time() {
    let (clock, now) = clock();
    let mark = mark(999_900, 999_000, 999_000 + 8 * HOUR);
    let told = mark.told(3, 999_899, clock, now).expect("it was told");
    assert_eq!((told.ttl, told.peers), (Duration::from_secs(8 * HOUR), 7));
    let latest = now + Duration::from_secs(4 * HOUR - 1000);
    assert_eq!(told.renew, latest - Duration::from_secs(2 * HOUR) * 3 / 256, "by its place, not all at once");
    assert!(mark.told(3, 999_900, clock, now).is_none(), "it may not have been told");
    assert!(mark.told(4, 0, clock, now).is_none(), "another part of the key space");
}

#[test]
fn what_is_late_is_told_while_it_is_known_and_not_at_one_moment() {
    let (clock, now) = clock();
    let mut mark = Mark::default();
    mark.cells.fill(Some(Cell { known: 990_000, told: 1_000_000 - 5 * HOUR, until: 1_000_000 + HOUR }));
    mark.cells.iter_mut().flatten().for_each(|cell| cell.known = cell.told);
    let times: Vec<_> = (0..CELLS).map(|cell| mark.told(cell, 0, clock, now).expect("known").renew).collect();
    assert!(times.is_sorted());
    assert!(times[0] == now && times[CELLS - 1] > now + Duration::from_secs(HOUR / 2 - 60));
    assert!(times[CELLS - 1] < now + Duration::from_secs(HOUR / 2), "with time left for another try");
}

#[test]
fn what_has_expired_and_what_makes_no_sense_is_told_at_once() {
    let (clock, now) = clock();
    let is_told = |known, told, until| mark(known, told, until).told(3, 0, clock, now).is_some();
    assert!(is_told(999_000, 999_000, 1_000_061));
    assert!(!is_told(999_000, 999_000, 1_000_059), "as good as over");
    assert!(!is_told(1_000_001, 999_000, 1_001_000), "from the future");
    assert!(!is_told(998_000, 999_000, 1_001_000));
    assert!(!is_told(999_000, 999_000, 999_000 + 49 * HOUR), "nothing holds for so long");
    assert!(!is_told(999_000, 999_000, u64::MAX));
}

#[test]
fn marks_come_back_from_their_bytes_and_others_are_none() {
    let mut lan = mark(3, 2, 4);
    lan.addresses = vec!["/ip4/192.168.0.7/tcp/4001".parse().expect("an address")];
    let marks = vec![(Scope::Lan, lan), (Scope::Wan, mark(6, 5, 7))];
    let bytes = encode(&marks);
    assert!(bytes.len() < 200, "{} bytes", bytes.len());
    assert_eq!(decode(&bytes), marks);
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_empty());
    }
    let full = Mark {
        cells: vec![Some(Cell { known: u64::MAX, told: u64::MAX, until: u64::MAX }); CELLS],
        ..Mark::default()
    };
    assert!(encode(&[(Scope::Lan, full.clone()), (Scope::Wan, full)]).len() < 20_000);
}

#[test]
fn what_did_not_change_is_not_written_again() {
    let mut marks = Marks::default();
    let now = |known| vec![(Scope::Lan, mark(known, 2, 4))];
    let bytes = marks.changed(now(3)).expect("news");
    assert_eq!(marks.changed(now(900)), None, "time alone is no news");
    assert!(marks.changed(vec![(Scope::Lan, mark(900, 800, 901))]).is_some());
    let mut marks = Marks::read(&bytes);
    assert_eq!(marks.changed(now(3)), None);
    let opened = Mark { opened: 1, ..mark(900, 2, 4) };
    assert!(marks.changed(vec![(Scope::Lan, opened)]).is_some(), "keys were told");
}

#[test]
fn a_cell_with_something_to_tell_stays_as_it_was() {
    use super::super::own::SharedKeys;
    let (clock, now) = clock();
    let mut ledger = Ledger::new(Scope::Lan, SharedKeys::default());
    let keys: Vec<_> = (0..2000).map(key).collect();
    let told = |_: usize, _: &_| {
        let opened = now.checked_sub(Duration::from_secs(10));
        Some(Told { opened, ttl: Duration::from_secs(HOUR), renew: now, peers: 1 })
    };
    ledger.keep(keys.iter().copied(), told);
    let mut mark = Mark::default();
    mark.update(&ledger, clock, now);
    let whole = Cell { known: 1_000_000, told: 999_990, until: 999_990 + HOUR };
    assert!(
        mark.cells.iter().flatten().all(|cell| *cell == whole)
            && mark.cells.iter().flatten().count() > CELLS / 2
    );
    let new = key(5000);
    let cell = super::super::own::cell_of(super::super::own::place_of(&new));
    ledger.keep([new], |_, _| None);
    mark.update(&ledger, clock, now + Duration::from_secs(5));
    for (at, known) in mark.cells.iter().enumerate() {
        let wanted = if at == cell { 1_000_000 } else { 1_000_005 };
        assert!(known.is_none_or(|cell| cell.known == wanted), "cell {at}");
    }
}

#[test]
fn what_is_marked_a_second_after_a_key_became_ours_holds_for_it() {
    let now = Instant::now();
    let (since, almost) = (1_000_005, Duration::from_millis(990));
    let clock = Clock::new(now, UNIX_EPOCH + Duration::from_secs(1_000_000) + almost);
    // The key came at the first moment of its second.
    let later = now + Duration::from_secs(since - 1_000_000 + 1) - almost;
    assert_eq!(clock.seconds(later), since + 1);
    assert_eq!(clock.seconds(later - Duration::from_millis(1)), since);
    assert_eq!(clock.seconds(now - almost), 1_000_000);
    assert_eq!(clock.seconds(now - almost - Duration::from_millis(1)), 999_999);
}
