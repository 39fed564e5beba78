//! libp2p's own Kademlia, as it comes, among nodes of ours: it finds what we know, and can store nothing with us.

use std::io;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::prelude::*;
use libp2p::kad::store::{MemoryStore, RecordStore as _};
use libp2p::kad::{self, GetProvidersOk, QueryId, QueryResult, Quorum, Record, RecordKey};
use libp2p::request_response::{self, Message, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify};
use libp2p_swarm_test::SwarmExt;
use shoal_dht::MAX_ADDRESSES;

use crate::net::{Net, PATIENCE, key};

const LAN: StreamProtocol = StreamProtocol::new("/shoal/main/lan/kad/1");
const WAN: StreamProtocol = StreamProtocol::new("/shoal/main/wan/kad/1");

#[derive(NetworkBehaviour)]
struct Stock {
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

/// A node of another maker, and what it learned.
struct Stranger {
    swarm: Swarm<Stock>,
    told: Vec<StockEvent>,
}

impl Stranger {
    /// One that knows one of our nodes.
    async fn new(net: &mut Net, knows: usize, mode: kad::Mode) -> Self {
        let mut swarm = Swarm::new_ephemeral_tokio(|keypair| {
            let peer = keypair.public().to_peer_id();
            let identify = identify::Config::new("/test/1".to_owned(), keypair.public());
            let kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), kad::Config::new(LAN));
            Stock { identify: identify::Behaviour::new(identify), kad }
        });
        swarm.behaviour_mut().kad.set_mode(Some(mode));
        swarm.listen_on("/memory/0".parse().expect("an address")).expect("listens");
        let (peer, address) = (net.peer(knows), net.address(knows));
        swarm.behaviour_mut().kad.add_address(&peer, address);
        Self { swarm, told: Vec::new() }
    }

    fn kad(&mut self) -> &mut kad::Behaviour<MemoryStore> {
        &mut self.swarm.behaviour_mut().kad
    }

    fn peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Runs it and our nodes until a condition holds.
    async fn until(
        &mut self,
        net: &mut Net,
        what: &str,
        mut condition: impl FnMut(&mut Net, &mut Self) -> bool,
    ) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(net, self) {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            let event = tokio::select! {
                event = self.swarm.select_next_some() => event,
                () = net.step(what) => continue,
            };
            if let SwarmEvent::Behaviour(event) = event {
                self.told.push(event);
            }
        }
    }

    /// What a query of Kademlia came to, all of it.
    async fn through(&mut self, net: &mut Net, query: QueryId) -> Vec<QueryResult> {
        let is_of = |event: &&StockEvent| match event {
            StockEvent::Kad(kad::Event::OutboundQueryProgressed { id, .. }) => *id == query,
            _ => false,
        };
        let is_last = |event: &StockEvent| match event {
            StockEvent::Kad(kad::Event::OutboundQueryProgressed { step, .. }) => step.last,
            _ => false,
        };
        self.until(net, "the end of a query", |_, stock| stock.told.iter().filter(is_of).any(is_last)).await;
        let results = self.told.iter().filter(is_of).filter_map(|event| match event {
            StockEvent::Kad(kad::Event::OutboundQueryProgressed { result, .. }) => Some(result.clone()),
            _ => None,
        });
        results.collect()
    }

    async fn providers(&mut self, net: &mut Net, key: RecordKey) -> Vec<PeerId> {
        let query = self.kad().get_providers(key);
        let results = self.through(net, query).await;
        let found = results.into_iter().flat_map(|result| match result {
            QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) => providers,
            _ => Default::default(),
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        found.dedup();
        found
    }
}

fn record_key(seed: u64) -> RecordKey {
    RecordKey::new(key(seed).as_bytes())
}

#[tokio::test]
async fn it_finds_all_of_our_nodes_through_one() {
    const NODES: usize = 12;
    let mut net = Net::new(NODES).await;
    net.chain(NODES - 1).await;
    let mut stock = Stranger::new(&mut net, 0, kad::Mode::Client).await;
    let query = stock.kad().get_closest_peers(PeerId::random());
    let results = stock.through(&mut net, query).await;
    let [QueryResult::GetClosestPeers(Ok(found))] = results.as_slice() else { panic!("{results:?}") };
    let mut found: Vec<_> = found.peers.iter().map(|info| (info.peer_id, info.addrs.clone())).collect();
    found.sort();
    let mut expected: Vec<_> = (0..NODES).map(|node| net.peer(node)).collect();
    expected.sort();
    assert_eq!(found.iter().map(|(peer, _)| *peer).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|(_, addresses)| (1..=MAX_ADDRESSES).contains(&addresses.len())));
}

#[tokio::test]
async fn it_finds_the_providers_that_announced_to_our_nodes() {
    let mut net = Net::new(8).await;
    net.chain(7).await;
    for provider in [2, 5] {
        net.announce(provider, &[key(1)]).await;
    }
    let mut expected = [net.peer(2), net.peer(5)];
    expected.sort();
    let mut stock = Stranger::new(&mut net, 0, kad::Mode::Client).await;
    assert_eq!(stock.providers(&mut net, record_key(1)).await, expected);
    assert_eq!(stock.providers(&mut net, record_key(2)).await, []);
    // A key of any other length has no providers, and nearest nodes all the same.
    assert_eq!(stock.providers(&mut net, RecordKey::new(&"short")).await, []);
    net.dht(2).withdraw(&[key(1)]);
    net.until("a withdrawal", |net| {
        net.told[2].iter().any(|event| matches!(event, shoal_dht::Event::Withdrawn { .. }))
    })
    .await;
    assert_eq!(stock.providers(&mut net, record_key(1)).await, [net.peer(5)]);
}

#[tokio::test]
async fn it_stores_nothing_with_us() {
    let mut net = Net::new(5).await;
    net.chain(4).await;
    let mut stock = Stranger::new(&mut net, 0, kad::Mode::Client).await;
    let query = stock.kad().start_providing(record_key(1)).expect("room");
    let results = stock.through(&mut net, query).await;
    assert!(
        matches!(results.as_slice(), [QueryResult::StartProviding(Ok(_))]),
        "nobody says no: {results:?}"
    );
    assert!(net.find(3, key(1)).await.providers.is_empty());

    let record = Record::new(RecordKey::new(&"anything"), vec![7; 1000]);
    let query = stock.kad().put_record(record.clone(), Quorum::One).expect("room");
    let results = stock.through(&mut net, query).await;
    assert!(matches!(results.as_slice(), [QueryResult::PutRecord(Err(_))]), "{results:?}");
    stock.kad().store_mut().remove(&record.key);
    let query = stock.kad().get_record(record.key);
    let results = stock.through(&mut net, query).await;
    let [QueryResult::GetRecord(Err(kad::GetRecordError::NotFound { closest_peers, .. }))] =
        results.as_slice()
    else {
        panic!("{results:?}")
    };
    assert_eq!(closest_peers.len(), 5, "whoever looks for it is shown the nodes that would have it");
    for node in 0..5 {
        assert_eq!(net.dht(node).stats().records, 0);
    }
}

#[tokio::test]
async fn it_enters_our_tables_when_it_serves() {
    let mut net = Net::new(2).await;
    net.chain(1).await;
    let mut stock = Stranger::new(&mut net, 0, kad::Mode::Server).await;
    let query = stock.kad().get_closest_peers(PeerId::random());
    let peer = stock.peer();
    stock.until(&mut net, "a place in a table", |net, _| net.is_in_table(0, &peer)).await;
    stock.through(&mut net, query).await;
    drop(stock);

    let mut client = Stranger::new(&mut net, 0, kad::Mode::Client).await;
    let query = client.kad().get_closest_peers(PeerId::random());
    client.through(&mut net, query).await;
    let protocols = |stranger: &Stranger| {
        let heard = stranger.told.iter().filter_map(|event| match event {
            StockEvent::Identify(identify::Event::Received { info, .. }) => Some(info.protocols.clone()),
            _ => None,
        });
        heard.collect::<Vec<_>>()
    };
    client.until(&mut net, "what our node offers", |_, client| !protocols(client).is_empty()).await;
    let peer = client.peer();
    assert!(!net.is_in_table(0, &peer));

    let offers = |client: &Stranger, protocol: &StreamProtocol| {
        protocols(client).last().is_some_and(|protocols| protocols.contains(protocol))
    };
    assert!(offers(&client, &LAN));
    assert!(!offers(&client, &WAN), "nobody has told our node that it can be reached");
    let global: Multiaddr = "/ip4/8.8.8.8/tcp/1".parse().expect("an address");
    net.dht(0).set_own_addresses(&[], &[global]);
    client.until(&mut net, "that it serves the internet", |_, client| offers(client, &WAN)).await;
    net.dht(0).set_own_addresses(&[], &[]);
    client.until(&mut net, "that it does not", |_, client| !offers(client, &WAN)).await;
}

/// Sends bytes on a stream of its own, and takes what comes until the stream ends.
#[derive(Clone, Default)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &LanKad,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        self.read_response(&LAN, io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &LanKad,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A stream that is cut off has said what it said.
        let _ = io.take(1 << 20).read_to_end(&mut bytes).await;
        Ok(bytes)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &LanKad,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &LanKad,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&bytes).await
    }
}

type LanKad = StreamProtocol;

/// What comes back for each of these, each sent on a stream of its own over one connection, one after the other.
async fn say(net: &mut Net, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut asker = Swarm::new_ephemeral_tokio(|_| {
        request_response::Behaviour::with_codec(
            Raw,
            [(LAN, ProtocolSupport::Outbound)],
            request_response::Config::default().with_request_timeout(Duration::from_secs(60)),
        )
    });
    let (peer, address) = (net.peer(0), net.address(0));
    let mut answers = Vec::new();
    for message in messages {
        asker.behaviour_mut().send_request_with_addresses(&peer, message.clone(), vec![address.clone()]);
        let answer = loop {
            let event = tokio::select! {
                event = asker.select_next_some() => event,
                () = net.step("an answer") => continue,
            };
            if let SwarmEvent::Behaviour(request_response::Event::Message { message, .. }) = event
                && let Message::Response { response, .. } = message
            {
                break response;
            }
        };
        answers.push(answer);
    }
    assert_eq!(asker.connected_peers().count(), 1);
    answers
}

const PING: [u8; 3] = [2, 8, 5];
const PUT_VALUE: [u8; 3] = [2, 8, 0];
const ADD_PROVIDER: [u8; 3] = [2, 8, 2];
const FIND_NODE: [u8; 6] = [5, 8, 4, 0x12, 1, 7];

#[tokio::test]
async fn one_stream_carries_many_questions() {
    let mut net = Net::new(1).await;
    let nobody = [2, 8, 4];
    let many = [FIND_NODE.as_slice(), &PING, &ADD_PROVIDER, &FIND_NODE].concat();
    let answers = say(&mut net, &[many, PING.repeat(1000)]).await;
    assert_eq!(answers, [[nobody, PING, nobody].concat(), PING.repeat(1000)]);
}

#[tokio::test]
async fn what_is_no_question_ends_its_stream_and_nothing_else() {
    let mut net = Net::new(1).await;
    let too_long = [0x81, 0x20, 8, 4].into_iter().chain([0; 5000]).collect();
    let endless = vec![0xff; 100];
    let cut_off = FIND_NODE[..4].to_vec();
    let unknown = vec![2, 8, 9];
    let stored = [PUT_VALUE, PING].concat();
    let garbage = [PING.as_slice(), &[3, 0xff, 0xff, 0xff]].concat();
    let messages = [too_long, endless, cut_off, unknown, stored, garbage, PING.to_vec()];
    let answers = say(&mut net, &messages).await;
    let (pong, nothing) = (PING.to_vec(), Vec::new());
    let expected = [&nothing, &nothing, &nothing, &nothing, &nothing, &pong, &pong];
    assert_eq!(answers.iter().collect::<Vec<_>>(), expected);
}
