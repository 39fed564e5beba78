//! Peers that lie: members of the network like any other, whose answers are wrong and counted.

mod blob;
mod claims;
mod replies;

use std::{
    collections::HashMap,
    path::Path,
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
use shoal_content::{GroupRanges, NetworkName, Tree};
use shoal_transfer::{
    have::{self, Answer, Holding},
    wire,
};
use tokio::{sync::watch, task::JoinSet};

pub use self::claims::Claim;
use self::{
    blob::Blob,
    claims::{Directory, Part, Pretence},
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
    /// Sends all that it is asked for so often, and from then on nothing; the stream stays.
    HangsAfter(u64),
    /// Sends what was asked for, and then goes on and on.
    NeverEnds,
    /// Says now that it has nothing.
    HasNothing,
    /// Tells the truth, this many bytes of it per second.
    Trickles(u32),
    /// Tells the truth, but not whether it has anything: that question it never answers.
    AnswersNoQuestion,
}

/// A peer that lies about one content, or about the files of a directory. Dropping it takes it out of the network.
#[derive(Debug)]
pub struct Liar {
    peer: PeerId,
    address: Multiaddr,
    counts: Arc<Counts>,
    _task: JoinSet<()>,
}

/// What a liar has done so far.
#[derive(Debug, Default)]
struct Counts {
    told: AtomicU64,
    claimed: AtomicU64,
    learnt: AtomicU64,
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
        Self::with(network, through, lie, Pretence::of_blob(network, content)).await
    }

    /// Joins the network through the peer at `through` and announces the directory `tree`. Its manifest it serves as it is;
    /// it pretends to be fetching the files itself, claims to have some of them, and lies about those.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or nobody acknowledges its announcement.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the liar out of the network.
    pub async fn of_directory(
        network: &NetworkName,
        through: &Multiaddr,
        (lie, claim): (Lie, Claim),
        tree: &Path,
    ) -> Result<Self> {
        let directory = Directory::read(tree)?;
        Self::with(network, through, lie, Pretence::of_directory(network, &directory, claim)).await
    }

    async fn with(network: &NetworkName, through: &Multiaddr, lie: Lie, pretence: Pretence) -> Result<Self> {
        let mut swarm = swarm(network)?;
        swarm.listen_on("/memory/0".parse()?)?;
        swarm.dial(through.clone())?;
        swarm.behaviour_mut().dht.announce(ANNOUNCEMENT, &[pretence.key()], ANNOUNCED_FOR);
        let peer = *swarm.local_peer_id();
        let counts = Arc::new(Counts::default());
        let (announced, mut acknowledged) = watch::channel(0);
        let (listens, mut address) = watch::channel(None);
        let member = Member {
            swarm,
            pretence,
            lie,
            counts: counts.clone(),
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
        Ok(Self { peer, address, counts, _task: task })
    }

    /// Where it can be dialled.
    pub fn address(&self) -> &Multiaddr {
        &self.address
    }

    /// How often it was told the digest of the content, which it would not have known if it were what it seems to be.
    pub fn learnt(&self) -> u64 {
        self.counts.learnt.load(Ordering::Relaxed)
    }

    /// Its name in the network.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// How many requests it has answered with its lie.
    pub fn told(&self) -> u64 {
        self.counts.told.load(Ordering::Relaxed)
    }

    /// How often it has claimed to have files of its directory.
    pub fn claimed(&self) -> u64 {
        self.counts.claimed.load(Ordering::Relaxed)
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
    pretence: Pretence,
    lie: Lie,
    counts: Arc<Counts>,
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
            have::Request::Have(have::Have { key }) => {
                let holding = self.pretence.by_key(key).map(|(blob, part)| {
                    let size = self.claimed_size(blob);
                    let ranges = GroupRanges::all(Tree::new(size).groups());
                    let asked = self.counts.claimed.load(Ordering::Relaxed);
                    let files = self.pretence.files(asked).filter(|_| part == Part::Root);
                    self.counts.claimed.fetch_add(u64::from(files.is_some()), Ordering::Relaxed);
                    Holding { size, ranges, complete: true, name: None, files }
                });
                have::Response::Answer(Answer { holding, others: Vec::new() })
            }
            have::Request::BadGroup { .. } => have::Response::Ack,
        }
    }

    fn claimed_size(&self, blob: &Blob) -> u64 {
        match self.lie {
            Lie::ClaimsSize(size) => size,
            _ => blob.size(),
        }
    }

    fn serve(&mut self, request: &wire::Request, channel: ResponseChannel<Reply>) {
        let mut reply = Reply::empty();
        for want in &request.wants {
            let found = match &want.name {
                wire::Name::Digest(named) => self.pretence.by_digest(named),
                wire::Name::Key { key, .. } => self.pretence.by_key(key),
            };
            reply = reply.and(match found {
                None => Reply::nothing(),
                Some((blob, Part::Root | Part::Page)) => {
                    Reply::whole(blob.size(), &blob.response(Tree::new(blob.size()), &want.ranges))
                }
                Some((blob, Part::Content)) => {
                    let is_learnt = matches!(want.name, wire::Name::Digest(_));
                    self.counts.learnt.fetch_add(u64::from(is_learnt), Ordering::Relaxed);
                    self.counts.told.fetch_add(1, Ordering::Relaxed);
                    self.lie_about(blob, &want.ranges)
                }
            });
        }
        // The asker may have left.
        drop(self.swarm.behaviour_mut().ranges.send_response(channel, reply));
    }

    fn lie_about(&self, blob: &Blob, wanted: &GroupRanges) -> Reply {
        let size = self.claimed_size(blob);
        let mut body = blob.response(Tree::new(size), wanted);
        match self.lie {
            Lie::ClaimsSize(_) | Lie::AnswersNoQuestion => Reply::whole(size, &body),
            Lie::FlipsBit => {
                // The last byte belongs to a group, not to the hashes above.
                if let Some(last) = body.last_mut() {
                    *last ^= 1;
                }
                Reply::whole(size, &body)
            }
            Lie::HangsAfter(times) if self.counts.told.load(Ordering::Relaxed) <= times => {
                Reply::whole(size, &body)
            }
            Lie::Hangs | Lie::HangsAfter(_) => Reply::silence(),
            Lie::NeverEnds => Reply::endless(size, &body),
            Lie::HasNothing => Reply::nothing(),
            Lie::Trickles(per_second) => Reply::slow(size, &body, per_second),
        }
    }
}
