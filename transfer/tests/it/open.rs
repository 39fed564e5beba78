//! Opening and admitting substreams: nothing lost, nothing left, nothing hangs.

use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::transport::{ListenerId, MemoryTransport, Transport as _};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, GroupRanges, NetworkName};
use shoal_transfer::wire::{Header, Request};
use shoal_transfer::{Behaviour, Incoming, Limits, OpenError, RangeStream};
use tokio::task::JoinSet;

use crate::net::{Config, Node, soon, swarm};

fn limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut limits = Limits::default();
    change(&mut limits);
    Config { limits, ..Config::default() }
}

/// Answers each request with "not found".
fn answer_all(mut incoming: Incoming) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(inbound) = incoming.next() => answers.push(async move {
                    let mut stream = inbound.stream;
                    let _ = Request::read(&mut stream).await;
                    let _ = stream.write_all(&Header::NotFound.to_frame()).await;
                    let _ = stream.close().await;
                }),
                Some(()) = answers.next() => {}
                else => return,
            }
        }
    });
    tasks
}

async fn ask(stream: &mut RangeStream) -> Header {
    let request = Request::one(Digest::of(b""), GroupRanges::all(1));
    stream.write_all(&request.to_frame()).await.unwrap();
    stream.flush().await.unwrap();
    Header::read(stream).await.unwrap()
}

#[tokio::test]
async fn five_hundred_opens_at_once_lose_nothing() {
    let (server, incoming) = Node::start(Config::default()).await;
    let _answering = answer_all(incoming);
    let (client, _) = Node::start(Config::default()).await;
    let asks = (0..500).map(|_| async {
        let mut stream = client.opener.open(server.id, vec![server.address.clone()]).await.unwrap();
        ask(&mut stream).await
    });
    let answers: Vec<Header> = soon(asks.collect::<FuturesUnordered<_>>().collect()).await;
    assert_eq!(answers.len(), 500);
    let found = answers.iter().filter(|header| **header == Header::NotFound).count();
    let busy = answers.iter().filter(|header| **header == Header::Busy).count();
    assert_eq!(found + busy, 500);
    assert!(found >= 8, "{found} were served");
    assert_eq!(*client.connections.borrow(), 1, "one dial for all");
}

#[tokio::test]
async fn beyond_its_share_a_peer_is_told_that_we_are_busy() {
    let (server, mut incoming) = Node::start(limits(|limits| limits.per_peer_inbound = 2)).await;
    let (client, _) = Node::start(Config::default()).await;
    let (other, _) = Node::start(Config::default()).await;
    let open =
        async |node: &Node| soon(node.opener.open(server.id, vec![server.address.clone()])).await.unwrap();

    let mut held = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = open(&client).await;
        // Lazy negotiation: the peer hears of a stream with its first bytes.
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        held.push(soon(incoming.next()).await.unwrap());
        streams.push(stream);
    }
    assert_eq!(soon(ask(&mut open(&client).await)).await, Header::Busy);

    let mut stream = open(&other).await;
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(incoming.next()).await.unwrap().peer, other.id, "another peer has a share of its own");

    held.pop();
    let mut stream = open(&client).await;
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(incoming.next()).await.unwrap().peer, client.id, "a place came back");
}

#[tokio::test]
async fn a_flood_of_streams_takes_one_share_and_leaves_the_rest_to_others() {
    let (server, mut incoming) = Node::start(Config::default()).await;
    let (rude, _) = Node::start(limits(|limits| limits.streams_per_connection = 400)).await;
    let mut flood = Vec::new();
    for _ in 0..400 {
        let mut stream = soon(rude.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
        // A stream that was reset already is one of the flood that came to nothing.
        if stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
            flood.push(stream);
        }
    }
    let mut served = Vec::new();
    let (polite, _) = Node::start(Config::default()).await;
    let mut stream = soon(polite.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    loop {
        let inbound = soon(incoming.next()).await.unwrap();
        if inbound.peer == polite.id {
            break;
        }
        served.push(inbound);
    }
    assert_eq!(served.len(), Limits::default().per_peer_inbound);
    assert_eq!(*rude.connections.borrow(), 1, "the connection is not punished");
}

#[tokio::test]
async fn a_server_that_does_not_accept_is_busy() {
    let (server, incoming) = Node::start(Config::default()).await;
    drop(incoming);
    let (client, _) = Node::start(Config::default()).await;
    let mut stream = soon(client.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    assert_eq!(soon(ask(&mut stream)).await, Header::Busy);
}

#[tokio::test]
async fn opens_that_cannot_succeed_end_at_once() {
    let (client, _) = Node::start(Config::default()).await;
    let to_self = soon(client.opener.open(client.id, vec![client.address.clone()])).await;
    assert_eq!(to_self.unwrap_err(), OpenError::ToSelf);

    let nowhere = soon(client.opener.open(PeerId::random(), vec![])).await;
    assert!(matches!(nowhere.unwrap_err(), OpenError::Dial { .. }));

    let dead: Multiaddr = "/memory/987654321".parse().unwrap();
    let dead = soon(client.opener.open(PeerId::random(), vec![dead])).await;
    assert!(matches!(dead.unwrap_err(), OpenError::Dial { .. }));

    let (server, _incoming) = Node::start(Config::default()).await;
    let somebody_else = soon(client.opener.open(PeerId::random(), vec![server.address.clone()])).await;
    assert!(matches!(somebody_else.unwrap_err(), OpenError::Dial { .. }));
    let ourselves = soon(client.opener.open(PeerId::random(), vec![client.address.clone()])).await;
    assert!(matches!(ourselves.unwrap_err(), OpenError::Dial { .. }));
}

/// An address that takes connections and never says a word.
fn silent_address() -> (MemoryTransport, Multiaddr) {
    let mut transport = MemoryTransport::default();
    let port = u64::from_le_bytes(PeerId::random().to_bytes()[8..16].try_into().unwrap());
    let address: Multiaddr = format!("/memory/{port}").parse().unwrap();
    transport.listen_on(ListenerId::next(), address.clone()).unwrap();
    (transport, address)
}

#[tokio::test]
async fn opens_to_a_silent_address_are_bounded_in_time_and_number() {
    let (_silent, address) = silent_address();
    let config = limits(|limits| {
        limits.open = Duration::from_millis(300);
        limits.waiting_per_peer = 3;
        limits.waiting_total = 5;
    });
    let (client, _) = Node::start(config).await;
    let peer = PeerId::random();
    let opens = (0..5).map(|_| client.opener.open(peer, vec![address.clone()]));
    let ends: Vec<_> = soon(opens.collect::<FuturesUnordered<_>>().collect()).await;
    let too_many = ends.iter().filter(|end| matches!(end, Err(OpenError::TooManyWaiting))).count();
    let timed_out = ends.iter().filter(|end| matches!(end, Err(OpenError::TimedOut(_)))).count();
    assert_eq!((too_many, timed_out), (2, 3));

    // Callers that left make room for others, in total too.
    for _ in 0..3 {
        let opens = (0..3).map(|_| client.opener.open(PeerId::random(), vec![address.clone()]));
        let ends: Vec<_> = soon(opens.collect::<FuturesUnordered<_>>().collect()).await;
        assert!(ends.iter().all(|end| matches!(end, Err(OpenError::TimedOut(_)))), "{ends:?}");
    }
}

#[tokio::test]
async fn an_open_with_a_good_address_does_not_suffer_from_one_with_a_bad_address() {
    let (server, incoming) = Node::start(Config::default()).await;
    let _answering = answer_all(incoming);
    let (client, _) = Node::start(Config::default()).await;
    let dead: Multiaddr = "/memory/123456789".parse().unwrap();
    let (bad, good) = soon(futures::future::join(
        client.opener.open(server.id, vec![dead]),
        client.opener.open(server.id, vec![server.address.clone()]),
    ))
    .await;
    // They may share a dial, which is then good for both.
    drop(bad);
    assert_eq!(soon(ask(&mut good.unwrap())).await, Header::NotFound);
}

#[tokio::test]
async fn streams_beyond_the_limit_of_a_connection_wait_their_turn() {
    let (server, incoming) = Node::start(Config::default()).await;
    let _answering = answer_all(incoming);
    let (client, _) = Node::start(limits(|limits| limits.streams_per_connection = 1)).await;
    let first = soon(client.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    let mut second = Box::pin(client.opener.open(server.id, vec![server.address.clone()]));
    tokio::select! {
        biased;
        _ = &mut second => panic!("opened beyond the limit"),
        () = tokio::task::yield_now() => {}
    }
    drop(first);
    assert_eq!(soon(ask(&mut soon(second).await.unwrap())).await, Header::NotFound);
}

#[tokio::test]
async fn a_held_stream_keeps_its_connection_and_an_idle_connection_closes() {
    const IDLE: Duration = Duration::from_millis(300);
    let at_once = || Config { idle: IDLE, ..Config::default() };
    let (server, mut incoming) = Node::start(at_once()).await;
    let (mut client, _) = Node::start(at_once()).await;
    let mut ours = soon(client.opener.open(server.id, vec![server.address.clone()])).await.unwrap();
    ours.write_all(b"0").await.unwrap();
    ours.flush().await.unwrap();
    let mut theirs = soon(incoming.next()).await.unwrap().stream;
    let mut byte = [0];
    let start = Instant::now();
    while start.elapsed() < IDLE * 3 {
        theirs.read_exact(&mut byte).await.unwrap();
        theirs.write_all(&byte).await.unwrap();
        theirs.flush().await.unwrap();
        ours.read_exact(&mut byte).await.unwrap();
        ours.write_all(&byte).await.unwrap();
        ours.flush().await.unwrap();
    }
    assert_eq!(*client.connections.borrow(), 1);
    drop((ours, theirs));
    soon(client.connections.wait_for(|count| *count == 0)).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_returns_is_dialled_again() {
    let key = Keypair::generate_ed25519();
    let config = Config { key: key.clone(), ..Config::default() };
    let (server, incoming) = Node::start(config).await;
    let address = server.address.clone();
    let id = server.id;
    let answering = answer_all(incoming);
    let (mut client, _) = Node::start(Config::default()).await;
    let mut held = soon(client.opener.open(id, vec![address.clone()])).await.unwrap();
    assert_eq!(soon(ask(&mut held)).await, Header::NotFound);

    drop(answering);
    server.stop().await;
    let mut byte = [0];
    assert!(!matches!(soon(held.read(&mut byte)).await, Ok(1..)), "the stream ends with its connection");
    soon(client.connections.wait_for(|count| *count == 0)).await.unwrap();
    assert!(soon(client.opener.open(id, vec![address.clone()])).await.is_err());

    let config = Config { key, address: address.clone(), ..Config::default() };
    let (_server, incoming) = Node::start(config).await;
    let _answering = answer_all(incoming);
    let mut again = soon(client.opener.open(id, vec![address])).await.unwrap();
    assert_eq!(soon(ask(&mut again)).await, Header::NotFound);
}

#[derive(NetworkBehaviour)]
struct Denying {
    range: Behaviour,
    limits: connection_limits::Behaviour,
}

#[tokio::test]
async fn a_denied_connection_fails_the_opens_that_waited_for_it() {
    let (server, _incoming) = Node::start(Config::default()).await;
    let key = Keypair::generate_ed25519();
    let id = key.public().to_peer_id();
    let (range, opener, _) = Behaviour::new(id, &NetworkName::default(), Limits::default());
    let none = ConnectionLimits::default().with_max_established(Some(0));
    let denying = Denying { range, limits: connection_limits::Behaviour::new(none) };
    let mut swarm = swarm(key, Duration::from_secs(10), denying);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    for _ in 0..3 {
        let denied = soon(opener.open(server.id, vec![server.address.clone()])).await;
        assert!(matches!(denied, Err(OpenError::Dial { .. })), "{denied:?}");
    }
}

#[tokio::test]
async fn with_the_swarm_gone_opens_end() {
    let (client, _) = Node::start(Config::default()).await;
    let (_silent, address) = silent_address();
    let opener = client.opener.clone();
    let waiting = opener.open(PeerId::random(), vec![address.clone()]);
    let (ended, ()) = soon(futures::future::join(waiting, async {
        tokio::task::yield_now().await;
        drop(client);
    }))
    .await;
    assert_eq!(ended.unwrap_err(), OpenError::Closed);
    assert_eq!(soon(opener.open(PeerId::random(), vec![address])).await.unwrap_err(), OpenError::Closed);
}
