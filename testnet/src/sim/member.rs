//! One node of a simulated network: a task that drives a swarm, and the handle to it.
//!
//! What the node is made of is a [`Behave`]: Shoal's own behaviour, the stock one beside it, or an attacker.

pub(crate) mod attacker;
pub(crate) mod shoal;
pub(crate) mod stock;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use libp2p::core::upgrade::Version;
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
    },
    identity::Keypair,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
};
use shoal_content::ProviderKey;
use shoal_dht::OwnKey;
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};

use super::wire::{Death, Host, Internet, Transport};

/// As the node: a connection without streams is kept this long.
const IDLE_CONNECTION: Duration = Duration::from_secs(10);

/// As the node: a handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Commands that wait for a node.
const COMMANDS: usize = 64;

/// What a swarm dials and listens with.
pub(crate) type Wires = Boxed<(PeerId, StreamMuxerBox)>;

/// What a simulation asks of a node's behaviour, whatever it is.
pub(crate) trait Behave: NetworkBehaviour + Sized + Send + 'static {
    /// What it notes about the work it was given.
    type Books: Default + Send;

    /// How its streams agree on a protocol.
    const NEGOTIATION: Version;

    /// For how long it keeps a connection without streams.
    const IDLE: Duration = IDLE_CONNECTION;

    /// The behaviour of the node with this identity, which will listen at `address`.
    fn new(key: &Keypair, address: &Multiaddr) -> Self;

    /// What stands between it and its transport.
    fn wrap(_: &Self::Books, transport: Wires) -> Wires {
        transport
    }

    /// The node listens at `address`.
    fn listens(swarm: &mut Swarm<Self>, books: &Self::Books, address: &Multiaddr);

    /// Takes an event of its own; what it means for those who wait goes to `told`.
    fn on_event(
        swarm: &mut Swarm<Self>,
        books: &mut Self::Books,
        event: Self::ToSwarm,
        over: impl Fn(ConnectionId) -> Option<Multiaddr>,
        told: &mut Vec<Told>,
    );

    /// Begins a lookup.
    fn find(&mut self, books: &mut Self::Books, id: u64, key: ProviderKey);

    /// Begins an announcement.
    fn announce(&mut self, books: &mut Self::Books, id: u64, keys: &[ProviderKey], told: &mut Vec<Told>);

    /// Peers in the routing table.
    fn table(&mut self, books: &Self::Books) -> Vec<PeerId>;

    /// Takes peers into its routing table that it has not met, as far as there is room.
    fn acquaint(&mut self, _: &mut Self::Books, _: &[(PeerId, Multiaddr)]) {}

    /// Keeps keys announced that are the node's own since a second, with nobody who waits for it.
    fn keep(&mut self, _: &[OwnKey], _: Duration) {}

    /// How far keeping them announced has come, for a later life of the node.
    fn progress(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Whether it holds a record that says that `provider` has the key.
    fn holds(&mut self, key: &ProviderKey, provider: &PeerId) -> bool;
}

/// What a behaviour tells about the work it was given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    Found { id: u64, provider: PeerId },
    Ended { id: u64, hops: Option<u32> },
    Announced { id: u64, asked: usize, acknowledged: usize, done: bool, over: bool },
}

/// How a lookup went.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// When the wanted provider was first named, and how many requests had been sent until then.
    pub(crate) first: Option<(Duration, u64)>,
    pub(crate) ended: Duration,
    /// Requests that the node sent from beginning to end.
    pub(crate) sent: u64,
    /// The longest chain of answers that led to the end, where the behaviour tells it.
    pub(crate) hops: Option<u32>,
}

/// How an announcement went.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) acknowledged: usize,
    /// Until the first nodes to tell were known.
    pub(crate) chosen: Option<Duration>,
    /// Until as many had answered as was waited for.
    pub(crate) ended: Duration,
}

/// How long an announcement is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Most nodes that were told have acknowledged it.
    Done,
    /// Every one of them has answered, or was given up.
    Over,
}

enum Command {
    Dial(Multiaddr),
    Acquaint(Vec<(PeerId, Multiaddr)>),
    Find { key: ProviderKey, wanted: PeerId, reply: oneshot::Sender<Search> },
    Announce { keys: Vec<ProviderKey>, until: Until, reply: oneshot::Sender<Publication> },
    Held { keys: Arc<[ProviderKey]>, provider: PeerId, reply: oneshot::Sender<Vec<bool>> },
    Keep { keys: Vec<OwnKey>, ttl: Duration },
    Progress(oneshot::Sender<Option<Vec<u8>>>),
    Table(oneshot::Sender<Vec<PeerId>>),
}

/// The handle to a node.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) host: Arc<Host>,
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
}

impl Member {
    /// Starts a node made of `behaviour` and `books`, who it is and where it lives.
    pub(crate) fn start<B: Behave>(
        (behaviour, books): (B, B::Books),
        internet: &Arc<Internet>,
        (peer, address): (PeerId, &Multiaddr),
        tasks: &mut JoinSet<()>,
    ) -> Result<Self> {
        let host = internet.settle(peer, address.clone());
        let transport = Transport::new(internet.clone(), host.clone());
        let transport = TransportTimeout::new(transport, HANDSHAKE)
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
            .boxed();
        let transport = B::wrap(&books, transport);
        // Connections run in the task of their node: thousands of nodes, and not a hundred thousand tasks.
        let config = libp2p::swarm::Config::without_executor()
            .with_idle_connection_timeout(B::IDLE)
            .with_substream_upgrade_protocol_override(B::NEGOTIATION);
        let mut swarm = Swarm::new(transport, behaviour, peer, config);
        swarm.listen_on(address.clone()).map_err(|error| anyhow!("{address}: {error}"))?;
        B::listens(&mut swarm, &books, address);
        let (sender, commands) = mpsc::channel(COMMANDS);
        let driver = Driver { swarm, books, host: host.clone(), over: HashMap::new(), work: Work::default() };
        let task = tasks.spawn(driver.run(commands));
        Ok(Self { host, commands: sender, task })
    }

    /// Ends the node without a word.
    pub(crate) fn kill(&self, how: Death) {
        self.host.die(how);
        self.task.abort();
    }

    /// Where it can be dialled.
    pub(crate) fn address(&self) -> Multiaddr {
        self.host.address.clone().with_p2p(self.host.peer).unwrap_or_else(|named| named)
    }

    pub(crate) async fn dial(&self, other: &Self) -> Result<()> {
        self.send(Command::Dial(other.address())).await
    }

    /// Tells it of others, as if it had met them.
    pub(crate) async fn acquaint(&self, others: Vec<(PeerId, Multiaddr)>) -> Result<()> {
        self.send(Command::Acquaint(others)).await
    }

    /// Looks `key` up to the end, and notes when `wanted` was found.
    pub(crate) async fn find(&self, key: ProviderKey, wanted: PeerId) -> Result<Search> {
        self.ask(|reply| Command::Find { key, wanted, reply }).await
    }

    pub(crate) async fn announce(&self, keys: Vec<ProviderKey>) -> Result<Publication> {
        self.ask(|reply| Command::Announce { keys, until: Until::Done, reply }).await
    }

    /// Announces keys, and waits for the last of those who are told.
    pub(crate) async fn announce_to_the_last(&self, keys: Vec<ProviderKey>) -> Result<Publication> {
        self.ask(|reply| Command::Announce { keys, until: Until::Over, reply }).await
    }

    /// Keeps keys announced, for so long at a time.
    pub(crate) async fn keep(&self, keys: Vec<OwnKey>, ttl: Duration) -> Result<()> {
        self.send(Command::Keep { keys, ttl }).await
    }

    /// How far that has come.
    pub(crate) async fn progress(&self) -> Result<Option<Vec<u8>>> {
        self.ask(Command::Progress).await
    }

    /// Which of the keys the node holds a record of, by this provider.
    pub(crate) async fn held(&self, keys: Arc<[ProviderKey]>, provider: PeerId) -> Result<Vec<bool>> {
        self.ask(|reply| Command::Held { keys, provider, reply }).await
    }

    pub(crate) async fn table(&self) -> Result<Vec<PeerId>> {
        self.ask(Command::Table).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.context("the node died")
    }

    async fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| anyhow!("the node is dead"))
    }
}

/// The work of a node that somebody waits for.
#[derive(Default)]
struct Work {
    last_id: u64,
    searches: HashMap<u64, Searching>,
    announcements: HashMap<u64, Announcing>,
}

struct Searching {
    wanted: PeerId,
    began: Instant,
    /// Requests that the host had sent before.
    before: u64,
    first: Option<(Duration, u64)>,
    reply: oneshot::Sender<Search>,
}

struct Announcing {
    began: Instant,
    chosen: Option<Duration>,
    until: Until,
    reply: oneshot::Sender<Publication>,
}

impl Work {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// `sent`: requests that the host has sent so far.
    fn told(&mut self, told: Told, sent: u64) {
        match told {
            Told::Found { id, provider } => {
                let Some(search) = self.searches.get_mut(&id) else { return };
                if provider == search.wanted && search.first.is_none() {
                    search.first = Some((search.began.elapsed(), sent - search.before));
                }
            }
            Told::Ended { id, hops } => {
                let Some(search) = self.searches.remove(&id) else { return };
                let Searching { began, before, first, reply, .. } = search;
                let ended = began.elapsed();
                // Whoever asked may have stopped waiting.
                drop(reply.send(Search { first, ended, sent: sent - before, hops }));
            }
            Told::Announced { id, asked, acknowledged, done, over } => {
                let Some(announcing) = self.announcements.get_mut(&id) else { return };
                if asked > 0 {
                    announcing.chosen.get_or_insert_with(|| announcing.began.elapsed());
                }
                let ends = if announcing.until == Until::Done { done } else { over };
                if ends && let Some(announcing) = self.announcements.remove(&id) {
                    let Announcing { began, chosen, reply, .. } = announcing;
                    drop(reply.send(Publication { acknowledged, chosen, ended: began.elapsed() }));
                }
            }
        }
    }
}

struct Driver<B: Behave> {
    swarm: Swarm<B>,
    books: B::Books,
    host: Arc<Host>,
    over: HashMap<ConnectionId, Multiaddr>,
    work: Work,
}

impl<B: Behave> Driver<B> {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut told = Vec::new();
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command, &mut told),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.on_event(event, &mut told),
            }
            for told in told.drain(..) {
                self.work.told(told, self.host.counts.overlay());
            }
        }
    }

    fn on_command(&mut self, command: Command, told: &mut Vec<Told>) {
        match command {
            // A dial that cannot even begin ends like one that fails: the node stays alone, and that shows.
            Command::Dial(address) => drop(self.swarm.dial(address)),
            Command::Acquaint(others) => self.swarm.behaviour_mut().acquaint(&mut self.books, &others),
            Command::Find { key, wanted, reply } => {
                let id = self.work.next_id();
                let before = self.host.counts.overlay();
                let began = Instant::now();
                let search = Searching { wanted, began, before, first: None, reply };
                self.work.searches.insert(id, search);
                self.swarm.behaviour_mut().find(&mut self.books, id, key);
            }
            Command::Announce { keys, until, reply } => {
                let id = self.work.next_id();
                let announcing = Announcing { began: Instant::now(), chosen: None, until, reply };
                self.work.announcements.insert(id, announcing);
                self.swarm.behaviour_mut().announce(&mut self.books, id, &keys, told);
            }
            Command::Held { keys, provider, reply } => {
                let behaviour = self.swarm.behaviour_mut();
                drop(reply.send(keys.iter().map(|key| behaviour.holds(key, &provider)).collect()));
            }
            Command::Keep { keys, ttl } => self.swarm.behaviour_mut().keep(&keys, ttl),
            Command::Progress(reply) => drop(reply.send(self.swarm.behaviour_mut().progress())),
            Command::Table(reply) => drop(reply.send(self.swarm.behaviour_mut().table(&self.books))),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<B::ToSwarm>, told: &mut Vec<Told>) {
        match event {
            SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } => {
                self.over.insert(connection_id, endpoint.get_remote_address().clone());
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                self.over.remove(&connection_id);
            }
            SwarmEvent::Behaviour(event) => {
                let over = |connection| self.over.get(&connection).cloned();
                B::on_event(&mut self.swarm, &mut self.books, event, over, told);
            }
            _ => {}
        }
    }
}
