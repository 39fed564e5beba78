//! A bucket on simulated time: exact, fair, and quick to take a new rate.

use super::*;

fn rate(bytes: u64) -> Rate {
    Rate::per_second(bytes).unwrap()
}

/// Whoever shares a bucket on a clock that stands still while they move their pieces.
struct Crowd {
    bucket: Bucket,
    now: Instant,
    /// Where each stands, and what it moved.
    users: Vec<(Turn, u64)>,
}

impl Crowd {
    fn new(bytes: u64, users: usize) -> Self {
        let now = Instant::now();
        let bucket = Bucket::new(Some(rate(bytes)), now);
        let users = vec![(bucket.join(), 0); users];
        Crowd { bucket, now, users }
    }

    /// Lets everybody move as much as they may for `time`; wakes are late by `late`.
    fn run(&mut self, time: Duration, late: Duration) {
        let end = self.now + time;
        while self.now < end {
            let piece = self.bucket.piece(self.users.len());
            let mut soonest = Duration::MAX;
            for (turn, moved) in &mut self.users {
                let wait = self.bucket.wait(*turn, self.now);
                if wait.is_zero() {
                    *turn = self.bucket.pass(piece as u64, self.now);
                    *moved += piece as u64;
                    soonest = Duration::ZERO;
                } else {
                    soonest = soonest.min(wait);
                }
            }
            if !soonest.is_zero() {
                self.now += soonest + late;
            }
        }
    }

    fn moved(&self) -> u64 {
        self.users.iter().map(|(_, moved)| moved).sum()
    }
}

#[test]
fn the_rate_is_exact_over_time_for_one_and_for_many() {
    for bytes in [1000, 20_000, 1_000_000, 12_500_000, 100_000_000, 1_000_000_000] {
        for users in [1, 3, 64] {
            for late in [Duration::ZERO, Duration::from_millis(3)] {
                let mut crowd = Crowd::new(bytes, users);
                crowd.run(Duration::from_secs(20), late);
                let expected = bytes as f64 * 20.0;
                let slack = (users * crowd.bucket.piece(users)) as f64 + bytes as f64 * 0.06;
                let moved = crowd.moved() as f64;
                assert!((moved - expected).abs() <= slack, "{users} at {bytes}: {moved} of {expected}");
            }
        }
    }
}

#[test]
fn all_who_share_get_the_same() {
    let mut crowd = Crowd::new(1_000_000, 7);
    crowd.run(Duration::from_secs(10), Duration::from_micros(100));
    let most = crowd.users.iter().map(|(_, moved)| *moved).max().unwrap();
    let least = crowd.users.iter().map(|(_, moved)| *moved).min().unwrap();
    assert!(most - least <= 2 * crowd.bucket.piece(7) as u64, "{least} to {most}");
}

#[test]
fn a_pause_is_not_saved_up() {
    let mut crowd = Crowd::new(1_000_000, 1);
    crowd.now += Duration::from_secs(60);
    let start = crowd.now;
    crowd.run(Duration::from_millis(1), Duration::ZERO);
    assert!(crowd.now >= start);
    let burst = 50_000 + crowd.bucket.piece(1) as u64 + 1000;
    assert!(crowd.moved() <= burst, "{} after a pause", crowd.moved());
}

#[test]
fn who_joins_late_waits_for_those_before() {
    let now = Instant::now();
    let mut bucket = Bucket::new(Some(rate(1000)), now);
    bucket.pass(3000, now);
    let turn = bucket.join();
    assert_eq!(bucket.wait(turn, now), Duration::from_secs(3));
    assert_eq!(bucket.wait(turn, now + Duration::from_secs(3)), Duration::ZERO);
}

#[test]
fn a_new_rate_holds_at_once_for_those_who_wait() {
    let now = Instant::now();
    let mut bucket = Bucket::new(Some(rate(1000)), now);
    let turn = bucket.pass(100_000, now);
    assert_eq!(bucket.wait(turn, now), Duration::from_secs(100));
    bucket.set_rate(Some(rate(1_000_000)), now);
    assert_eq!(bucket.wait(turn, now), Duration::from_millis(100));
    bucket.set_rate(None, now);
    assert_eq!(bucket.wait(turn, now), Duration::ZERO);
    // What passed without a limit is not counted against one that comes later.
    let turn = bucket.pass(1 << 40, now);
    bucket.set_rate(Some(rate(1000)), now);
    assert_eq!(bucket.wait(turn, now), Duration::ZERO);
}

#[test]
fn a_rate_too_low_to_be_of_use_is_none() {
    assert_eq!(Rate::per_second(0), None);
    assert_eq!(Rate::per_second(Rate::MIN - 1), None);
    assert_eq!(Rate::per_second(Rate::MIN).map(Rate::bytes), Some(Rate::MIN));
}

/// Streams of several peers on simulated time, held to a limit for all and to one for each peer, as a pacer has them.
/// Gives what each peer moved in `time`, after a first second for the burst.
fn moved_by_peers(
    all: Option<u64>,
    each: Option<u64>,
    peers: usize,
    streams: usize,
    time: Duration,
) -> Vec<u64> {
    let mut now = Instant::now();
    let mut all = Bucket::new(all.map(rate), now);
    let mut each: Vec<Bucket> = (0..peers).map(|_| Bucket::new(each.map(rate), now)).collect();
    let mut turns: Vec<(usize, Turn, Turn)> = Vec::new();
    for peer in (0..peers).cycle().take(peers * streams) {
        turns.push((peer, all.join(), each[peer].join()));
    }
    let begins = now + Duration::from_secs(1);
    let mut moved = vec![0; peers];
    while now < begins + time {
        let mut soonest = Duration::MAX;
        for (peer, of_all, of_peer) in &mut turns {
            let own = &mut each[*peer];
            let wait = all.wait(*of_all, now).max(own.wait(*of_peer, now));
            soonest = soonest.min(wait);
            if wait.is_zero() {
                let piece = all.piece(peers * streams).min(own.piece(streams)).min(64 << 10) as u64;
                (*of_all, *of_peer) = (all.pass(piece, now), own.pass(piece, now));
                if now >= begins {
                    moved[*peer] += piece;
                }
            }
        }
        now += soonest;
    }
    moved
}

#[test]
fn a_limit_is_used_to_the_full_and_not_exceeded() {
    const SECONDS: u64 = 10;
    for (all, each, peers, streams) in [
        (Some(1_000_000), None, 1, 1),
        (Some(12_500_000), None, 4, 2),
        (None, Some(1_000_000), 1, 4),
        (None, Some(50_000), 3, 2),
        (Some(1_000_000), Some(100_000), 3, 2),
        (Some(1_000_000), Some(600_000), 4, 2),
        (Some(20_000), Some(20_000), 2, 1),
    ] {
        let moved = moved_by_peers(all, each, peers, streams, Duration::from_secs(SECONDS));
        let what = format!("{all:?} for all, {each:?} for each of {peers}: {moved:?} in {SECONDS} s");
        let each_may = each.unwrap_or(u64::MAX);
        let may = all.unwrap_or(u64::MAX).min(each_may.saturating_mul(peers as u64)) * SECONDS;
        let sum: u64 = moved.iter().sum();
        assert!(sum * 100 >= may * 95 && sum * 100 <= may * 105, "{what}");
        let most = each_may.saturating_mul(SECONDS);
        assert!(moved.iter().all(|of_peer| u128::from(*of_peer) * 100 <= u128::from(most) * 105), "{what}");
    }
}
