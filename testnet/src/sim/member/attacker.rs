//! A node that means harm: it speaks the protocols of the overlay, and says whatever it likes.
//!
//! It answers every question with the names that it was given, keeps nothing that it is told, and announces on behalf
//! of as many identities as it has. It is nobody's neighbour, so it has no table and no limits.

pub(crate) mod words;

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use futures::prelude::*;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    core::upgrade::Version,
    identify,
    identity::{Keypair, PublicKey},
    request_response::{self, Codec, Event, Message, OutboundRequestId, ProtocolSupport},
    swarm::{ConnectionId, NetworkBehaviour},
};
use shoal_content::ProviderKey;

use self::words::Named;
use super::{Behave, Told, shoal};

/// Keys in one announcement: as many as are read.
const KEYS: usize = 4096;

/// Bytes of a message. Victims answer less.
const MAX_MESSAGE: u64 = 1 << 20;

const FIND: &str = "/shoal/main/wan/find/1";
const ANNOUNCE: &str = "/shoal/main/wan/announce/1";
const KAD: &str = "/shoal/main/wan/kad/1";

/// What a swarm needs to be taken for a node.
#[derive(NetworkBehaviour)]
pub(crate) struct Attacker {
    identify: shoal_dht::OnHeap<identify::Behaviour>,
    find: request_response::Behaviour<Raw>,
    announce: request_response::Behaviour<Raw>,
    /// Only said to be spoken.
    kad: request_response::Behaviour<Raw>,
}

/// What it says.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// On whose behalf it announces.
    pub(crate) signers: Vec<Keypair>,
    /// Where these are, by its word; where it listens itself, if it says nothing.
    pub(crate) lies: Vec<Multiaddr>,
    /// In whose name it takes keys back.
    pub(crate) forged: Vec<PublicKey>,
    /// Whom it names when it is asked who is near.
    pub(crate) near: Vec<Named>,
    /// Whom it names when it is asked who provides.
    pub(crate) providers: Vec<Named>,
}

/// What it says, and to whom it still has to say it.
#[derive(Default)]
pub(crate) struct Mind {
    manner: Manner,
    /// Whom it has met.
    victims: Vec<PeerId>,
    queues: HashMap<PeerId, VecDeque<Arc<Vec<u8>>>>,
    sent: HashMap<OutboundRequestId, PeerId>,
    /// Messages of the announcement under way, and those of them that nobody has answered.
    sent_in_all: usize,
    open: usize,
    acknowledged: usize,
    announcement: Option<u64>,
    asked: HashMap<OutboundRequestId, u64>,
}

impl From<Manner> for Mind {
    fn from(manner: Manner) -> Self {
        Self { manner, ..Self::default() }
    }
}

impl Mind {
    /// The next message for a victim: a node takes a few at a time of one connection.
    fn send_next(&mut self, victim: PeerId, announce: &mut request_response::Behaviour<Raw>) {
        if let Some(message) = self.queues.get_mut(&victim).and_then(VecDeque::pop_front) {
            self.sent.insert(announce.send_request(&victim, message.to_vec()), victim);
        }
    }

    /// One message was answered, or will not be.
    fn settled(&mut self, was_kept: bool, told: &mut Vec<Told>) {
        self.open = self.open.saturating_sub(1);
        self.acknowledged += usize::from(was_kept);
        if self.open == 0
            && let Some(id) = self.announcement.take()
        {
            let acknowledged = self.acknowledged;
            told.push(Told::Announced { id, asked: self.sent_in_all, acknowledged, done: true, over: true });
        }
    }
}

impl Attacker {
    /// One that nobody takes into its table.
    pub(crate) fn guest(key: &Keypair) -> Self {
        Self::with(key, ProtocolSupport::Outbound)
    }

    fn with(key: &Keypair, routes: ProtocolSupport) -> Self {
        let speaks = |name: &'static str, support| {
            let protocol = (StreamProtocol::new(name), support);
            request_response::Behaviour::with_codec(Raw, [protocol], request_response::Config::default())
        };
        let (find, announce) = (speaks(FIND, ProtocolSupport::Full), speaks(ANNOUNCE, ProtocolSupport::Full));
        Self { identify: shoal::identify(key), find, announce, kad: speaks(KAD, routes) }
    }

    fn on_find(&mut self, mind: &mut Mind, event: Event<Vec<u8>, Vec<u8>>, told: &mut Vec<Told>) {
        match event {
            Event::Message { message: Message::Request { channel, .. }, .. } => {
                // One that is gone misses a lie.
                drop(
                    self.find.send_response(channel, words::reply(&mind.manner.near, &mind.manner.providers)),
                );
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some(id) = mind.asked.remove(&request_id) {
                    let providers = words::providers(&response).into_iter();
                    told.extend(providers.map(|provider| Told::Found { id, provider }));
                    told.push(Told::Ended { id, hops: None });
                }
            }
            Event::OutboundFailure { request_id, .. } => {
                if let Some(id) = mind.asked.remove(&request_id) {
                    told.push(Told::Ended { id, hops: None });
                }
            }
            _ => {}
        }
    }

    fn on_announce(&mut self, mind: &mut Mind, event: Event<Vec<u8>, Vec<u8>>, told: &mut Vec<Told>) {
        let (request, was_kept) = match event {
            Event::Message { message: Message::Request { channel, .. }, .. } => {
                // All of it is kept, by its word.
                drop(self.announce.send_response(channel, words::receipt()));
                return;
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                (request_id, words::is_kept(&response))
            }
            Event::OutboundFailure { request_id, .. } => (request_id, false),
            _ => return,
        };
        if let Some(victim) = mind.sent.remove(&request) {
            mind.settled(was_kept, told);
            mind.send_next(victim, &mut self.announce);
        }
    }
}

impl Behave for Attacker {
    type Books = Mind;

    const NEGOTIATION: Version = Version::V1Lazy;

    /// It makes room at its victim for the next one.
    const IDLE: Duration = Duration::from_secs(2);

    fn new(key: &Keypair, _: &Multiaddr) -> Self {
        Self::with(key, ProtocolSupport::Full)
    }

    fn listens(swarm: &mut Swarm<Self>, mind: &Mind, _: &Multiaddr) {
        for lie in &mind.manner.lies {
            swarm.add_external_address(lie.clone());
        }
    }

    fn on_event(
        swarm: &mut Swarm<Self>,
        mind: &mut Mind,
        event: AttackerEvent,
        _: impl Fn(ConnectionId) -> Option<Multiaddr>,
        told: &mut Vec<Told>,
    ) {
        match event {
            AttackerEvent::Identify(identify::Event::Received { peer_id, .. })
                if !mind.victims.contains(&peer_id) =>
            {
                mind.victims.push(peer_id);
            }
            AttackerEvent::Find(event) => swarm.behaviour_mut().on_find(mind, event, told),
            AttackerEvent::Announce(event) => swarm.behaviour_mut().on_announce(mind, event, told),
            _ => {}
        }
    }

    /// Asks the first of those it has met, and nobody else.
    fn find(&mut self, mind: &mut Mind, id: u64, key: ProviderKey) {
        if let Some(victim) = mind.victims.first() {
            mind.asked.insert(self.find.send_request(victim, words::question(&key)), id);
        }
    }

    /// Announces to everybody it has met, whoever should hold the keys.
    fn announce(&mut self, mind: &mut Mind, id: u64, keys: &[ProviderKey], told: &mut Vec<Told>) {
        let signed = mind.manner.signers.iter().flat_map(|signer| {
            keys.chunks(KEYS).map(|keys| Arc::new(words::announcement(signer, &mind.manner.lies, keys)))
        });
        let forged = mind.manner.forged.iter().zip(mind.manner.signers.iter().cycle());
        let forged = forged.flat_map(|(provider, signer)| {
            keys.chunks(KEYS).map(|keys| Arc::new(words::forgery(signer, provider, keys)))
        });
        let messages: Vec<_> = signed.chain(forged).collect();
        mind.sent_in_all = messages.len() * mind.victims.len();
        mind.open = mind.sent_in_all;
        mind.acknowledged = 0;
        mind.announcement = Some(id);
        for victim in mind.victims.clone() {
            mind.queues.entry(victim).or_default().extend(messages.iter().cloned());
            mind.send_next(victim, &mut self.announce);
        }
        if mind.open == 0 {
            mind.settled(false, told);
        }
    }

    /// Whom it has met.
    fn table(&mut self, mind: &Mind) -> Vec<PeerId> {
        mind.victims.clone()
    }

    fn holds(&mut self, _: &ProviderKey, _: &PeerId) -> bool {
        false
    }
}

/// Bytes to the end of the stream, one way and the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(MAX_MESSAGE).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
