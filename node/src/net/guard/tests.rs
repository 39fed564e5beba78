//! Dials over memory, as far as the rules let them.

use std::time::Duration;

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use libp2p::{
    core::{
        Endpoint,
        transport::{MemoryTransport, PortUse},
        upgrade::Version,
    },
    identity::Keypair,
    noise, yamux,
};

use super::{super::dialling::Refusal, *};
use crate::config::Limits;

fn transport() -> Boxed<Connection> {
    let key = Keypair::generate_ed25519();
    MemoryTransport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed()
}

fn rules(limits: &Limits) -> Rules {
    Rules::new(Dialling::new(limits, Instant::now()))
}

const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

#[tokio::test]
async fn what_is_refused_is_not_dialled() {
    let mut listener = transport();
    listener.listen_on(ListenerId::next(), "/memory/0".parse().unwrap()).unwrap();
    let own = listener.select_next_some().await.into_new_address().unwrap();
    let rules = rules(&Limits::default());
    rules.lock().listens_at(std::slice::from_ref(&own));
    let mut guard = Guard::new(transport(), rules);
    let error = guard.dial(own, OPTIONS).unwrap().await.err().unwrap();
    assert_eq!(error.to_string(), Refusal::Own.to_string());
    assert!(listener.next().now_or_never().is_none(), "nobody knocked");
}

#[tokio::test]
async fn dials_beyond_the_burst_wait_for_their_turn() {
    let mut listener = transport();
    listener.listen_on(ListenerId::next(), "/memory/0".parse().unwrap()).unwrap();
    let address = listener.select_next_some().await.into_new_address().unwrap();
    // The listener's half is done only when the dialler's connection is used, which it never is.
    let serve = async {
        let mut upgrades = FuturesUnordered::new();
        loop {
            futures::select! {
                event = listener.select_next_some() => upgrades.extend(event.into_incoming().map(|(upgrade, _)| upgrade)),
                _ = upgrades.select_next_some() => {}
            }
        }
    };
    let limits = Limits { dial_burst: 2, dial_rate: 10, ..Limits::default() };
    let mut guard = Guard::new(transport(), rules(&limits));
    let started = Instant::now();
    let dials: Vec<_> = (0..4).map(|_| guard.dial(address.clone(), OPTIONS).unwrap()).collect();
    let all = futures::future::join_all(dials);
    let done = futures::future::select(all, serve.boxed_local()).await;
    let futures::future::Either::Left((done, _)) = done;
    assert!(done.iter().all(Result::is_ok));
    assert!(started.elapsed() >= Duration::from_millis(200), "the last two had to wait");
}

#[tokio::test]
async fn the_rules_hear_how_a_dial_ended() {
    let rules = rules(&Limits { failed_dials: 1, ..Limits::default() });
    let mut heard = Vec::new();
    let failing =
        |rules: &Rules| rules.lock().admit(&"/ip4/8.8.8.8/tcp/1".parse().unwrap(), Instant::now()).is_err();
    for (started, end) in [(None, None), (Some(Instant::now()), Some(End::Failed))] {
        let attempt =
            Attempt { rules: rules.clone(), address: "/ip4/8.8.8.8/tcp/1".parse().unwrap(), started, end };
        drop(attempt);
        heard.push(failing(&rules));
    }
    assert_eq!(heard, [false, true], "a failure counts, and a dial that was never made does not");
}
