//! Strangers who mean harm.

use futures::StreamExt;
use libp2p::request_response::{self, OutboundFailure, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{StreamProtocol, Swarm};
use libp2p_swarm_test::SwarmExt;
use serde_bytes::ByteBuf;
use shoal_dht::Limits;

use crate::net::{Net, key};

#[tokio::test]
async fn strangers_who_fill_the_store_stop_nobody() {
    const FLOOD: u64 = 20_000;
    let limits = Limits { records: 5000, ..Limits::default() };
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
async fn a_key_with_more_providers_than_an_answer_holds_shows_them_all() {
    const PROVIDERS: usize = 22;
    let mut net = Net::new(PROVIDERS + 1).await;
    net.chain(20).await;
    let ids: Vec<_> = (0..PROVIDERS).map(|index| net.start_announcing(index, &[key(1)])).collect();
    for (index, id) in ids.into_iter().enumerate() {
        net.announced(index, id).await;
    }
    let found = net.find(PROVIDERS, key(1)).await;
    assert_eq!(found.providers.len(), PROVIDERS);
}

/// A peer that sends these bytes as an announcement; true when it was answered.
async fn is_answered(net: &mut Net, bytes: Vec<u8>) -> bool {
    type Attacker = request_response::cbor::Behaviour<ByteBuf, ByteBuf>;
    let protocol = StreamProtocol::new("/shoal/main/lan/announce/1");
    let mut attacker = Swarm::<Attacker>::new_ephemeral_tokio(|_| {
        Attacker::new([(protocol, ProtocolSupport::Full)], request_response::Config::default())
    });
    let (victim, address) = (net.peer(0), net.address(0));
    attacker.add_peer_address(victim, address);
    attacker.behaviour_mut().send_request(&victim, ByteBuf::from(bytes));
    loop {
        let event = tokio::select! {
            event = attacker.select_next_some() => event,
            () = net.until("the attack", |_| false) => continue,
        };
        match event {
            SwarmEvent::Behaviour(request_response::Event::Message { .. }) => return true,
            SwarmEvent::Behaviour(request_response::Event::OutboundFailure { error, .. }) => {
                assert!(!matches!(
                    error,
                    OutboundFailure::DialFailure | OutboundFailure::UnsupportedProtocols
                ));
                return false;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn garbage_is_not_answered_and_leaves_nothing_behind() {
    let mut net = Net::new(2).await;
    net.chain(1).await;
    for bytes in [vec![], vec![0; 100], vec![0xff; 200_000]] {
        assert!(!is_answered(&mut net, bytes).await);
    }
    assert_eq!(net.dht(0).stats().records, 0);
    assert_eq!(net.announce(1, &[key(1)]).await, (1, 1));
}
