//! Dials over memory, as far as the rules let them.

use std::sync::atomic::{AtomicUsize, Ordering};

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
    Rules::new(limits, Instant::now())
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

/// Counts the dials that are being made, each of which takes a while.
#[derive(Clone, Default)]
struct Slow {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Transport for Slow {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Connection>>;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Self { now, most } = self.clone();
        Ok(Box::pin(async move {
            let count = now.fetch_add(1, Ordering::Relaxed) + 1;
            most.fetch_max(count, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Err(io::Error::other("nobody"))
        }))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn many_dials_wait_for_each_other_and_none_is_refused() {
    const DIALS: usize = 300;
    let limits = Limits { dial_rate: 1000, ..Limits::default() };
    let slow = Slow::default();
    let mut guard = Guard::new(slow.clone().boxed(), rules(&limits));
    let address = |at: usize| format!("/ip4/9.{}.{}.1/tcp/1", at / 256, at % 256).parse().unwrap();
    let dials: Vec<_> = (0..DIALS).map(|at| guard.dial(address(at), OPTIONS).unwrap()).collect();
    for result in futures::future::join_all(dials).await {
        assert!(result.err().unwrap().to_string().contains("nobody"), "it was made");
    }
    assert_eq!(slow.most.load(Ordering::Relaxed), usize::try_from(limits.pending).unwrap());
}

#[tokio::test]
async fn dials_without_an_answer_hold_up_others_for_a_moment_only() {
    let rules = rules(&Limits { pending: 1, ..Limits::default() });
    let turn = rules.turn().await.unwrap();
    let mut hanging = std::pin::pin!(in_turn(futures::future::pending::<()>(), turn));
    let started = Instant::now();
    tokio::select! {
        () = &mut hanging => unreachable!("nobody answers"),
        turn = rules.turn() => drop(turn.unwrap()),
    }
    assert!(started.elapsed() >= TURN);
}

#[test]
fn a_dial_without_a_network_is_told_apart_however_deep_the_reason_is() {
    let down = || io::Error::from(ErrorKind::NetworkUnreachable);
    assert!(never_left(&down()));
    assert!(never_left(&io::Error::other(io::Error::other(down()))));
    assert!(!never_left(&io::Error::other(io::Error::from(ErrorKind::ConnectionRefused))));
    assert!(!never_left(&io::Error::other("another reason")));
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
