//! Strangers who mean harm.

use shoal_dht::Limits;

use crate::net::{Net, key};

#[tokio::test]
async fn strangers_who_fill_the_store_stop_nobody() {
    const FLOOD: u64 = 20_000;
    let limits = Limits {
        records: 5000,
        ..Limits::default()
    };
    let mut net = Net::with_limits(6, limits).await;
    net.chain(5).await;
    // Three strangers together announce four times as much as anybody has room for.
    for (stranger, first) in [(3, 0), (4, FLOOD / 3), (5, FLOOD * 2 / 3)] {
        let keys: Vec<_> = (first..first + FLOOD / 3).map(|seed| key(1000 + seed)).collect();
        net.announce(stranger, &keys).await;
    }
    for index in 0..3 {
        assert!(net.dht(index).stats().records <= 5000);
    }
    // Those who have little are still heard by those who are full, and found by others.
    assert_eq!(net.announce(0, &[key(1)]).await, (5, 5));
    let provider = net.peer(0);
    net.kill(0);
    let found = net.find(1, key(1)).await;
    assert!(found.providers.contains_key(&provider));
}

#[tokio::test]
async fn a_key_with_more_providers_than_an_answer_holds_shows_them_all_in_time() {
    const PROVIDERS: usize = 25;
    let mut net = Net::new(PROVIDERS + 1).await;
    net.chain(20).await;
    for index in 0..PROVIDERS {
        net.announce(index, &[key(1)]).await;
    }
    let found = net.find(PROVIDERS, key(1)).await;
    assert_eq!(found.providers.len(), PROVIDERS);
}
