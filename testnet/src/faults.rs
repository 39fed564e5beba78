//! Peers that lie: members of the network like any other, whose answers are wrong and counted.

mod blob;
mod replies;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, Transport,
    core::{muxing::StreamMuxerBox, transport::MemoryTransport, upgrade::Version},
    identify,
    identity::Keypair,
    noise,
    request_response::{self, Message, ProtocolSupport, ResponseChannel},
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
    yamux,
};
use shoal_content::{Digest, GroupRanges, NetworkName, ProviderKey, Tree};
use shoal_transfer::{
    have::{self, Answer, Holding},
    wire,
};
use tokio::{sync::watch, task::JoinSet};

use self::{
    blob::Blob,
    replies::{RangeCodec, Reply},
};
use crate::wait::within;

/// The only announcement that a liar makes.
const ANNOUNCEMENT: shoal_dht::AnnounceId = shoal_dht::AnnounceId(0);

/// For how long it holds: longer than any scenario.
const ANNOUNCED_FOR: Duration = Duration::from_secs(3600);

/// How long a liar keeps a stream that nobody closes. It must be longer than the patience of those it lies to.
const STREAMS_LAST: Duration = Duration::from_secs(3600);

/// What a peer does when it is asked for bytes. All but one say before that they have everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// Sends everything right but for one bit.
    FlipsBit,
    /// Says that the content has this size, before and while it sends it.
    ClaimsSize(u64),
    /// Takes the request and never answers.
    Hangs,
    /// Sends what was asked for, and then goes on and on.
    NeverEnds,
    /// Says now that it has nothing.
    HasNothing,
    /// Tells the truth, this many bytes of it per second.
    Trickles(u32),
    /// Tells the truth, but not whether it has anything: that question it never answers.
    AnswersNoQuestion,
}

/// A peer that lies about one content. Dropping it takes it out of the network.
#[derive(Debug)]
pub struct Liar {
    peer: PeerId,
    address: Multiaddr,
    told: Arc<AtomicU64>,
    learnt: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Liar {
    /// Joins the network through the peer at `through` and announces `content`, which it will lie about.
    ///
    /// # Errors
    ///
    /// Nobody acknowledges its announcement.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the liar out of the network.
    pub async fn join(network: &NetworkName, through: &Multiaddr, lie: Lie, content: &[u8]) -> Result<Self> {
        let blob = Blob::new(content);
        let key = ProviderKey::derive(network, &blob.digest());
        let mut swarm = swarm(network)?;
        swarm.listen_on("/memory/0".parse()?)?;
        swarm.dial(through.clone())?;
        swarm.behaviour_mut().dht.announce(ANNOUNCEMENT, &[key], ANNOUNCED_FOR);
        let peer = *swarm.local_peer_id();
        let told = Arc::new(AtomicU64::new(0));
        let learnt = Arc::new(AtomicU64::new(0));
        let (announced, mut acknowledged) = watch::channel(0);
        let (listens, mut address) = watch::channel(None);
        let member = Member {
            swarm,
            blob,
            key,
            lie,
            told: told.clone(),
            learnt: learnt.clone(),
            announced,
            listens,
            connected_over: HashMap::new(),
            unanswered: Vec::new(),
        };
        let mut task = JoinSet::new();
        task.spawn(member.run());
        within("the liar's announcement", acknowledged.wait_for(|nodes| *nodes > 0))
            .await?
            .context("the liar died")?;
        let address = address.wait_for(Option::is_some).await?.clone().context("the liar has no address")?;
        Ok(Self { peer, address, told, learnt, _task: task })
    }

    /// Where it can be dialled.
    pub fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// How often it was told the digest of the content, which it would not have known if it were what it seems to be.
    pub fn learnt(&self) -> u64 {
        self.learnt.load(Ordering::Relaxed)
    }

    /// Its name in the network.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// How many requests it has answered with its lie.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    dht: shoal_dht::Behaviour,
    have: have::Behaviour,
    ranges: request_response::Behaviour<RangeCodec>,
}

fn swarm(network: &NetworkName) -> Result<Swarm<Behaviour>> {
    let key = Keypair::generate_ed25519();
    let (dht, _) = shoal_dht::Behaviour::new(&shoal_dht::Config {
        network: network.clone(),
        keypair: key.clone(),
        scopes: shoal_dht::Scopes::Lan,
        mdns: false,
        limits: shoal_dht::Limits::default(),
        defences: shoal_dht::Defences::ALL,
    });
    let range_protocol = StreamProtocol::try_from_owned(format!("/shoal/{network}/range/1"))?;
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify::Config::new(
            format!("/shoal/{network}/1"),
            key.public(),
        )),
        dht,
        have: have::behaviour(network),
        ranges: request_response::Behaviour::new(
            [(range_protocol, ProtocolSupport::Inbound)],
            request_response::Config::default().with_request_timeout(STREAMS_LAST),
        ),
    };
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(memory_transport)?
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(STREAMS_LAST))
        .build();
    Ok(swarm)
}

fn memory_transport(
    key: &Keypair,
) -> Result<libp2p::core::transport::Boxed<(PeerId, StreamMuxerBox)>, Box<dyn std::error::Error + Send + Sync>>
{
    Ok(MemoryTransport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .boxed())
}

/// The task of a liar.
struct Member {
    swarm: Swarm<Behaviour>,
    blob: Blob,
    key: ProviderKey,
    lie: Lie,
    told: Arc<AtomicU64>,
    learnt: Arc<AtomicU64>,
    /// Nodes that acknowledged the announcement.
    announced: watch::Sender<usize>,
    listens: watch::Sender<Option<Multiaddr>>,
    connected_over: HashMap<ConnectionId, Multiaddr>,
    /// Questions that are never answered.
    unanswered: Vec<ResponseChannel<have::Response>>,
}

impl Member {
    async fn run(mut self) {
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    self.listens.send_replace(Some(address.clone()));
                    self.swarm.behaviour_mut().dht.set_own_addresses(&[address], &[]);
                }
                SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } => {
                    self.connected_over.insert(connection_id, endpoint.get_remote_address().clone());
                }
                SwarmEvent::ConnectionClosed { connection_id, .. } => {
                    self.connected_over.remove(&connection_id);
                }
                SwarmEvent::Behaviour(event) => self.on_behaviour(event),
                _ => {}
            }
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, connection_id, info }) => {
                if let Some(over) = self.connected_over.get(&connection_id) {
                    self.swarm.behaviour_mut().dht.identified(peer_id, &info, over);
                }
            }
            BehaviourEvent::Dht(shoal_dht::Event::Announced { acknowledged, .. }) => {
                self.announced.send_replace(acknowledged);
            }
            BehaviourEvent::Have(request_response::Event::Message {
                message: Message::Request { request, channel, .. },
                ..
            }) => {
                if self.lie == Lie::AnswersNoQuestion {
                    self.unanswered.push(channel);
                    return;
                }
                let response = self.answer(&request);
                // The asker may have left.
                drop(self.swarm.behaviour_mut().have.send_response(channel, response));
            }
            BehaviourEvent::Ranges(request_response::Event::Message {
                message: Message::Request { request, channel, .. },
                ..
            }) => self.serve(&request, channel),
            _ => {}
        }
    }

    fn answer(&self, request: &have::Request) -> have::Response {
        match request {
            have::Request::Have(have::Have { key }) if *key == self.key => {
                let size = self.claimed_size();
                let ranges = GroupRanges::all(Tree::new(size).groups());
                let holding = Holding { size, ranges, complete: true, name: None, files: None };
                have::Response::Answer(Answer { holding: Some(holding), others: Vec::new() })
            }
            have::Request::Have(_) => have::Response::Answer(Answer::default()),
            have::Request::BadGroup { .. } => have::Response::Ack,
        }
    }

    fn claimed_size(&self) -> u64 {
        match self.lie {
            Lie::ClaimsSize(size) => size,
            _ => self.blob.size(),
        }
    }

    fn serve(&mut self, request: &wire::Request, channel: ResponseChannel<Reply>) {
        let digest: Digest = self.blob.digest();
        let mut reply = Reply::empty();
        for want in &request.wants {
            let is_ours = match &want.name {
                wire::Name::Digest(named) => {
                    self.learnt.fetch_add(u64::from(*named == digest), Ordering::Relaxed);
                    *named == digest
                }
                wire::Name::Key { key, .. } => *key == self.key,
            };
            reply = reply.and(if is_ours {
                self.told.fetch_add(1, Ordering::Relaxed);
                self.lie_to(&want.ranges)
            } else {
                Reply::nothing()
            });
        }
        // The asker may have left.
        drop(self.swarm.behaviour_mut().ranges.send_response(channel, reply));
    }

    fn lie_to(&self, wanted: &GroupRanges) -> Reply {
        let size = self.claimed_size();
        let mut body = self.blob.response(Tree::new(size), wanted);
        match self.lie {
            Lie::ClaimsSize(_) | Lie::AnswersNoQuestion => Reply::whole(size, &body),
            Lie::FlipsBit => {
                // The last byte belongs to a group, not to the hashes above.
                if let Some(last) = body.last_mut() {
                    *last ^= 1;
                }
                Reply::whole(size, &body)
            }
            Lie::Hangs => Reply::silence(),
            Lie::NeverEnds => Reply::endless(size, &body),
            Lie::HasNothing => Reply::nothing(),
            Lie::Trickles(per_second) => Reply::slow(size, &body, per_second),
        }
    }
}
