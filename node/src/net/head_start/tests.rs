//! Two transports that race, on a clock that only moves when all wait.

use std::io;

use futures::{FutureExt as _, channel::oneshot};
use libp2p::core::{Endpoint, transport::PortUse};
use tokio::time::Instant;

use super::*;

const WAITS: Duration = Duration::from_millis(500);

const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

/// Dials that end when the test says so, and tell when they began.
#[derive(Default)]
struct Fake(Vec<oneshot::Receiver<io::Result<()>>>);

impl Transport for Fake {
    type Output = Instant;
    type Error = io::Error;
    type ListenerUpgrade = std::future::Pending<io::Result<Instant>>;
    type Dial = BoxFuture<'static, io::Result<Instant>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let end = self.0.pop();
        Ok(Box::pin(async move {
            let began = Instant::now();
            if let Some(end) = end {
                end.await.map_err(io::Error::other)??;
            }
            Ok(began)
        }))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Pending
    }
}

fn at(text: &str, peer: PeerId) -> Multiaddr {
    text.parse::<Multiaddr>().unwrap().with(Protocol::P2p(peer))
}

/// A dial over each transport, the first of which ends as `end` says; tells how long the second one waited.
async fn waited(addresses: [Multiaddr; 2], end: impl Future<Output = Option<io::Result<()>>>) -> Duration {
    let ahead = Ahead::default();
    let (tell, ended) = oneshot::channel();
    let mut first = HeadStart::first(Fake(vec![ended]), ahead.clone());
    let mut second = HeadStart::later(Fake::default(), ahead.clone(), WAITS);
    let started = Instant::now();
    let [to_first, to_second] = addresses;
    // Asked for before the other, as the order of addresses has it.
    let second = second.dial(to_second, OPTIONS).unwrap();
    let first = first.dial(to_first, OPTIONS).unwrap();
    let ends = async {
        if let Some(end) = end.await {
            tell.send(end).unwrap();
            let _ = first.await;
        }
        std::future::pending::<()>().await;
    };
    let began = tokio::select! {
        began = second => began.unwrap(),
        () = ends => unreachable!("it never ends"),
    };
    began - started
}

#[tokio::test(start_paused = true)]
async fn quic_waits_while_tcp_is_on_its_way_and_not_for_ever() {
    let peer = PeerId::random();
    let addresses = || [at("/ip4/192.0.2.1/tcp/1", peer), at("/ip4/192.0.2.1/udp/1/quic-v1", peer)];
    assert_eq!(waited(addresses(), std::future::pending()).await, WAITS);
    for end in [Ok(()), Err(io::ErrorKind::ConnectionRefused.into())] {
        let soon = Duration::from_millis(100);
        let end = tokio::time::sleep(soon).map(|()| Some(end));
        assert_eq!(waited(addresses(), end).await, soon, "it waits for no dial that has ended");
    }
}

#[tokio::test(start_paused = true)]
async fn quic_waits_for_no_dial_to_somebody_else() {
    let tcp = at("/ip4/192.0.2.1/tcp/1", PeerId::random());
    let quic = at("/ip4/192.0.2.1/udp/1/quic-v1", PeerId::random());
    assert_eq!(waited([tcp, quic], std::future::pending()).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn where_no_peer_is_named_its_machine_counts() {
    let addresses =
        ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1"].map(|text| text.parse().unwrap());
    assert_eq!(waited(addresses, std::future::pending()).await, WAITS);
}

#[tokio::test]
async fn a_dial_that_never_began_is_forgotten() {
    let ahead = Ahead::default();
    let mut first = HeadStart::first(Fake::default(), ahead.clone());
    let dial = first.dial(at("/ip4/192.0.2.1/tcp/1", PeerId::random()), OPTIONS).unwrap();
    assert_eq!(ahead.dials().len(), 1);
    drop(dial);
    assert!(ahead.dials().is_empty());
}
