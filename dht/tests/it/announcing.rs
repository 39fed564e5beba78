//! Announcing and withdrawing, in networks of several sizes.

use shoal_dht::Event;

use crate::net::{Net, key};

#[tokio::test]
async fn the_smallest_network_has_two_nodes() {
    let mut net = Net::new(2).await;
    net.chain(1).await;
    assert_eq!(net.announce(0, &[key(1)]).await, (1, 1));
    assert_eq!(net.dht(1).stats().records, 1);
    let (provider, address) = (net.peer(0), net.address(0));
    let found = net.find(1, key(1)).await;
    assert_eq!(found.providers.into_iter().collect::<Vec<_>>(), [(provider, vec![address])]);
}

#[tokio::test]
async fn a_chain_grows_together_and_everybody_is_told() {
    let mut net = Net::new(12).await;
    net.chain(11).await;
    assert_eq!(net.announce(0, &[key(1)]).await, (11, 11));
    for index in 1..12 {
        assert_eq!(net.dht(index).stats().records, 1);
    }
    let provider = net.peer(0);
    let found = net.find(11, key(1)).await;
    assert_eq!(found.providers.into_keys().collect::<Vec<_>>(), [provider]);
}

#[tokio::test]
async fn an_announcement_waits_for_the_first_peer() {
    let mut net = Net::new(2).await;
    let id = net.start_announcing(0, &[key(1)]);
    net.dial(1, 0);
    assert_eq!(net.announced(0, id).await, (1, 1));
    let provider = net.peer(0);
    assert!(net.find(1, key(1)).await.providers.contains_key(&provider));
}

#[tokio::test]
async fn many_keys_reach_the_nodes_that_will_be_asked() {
    const NODES: usize = 32;
    let mut net = Net::new(NODES).await;
    net.chain(20).await;
    let keys: Vec<_> = (0..500).map(key).collect();
    let (acknowledged, asked) = net.announce(0, &keys).await;
    assert_eq!(acknowledged, asked);
    assert!(asked > 20, "keys all over the key space concern more than twenty nodes, not {asked}");
    // Each key is kept by about twenty nodes, not by all of them.
    let records: usize = (1..NODES).map(|index| net.dht(index).stats().records).sum();
    assert!((19 * keys.len()..=26 * keys.len()).contains(&records), "{records} records");

    // The provider itself is gone: only what others keep can be found.
    let provider = net.peer(0);
    net.kill(0);
    for index in (1..NODES).step_by(3) {
        assert_eq!(net.find_one(index, keys[index * 15]).await, Some(provider), "node {index} looks in vain");
    }
}

#[tokio::test]
async fn what_is_withdrawn_is_found_no_more() {
    let mut net = Net::new(6).await;
    net.chain(5).await;
    net.announce(0, &[key(1), key(2)]).await;
    let id = net.dht(0).withdraw(&[key(1)]);
    let withdrawn = Event::Withdrawn { id, acknowledged: 5, asked: 5 };
    net.until("the withdrawal", |net| net.told[0].contains(&withdrawn)).await;
    for index in 1..6 {
        assert!(net.find(index, key(1)).await.providers.is_empty(), "node {index} still finds it");
        assert_eq!(net.find(index, key(2)).await.providers.len(), 1);
    }
}

#[tokio::test]
async fn what_is_announced_again_after_a_withdrawal_is_found_again() {
    let mut net = Net::new(3).await;
    net.chain(2).await;
    net.announce(0, &[key(1)]).await;
    net.dht(0).withdraw(&[key(1)]);
    assert_eq!(net.announce(0, &[key(1)]).await, (2, 2));
    assert_eq!(net.find(2, key(1)).await.providers.len(), 1);
}

#[tokio::test]
async fn a_withdrawal_overtakes_no_announcement() {
    let mut net = Net::new(4).await;
    net.chain(3).await;
    net.start_announcing(0, &[key(1)]);
    // The walk is over and the messages are on their way when at least one node was asked.
    net.until("messages on their way", |net| {
        net.told[0].iter().any(|event| matches!(event, Event::Announced { asked: 1.., .. }))
    })
    .await;
    let id = net.dht(0).withdraw(&[key(1)]);
    let is_withdrawn = |event: &Event| matches!(event, Event::Withdrawn { id: over, .. } if *over == id);
    net.until("the withdrawal", |net| net.told[0].iter().any(is_withdrawn)).await;
    for index in 1..4 {
        assert!(net.find(index, key(1)).await.providers.is_empty());
    }
}

#[tokio::test]
async fn a_withdrawal_without_records_ends_at_once() {
    let mut net = Net::new(1).await;
    let id = net.dht(0).withdraw(&[key(1)]);
    let withdrawn = Event::Withdrawn { id, acknowledged: 0, asked: 0 };
    net.until("the withdrawal", |net| net.told[0].contains(&withdrawn)).await;
}

#[tokio::test]
async fn the_dead_do_not_acknowledge() {
    let mut net = Net::new(8).await;
    net.chain(7).await;
    net.kill(3);
    net.kill(5);
    let (acknowledged, asked) = net.announce(0, &[key(1)]).await;
    assert_eq!(acknowledged, 5);
    assert!((5..=7).contains(&asked));
}

#[tokio::test]
async fn keys_are_told_to_a_network_that_grew() {
    let mut net = Net::new(2).await;
    net.chain(1).await;
    net.announce(0, &[key(1)]).await;
    for _ in 0..6 {
        let index = net.add().await;
        net.dial(index, 1);
    }
    net.until("records at the newcomers", |net| (2..8).all(|index| net.dht(index).stats().records == 1))
        .await;
}

#[tokio::test]
async fn a_newcomer_is_handed_what_it_should_hold_though_the_provider_is_gone() {
    let mut net = Net::new(6).await;
    net.chain(5).await;
    let keys: Vec<_> = (0..40).map(key).collect();
    net.announce(0, &keys).await;
    let provider = net.peer(0);
    net.kill(0);
    let newcomer = net.add().await;
    net.dial(newcomer, 3);
    net.until("records", |net| keys.iter().all(|key| net.dht(newcomer).holds(key, &provider))).await;
    // Whoever was told at first is gone too, and the newcomer hands on in its turn.
    for old in 1..6 {
        net.kill(old);
    }
    let another = net.add().await;
    net.dial(another, newcomer);
    net.until("records", |net| keys.iter().all(|key| net.dht(another).holds(key, &provider))).await;
}
