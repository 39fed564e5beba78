//! Two ways that race, on a clock that only moves when all wait.

use std::io;

use futures::{FutureExt as _, channel::oneshot};
use libp2p::core::{Endpoint, transport::PortUse};
use tokio::time::Instant as Time;

use super::{experience::TOLERATED, *};

const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

/// Dials that end when the test says so, and tell when they began.
#[derive(Default)]
struct Fake(HashMap<Multiaddr, oneshot::Receiver<io::Result<()>>>);

impl Transport for Fake {
    type Output = Time;
    type Error = io::Error;
    type ListenerUpgrade = std::future::Pending<io::Result<Time>>;
    type Dial = BoxFuture<'static, io::Result<Time>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let end = self.0.remove(&address);
        Ok(Box::pin(async move {
            let began = Time::now();
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

const TCP: &str = "/ip4/45.0.0.1/tcp/1";
const QUIC: &str = "/ip4/45.0.0.1/udp/1/quic-v1";

/// A dial to the `first` address, which ends as `end` says, and one to the `second`; tells how long that waited.
async fn waited(
    is_question: bool,
    [first, second]: [Multiaddr; 2],
    end: impl Future<Output = Option<io::Result<()>>>,
) -> Duration {
    let (tell, ended) = oneshot::channel();
    let fake = Fake(HashMap::from([(first.clone(), ended)]));
    let mut both = HeadStart::new(fake, Arc::new(AtomicBool::new(is_question)));
    let started = Time::now();
    // Asked for before the other, as the order of addresses has it.
    let second = both.dial(second, OPTIONS).unwrap();
    let first = both.dial(first, OPTIONS).unwrap();
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
async fn one_waits_while_the_other_is_on_its_way_and_not_for_ever() {
    let peer = PeerId::random();
    for (is_question, ways, waits) in [(false, [TCP, QUIC], QUIC_WAITS), (true, [QUIC, TCP], TCP_WAITS)] {
        let addresses = || ways.map(|way| at(way, peer));
        assert_eq!(waited(is_question, addresses(), std::future::pending()).await, waits);
        for end in [Ok(()), Err(io::ErrorKind::ConnectionRefused.into())] {
            let soon = Duration::from_millis(100);
            let end = tokio::time::sleep(soon).map(|()| Some(end));
            let waited = waited(is_question, addresses(), end).await;
            assert_eq!(waited, soon, "it waits for no dial that has ended");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn questions_go_to_neighbours_over_tcp_first() {
    let peer = PeerId::random();
    for ip in ["127.0.0.1", "192.168.1.7", "10.0.0.7"] {
        let addresses = [format!("/ip4/{ip}/tcp/1"), format!("/ip4/{ip}/udp/1/quic-v1")];
        let addresses = addresses.map(|address| at(&address, peer));
        assert_eq!(waited(true, addresses, std::future::pending()).await, QUIC_WAITS, "{ip}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_dial_to_somebody_else() {
    let (tcp, quic) = (at(TCP, PeerId::random()), at(QUIC, PeerId::random()));
    for (is_question, ways) in [(false, [tcp.clone(), quic.clone()]), (true, [quic, tcp])] {
        assert_eq!(waited(is_question, ways, std::future::pending()).await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_peer_is_named_its_machine_counts() {
    let addresses = [TCP, QUIC].map(|text| text.parse().unwrap());
    assert_eq!(waited(false, addresses, std::future::pending()).await, QUIC_WAITS);
}

#[tokio::test(start_paused = true)]
async fn where_quic_is_never_answered_tcp_goes_first_for_a_while() {
    let mut both = HeadStart::new(Fake::default(), Arc::new(AtomicBool::new(true)));
    let mut waits = Vec::new();
    for _ in 0..TOLERATED + 2 {
        let peer = PeerId::random();
        let (_never, ended) = oneshot::channel();
        both.inner.0.insert(at(QUIC, peer), ended);
        let dials = [QUIC, TCP].map(|way| both.dial(at(way, peer), OPTIONS).unwrap());
        let started = Time::now();
        let [quic, tcp] = dials;
        let began = tokio::select! {
            began = tcp => began.unwrap(),
            _ = quic => unreachable!("nobody answers"),
        };
        waits.push(began - started);
    }
    assert!(waits[..TOLERATED].iter().all(|waited| *waited == TCP_WAITS), "{waits:?}");
    assert_eq!(waits[TOLERATED..], [Duration::ZERO; 2]);
}

#[tokio::test]
async fn a_dial_that_never_began_is_forgotten() {
    let mut both = HeadStart::new(Fake::default(), Arc::default());
    let dial = both.dial(at(TCP, PeerId::random()), OPTIONS).unwrap();
    assert_eq!(both.race.dials().len(), 1);
    drop(dial);
    assert!(both.race.dials().is_empty());
}
