//! That lookups end, tell each thing once, and wait for no more than they must.

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);
const BOTH: [Scope; 2] = [Scope::Lan, Scope::Wan];

fn key() -> ProviderKey {
    ProviderKey::from_bytes([7; 32])
}

fn lookups() -> Lookups {
    Lookups::new(2, DEADLINE)
}

fn started(scopes: &[Scope]) -> (Lookups, LookupId, Instant) {
    let mut lookups = lookups();
    let (id, now) = (LookupId(1), Instant::now());
    lookups.find(id, key(), BOTH.into_iter());
    let walks = lookups.begin(now, |scope| scopes.contains(&scope));
    assert_eq!(walks, scopes.iter().map(|scope| Walk { id, scope: *scope, key: key() }).collect::<Vec<_>>());
    (lookups, id, now)
}

/// What it costs when so many answer.
fn answers(answers: usize) -> Effort {
    Effort { answers, messages: 2, timeouts: 1, hops: 3 }
}

fn outcomes(lookups: &mut Lookups) -> Vec<(usize, Outcome)> {
    lookups.take_ended().into_iter().map(|ended| (ended.effort.answers, ended.outcome)).collect()
}

#[test]
fn a_lookup_ends_when_its_last_walk_does() {
    let (mut lookups, id, _) = started(&BOTH);
    lookups.walk_ended(id, Scope::Lan, answers(3), 20);
    assert_eq!(outcomes(&mut lookups), []);
    lookups.walk_ended(id, Scope::Wan, answers(20), 20);
    assert_eq!(outcomes(&mut lookups), [(23, Outcome::Finished)]);
    assert_eq!(lookups.len(), 0);
}

#[test]
fn a_scope_without_peers_is_not_waited_for_when_another_has_answered() {
    let (mut lookups, id, _) = started(&[Scope::Lan]);
    lookups.walk_ended(id, Scope::Lan, answers(3), 20);
    assert_eq!(outcomes(&mut lookups), [(3, Outcome::Finished)]);
}

#[test]
fn without_anybody_a_lookup_ends_early_and_says_why() {
    let (mut lookups, _, now) = started(&[]);
    lookups.tick(now + FIRST_PEER_WAIT - Duration::from_secs(1));
    assert_eq!(outcomes(&mut lookups), []);
    lookups.tick(now + FIRST_PEER_WAIT);
    assert_eq!(outcomes(&mut lookups), [(0, Outcome::NoPeers)]);
}

#[test]
fn a_walk_that_nobody_answered_met_no_peers() {
    let (mut lookups, id, _) = started(&[Scope::Lan]);
    lookups.walk_ended(id, Scope::Lan, answers(0), 20);
    assert_eq!(outcomes(&mut lookups), [(0, Outcome::NoPeers)]);
}

#[test]
fn a_walk_that_never_ends_does_not_keep_a_lookup() {
    let (mut lookups, id, now) = started(&[Scope::Lan]);
    lookups.answered(id, Scope::Lan, answers(7));
    lookups.tick(now + DEADLINE);
    assert_eq!(outcomes(&mut lookups), [(7, Outcome::TimedOut)]);
    // What comes late changes nothing.
    lookups.walk_ended(id, Scope::Lan, answers(3), 20);
    lookups.stop(id);
    assert_eq!(lookups.found(id, PeerId::random(), Vec::new(), 1), None);
    assert_eq!(outcomes(&mut lookups), []);
}

#[test]
fn a_short_walk_is_walked_again_when_peers_came_meanwhile() {
    let (mut lookups, id, now) = started(&[Scope::Lan]);
    lookups.table_grew(Scope::Wan);
    lookups.table_grew(Scope::Lan);
    lookups.walk_ended(id, Scope::Lan, answers(3), 20);
    assert_eq!(outcomes(&mut lookups), []);
    let walks = lookups.begin(now, |scope| scope == Scope::Lan);
    assert_eq!(walks, [Walk { id, scope: Scope::Lan, key: key() }]);
    lookups.walk_ended(id, Scope::Lan, answers(5), 20);
    assert_eq!(outcomes(&mut lookups), [(5, Outcome::Finished)]);
}

#[test]
fn a_full_walk_is_not_repeated() {
    let (mut lookups, id, _) = started(&[Scope::Lan]);
    lookups.table_grew(Scope::Lan);
    lookups.walk_ended(id, Scope::Lan, answers(20), 20);
    assert_eq!(outcomes(&mut lookups), [(20, Outcome::Finished)]);
}

#[test]
fn lookups_run_in_turn_and_their_time_starts_with_them() {
    let mut lookups = lookups();
    let now = Instant::now();
    for id in 1..=3 {
        lookups.find(LookupId(id), key(), [Scope::Lan].into_iter());
    }
    let ids = |walks: Vec<Walk>| walks.into_iter().map(|walk| walk.id.0).collect::<Vec<_>>();
    assert_eq!(ids(lookups.begin(now, |_| true)), [1, 2]);
    lookups.tick(now + DEADLINE - Duration::from_secs(1));
    lookups.stop(LookupId(1));
    assert_eq!(ids(lookups.begin(now + DEADLINE - Duration::from_secs(1), |_| true)), [3]);
    lookups.tick(now + DEADLINE);
    assert_eq!(outcomes(&mut lookups), [(0, Outcome::Stopped), (0, Outcome::TimedOut)]);
    assert_eq!(lookups.len(), 1);
}

#[test]
fn a_queue_that_is_full_refuses() {
    let mut lookups = lookups();
    for id in 0..MAX_WAITING as u64 {
        lookups.find(LookupId(id), key(), [Scope::Lan].into_iter());
    }
    lookups.find(LookupId(u64::MAX), key(), [Scope::Lan].into_iter());
    assert_eq!(outcomes(&mut lookups), [(0, Outcome::Refused)]);
    lookups.stop(LookupId(3));
    lookups.find(LookupId(u64::MAX), key(), [Scope::Lan].into_iter());
    assert_eq!(outcomes(&mut lookups), [(0, Outcome::Stopped)]);
}

#[test]
fn an_id_in_use_names_one_lookup() {
    let (mut lookups, id, _) = started(&[Scope::Lan]);
    lookups.find(id, ProviderKey::from_bytes([8; 32]), BOTH.into_iter());
    assert_eq!(lookups.len(), 1);
    lookups.walk_ended(id, Scope::Lan, answers(3), 20);
    assert_eq!(outcomes(&mut lookups), [(3, Outcome::Finished)]);
}

#[test]
fn only_news_is_told() {
    let (mut lookups, id, _) = started(&[Scope::Lan]);
    let provider = PeerId::random();
    let address = |port: u16| format!("/ip4/10.0.0.1/tcp/{port}").parse::<Multiaddr>().expect("an address");
    assert_eq!(lookups.found(id, provider, vec![], 1), Some(vec![]), "a provider without addresses is news");
    assert_eq!(lookups.found(id, provider, vec![], 1), None);
    assert_eq!(lookups.found(id, provider, vec![address(1)], 1), Some(vec![address(1)]));
    assert_eq!(lookups.found(id, provider, vec![address(1), address(2)], 1), Some(vec![address(2)]));
    let many = (1..100).map(address).collect();
    assert_eq!(lookups.found(id, provider, many, 1).map(|fresh| fresh.len()), Some(2 * MAX_ADDRESSES - 2));
    assert_eq!(lookups.found(id, provider, vec![address(200)], 1), None);
}

#[test]
fn squatters_cannot_fill_the_callers_memory() {
    let (mut lookups, id, _) = started(&[Scope::Lan]);
    let told = (0..2 * MAX_FOUND).filter(|_| lookups.found(id, PeerId::random(), vec![], 1).is_some());
    assert_eq!(told.count(), MAX_FOUND);
}

#[test]
fn the_cost_is_that_of_all_walks_and_the_hops_those_to_the_first_provider() {
    let (mut lookups, id, now) = started(&BOTH);
    lookups.table_grew(Scope::Lan);
    lookups.walk_ended(id, Scope::Lan, answers(3), 20);
    assert_eq!(lookups.begin(now, |_| true).len(), 1);
    lookups.found(id, PeerId::random(), vec![], 2);
    lookups.found(id, PeerId::random(), vec![], 1);
    lookups.walk_ended(id, Scope::Lan, answers(4), 20);
    lookups.walk_ended(id, Scope::Wan, answers(5), 20);
    let effort = Effort { answers: 9, messages: 6, timeouts: 3, hops: 2 };
    assert_eq!(lookups.take_ended(), [Ended { id, effort, outcome: Outcome::Finished }]);
}
