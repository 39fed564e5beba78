//! Lookups: where they begin, what they tell, and that they end.

use std::time::{Duration, Instant};

use shoal_dht::Outcome;

use crate::net::{Net, key};

/// Kademlia waits this long for a peer that does not answer: a lookup that takes less did not wait.
const STALL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_lookup_for_nothing_ends_when_everybody_was_asked() {
    let mut net = Net::new(5).await;
    net.chain(4).await;
    let found = net.find(0, key(1)).await;
    assert!(found.providers.is_empty());
    assert_eq!(found.ended, Some((4, Outcome::Finished)));
}

#[tokio::test]
async fn every_provider_of_a_key_is_told_and_never_ourselves() {
    let mut net = Net::new(5).await;
    net.chain(4).await;
    for index in 0..4 {
        net.announce(index, &[key(1)]).await;
    }
    for index in 0..5 {
        let mut expected: Vec<_> = (0..4).filter(|other| *other != index).map(|i| net.peer(i)).collect();
        let mut providers: Vec<_> = net.find(index, key(1)).await.providers.into_keys().collect();
        expected.sort();
        providers.sort();
        assert_eq!(providers, expected);
    }
}

#[tokio::test]
async fn a_caller_with_enough_ends_its_lookup() {
    let mut net = Net::new(12).await;
    net.chain(11).await;
    net.announce(0, &[key(1)]).await;
    let id = net.start_finding(5, key(1));
    net.until("the first provider", |net| !net.found(5, id).providers.is_empty()).await;
    assert_eq!(net.found(5, id).ended, None, "what we hold ourselves is told before anybody is asked");
    net.dht(5).stop_find(id);
    net.until("the end", |net| net.found(5, id).ended.is_some()).await;
    assert_eq!(net.found(5, id).ended.map(|(_, outcome)| outcome), Some(Outcome::Stopped));
    assert_eq!(net.dht(5).stats().lookups, 0);
}

#[tokio::test]
async fn a_lookup_that_began_alone_finds_what_comes() {
    let mut net = Net::new(4).await;
    net.chain(3).await;
    net.announce(1, &[key(1)]).await;
    let newcomer = net.add().await;
    let id = net.start_finding(newcomer, key(1));
    net.dial(newcomer, 3);
    let provider = net.peer(1);
    net.until("the provider", |net| net.found(newcomer, id).providers.contains_key(&provider)).await;
}

#[tokio::test]
async fn the_dead_do_not_hold_up_a_lookup() {
    const NODES: usize = 20;
    let mut net = Net::new(NODES).await;
    net.chain(NODES - 1).await;
    let provider = net.peer(0);
    net.announce(0, &[key(1)]).await;
    for index in 1..NODES / 2 {
        net.kill(index);
    }
    let began = Instant::now();
    let found = net.find(NODES - 1, key(1)).await;
    assert!(found.providers.contains_key(&provider));
    assert!(began.elapsed() < STALL, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn those_who_never_answer_do_not_hold_up_a_lookup() {
    const NODES: usize = 16;
    let mut net = Net::new(NODES).await;
    net.chain(NODES - 1).await;
    let provider = net.peer(0);
    net.announce(0, &[key(1)]).await;
    for index in 1..6 {
        net.freeze(index);
    }
    // A newcomer, so that nothing is known beforehand.
    let newcomer = net.add().await;
    net.dial(newcomer, NODES - 1);
    let began = Instant::now();
    assert_eq!(net.find_one(newcomer, key(1)).await, Some(provider));
    assert!(began.elapsed() < STALL, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn the_dead_leave_the_tables() {
    let mut net = Net::new(6).await;
    net.chain(5).await;
    net.kill(1);
    net.kill(2);
    let mut seed = 0;
    let mut lookup = net.start_finding(5, key(seed));
    net.until("a table without the dead", |net| {
        if net.found(5, lookup).ended.is_some() {
            seed += 1;
            lookup = net.start_finding(5, key(seed));
        }
        net.lan_peers(5) == 3
    })
    .await;
}
