//! One overlay on the wire: its table, walks, announcements and answers, kept within their scope.
//!
//! Owns: the routing table, the records, the announcer, the searches.  Hears: what the swarm and strangers say,
//! keys to find, announce and withdraw.  Tells: providers found, searches ended, how announcements go.
//! Invariant: of the addresses that strangers tell, only those of this scope are stored, handed on or
//! dialled, and these protocols are not spoken on a connection from outside the scope.

mod anchoring;
mod answering;
mod handing;
mod hearing;
mod keeping;
mod outside;
mod purses;
mod remote;
mod searching;
mod table;
mod wiring;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use futures_timer::Delay;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, OutboundRequestId, ProtocolSupport};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use shoal_content::{NetworkName, ProviderKey};

use crate::absent::Absent;
use crate::anchors::Anchors;
use crate::check::Check;
use crate::codec::{Codec, FindCodec};
use crate::config::{Config, Defence, Defences};
use crate::handing::Handing;
use crate::kademlia::{self, Mode};
use crate::lookup::LookupId;
use crate::pace::{self, Pace};
use crate::position::{K, Node, Position};
use crate::provide::own::SharedKeys;
use crate::provide::{Backlog, Clock, Mark, Note, OwnKey, Provide, Task};
use crate::record_store::RecordStore;
use crate::refresh::Refresh;
use crate::scope::{AddressClass, Scope};
use crate::size::Size;
use crate::stats::OverlayStats;
use crate::stay;
use crate::table::Table;
use crate::under_way::UnderWay;
use crate::walk::Effort;
use outside::Outside;
use purses::Purses;
use remote::Remote;
use searching::Searches;

/// An announcement and its receipt must be through within this.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);

/// Announce streams per connection, both ways. We send one at a time to a peer, and each inbound one may
/// hold a whole message in memory.
const ANNOUNCE_STREAMS: usize = 4;

/// Questions of walks per connection, both ways; further ones wait, and a stranger's are dropped. Sixteen lookups
/// may ask the same node at once.
const FIND_STREAMS: usize = 32;

/// Failed dials in a row after which a peer leaves the table. Every walk that meets a dead peer waits for
/// it; one failure may be a lost packet.
const MAX_DIAL_FAILURES: u8 = 2;

/// How long after a failure a peer of the table is dialled again, to know whether it is gone.
const SECOND_TRY: Duration = Duration::from_secs(5);

/// How often expired records and other leftovers are dropped. Records are not told any more as soon as they
/// expire.
const SWEEP: Duration = Duration::from_secs(60);

/// The protocols of a scope, within it.
pub struct Overlay {
    scope: Scope,
    network: NetworkName,
    keypair: Keypair,
    defences: Defences,
    local: PeerId,
    /// Where we are ourselves.
    position: Position,
    protocols: Protocols,
    table: Table,
    /// Strangers' records.
    records: RecordStore,
    /// Our own keys. They never compete with strangers' records for room.
    keys: SharedKeys,
    /// Where we say that we are.
    own_addresses: Vec<Multiaddr>,
    provide: Provide,
    handing: Handing,
    /// Announcements of others on their way.
    handed: HashSet<OutboundRequestId>,
    searches: Searches,
    pace: Pace,
    absent: Absent,
    size: Size,
    refresh: Refresh,
    check: Check,
    under_way: UnderWay,
    /// Who is to be dialled now.
    dials: VecDeque<Node>,
    anchors: Anchors,
    /// When a full part of the table may take somebody new.
    next_replacement: Instant,
    connections: HashMap<ConnectionId, Remote>,
    outside: Outside,
    purses: Purses,
    dial_failures: HashMap<PeerId, Failures>,
    last_sequence: u64,
    next_sweep: Instant,
    events: VecDeque<Event>,
    /// Rings when somebody is late, or the next search is due.
    alarm: Option<(Instant, Delay)>,
}

/// The behaviours underneath.
#[derive(NetworkBehaviour)]
pub struct Protocols {
    kademlia: kademlia::Behaviour,
    announce: request_response::Behaviour<Codec>,
    find: request_response::Behaviour<FindCodec>,
    stay: stay::Behaviour,
}

/// How often in a row a peer of the table could not be reached, and when last.
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u8,
    last: Instant,
}

/// What an overlay tells the façade.
#[derive(Debug)]
pub enum Event {
    /// A lookup met a provider, so many referrals away.
    Found { id: LookupId, provider: PeerId, addresses: Vec<Multiaddr>, hops: u8 },
    /// What a lookup's search of this overlay cost so far; perhaps it is over.
    Walked { id: LookupId, effort: Effort, over: bool },
    /// A task went on.
    Task(Task, Note),
    /// The routing table gained a peer.
    TableGrew,
    /// The routing table lost a peer, or an address changed.
    TableChanged,
}

impl Overlay {
    /// An overlay that knows nobody. Our own `keys` are shared with the other one.
    pub(crate) fn new(scope: Scope, config: &Config, keys: SharedKeys, clock: Clock, now: Instant) -> Self {
        let local = config.keypair.public().to_peer_id();
        let position = Position::of_peer(&local);
        let mut records = RecordStore::new(position, config.limits.records, config.limits.providers_per_key);
        if !config.defences.include(Defence::FairRecords) {
            records.favour_the_first();
        }
        let mode = match scope {
            Scope::Lan => Mode::Server,
            Scope::Wan => Mode::Client,
        };
        let kademlia = kademlia::Behaviour::new(protocol(&config.network, scope, "kad"), mode);
        let announce = request_response::Behaviour::with_codec(
            Codec::new(config.network.clone(), scope, config.defences),
            [(protocol(&config.network, scope, "announce"), ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(ANNOUNCE_TIMEOUT)
                .with_max_concurrent_streams(ANNOUNCE_STREAMS),
        );
        let find = request_response::Behaviour::with_codec(
            FindCodec,
            [(protocol(&config.network, scope, "find"), ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(pace::LONGEST)
                .with_max_concurrent_streams(FIND_STREAMS),
        );
        let stay = stay::Behaviour::new(protocol(&config.network, scope, "stay"));
        Self {
            scope,
            network: config.network.clone(),
            keypair: config.keypair.clone(),
            defences: config.defences,
            local,
            position,
            protocols: Protocols { kademlia, announce, find, stay },
            table: Table::new(position),
            records,
            keys: keys.clone(),
            own_addresses: Vec::new(),
            provide: Provide::new(scope, keys, clock),
            handing: Handing::new(config.limits.handed_per_second, now),
            handed: HashSet::new(),
            searches: Searches::default(),
            pace: Pace::default(),
            absent: Absent::default(),
            size: Size::default(),
            refresh: Refresh::default(),
            check: Check::default(),
            under_way: UnderWay::new(config.limits.dials, config.limits.connections),
            dials: VecDeque::new(),
            anchors: Anchors::default(),
            next_replacement: now,
            connections: HashMap::new(),
            outside: Outside::new(scope),
            purses: Purses::default(),
            dial_failures: HashMap::new(),
            last_sequence: 0,
            next_sweep: now,
            events: VecDeque::new(),
            alarm: None,
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether there is somebody to ask.
    pub(crate) fn has_peers(&self) -> bool {
        self.peers() > 0
    }

    /// Whether an announcement can be made: there is somebody to tell, and an address to tell.
    pub(crate) fn can_announce(&self) -> bool {
        self.has_peers() && !self.own_addresses.is_empty()
    }

    /// Sets the addresses that we announce.
    ///
    /// A node joins the `wan` table of others only once one of its addresses is known to be reachable.
    pub(crate) fn set_own_addresses(&mut self, listen: &[Multiaddr], external: &[Multiaddr], now: Instant) {
        let own = match self.scope {
            Scope::Lan => self.scope.usable(listen.iter().chain(external), AddressClass::Loopback),
            Scope::Wan => self.scope.usable(external, AddressClass::Loopback),
        };
        if own == self.own_addresses {
            return;
        }
        if self.scope == Scope::Wan {
            self.protocols.kademlia.set_mode(if own.is_empty() { Mode::Client } else { Mode::Server });
        }
        self.provide.set_addresses(&own, now);
        self.own_addresses = own;
        // We are on another network than before, perhaps: old failures say nothing, and neighbours must hear of us.
        self.absent.clear();
        self.refresh.begin_anew(now);
    }

    /// Looks around ourselves now, as a newcomer does.
    pub(crate) fn bootstrap(&mut self, now: Instant) {
        self.refresh.begin_anew(now);
    }

    pub(crate) fn announce(&mut self, task: Task, keys: &[ProviderKey], ttl: Duration) {
        self.provide.announce(task, keys, ttl);
    }

    pub(crate) fn unwatch(&mut self, task: Task) {
        self.provide.unwatch(task);
    }

    pub(crate) fn keep_announced(&mut self, keys: &[OwnKey], ttl: Duration, now: Instant) {
        self.provide.keep(keys, ttl, now);
    }

    pub(crate) fn withdraw(&mut self, task: Task, keys: &[ProviderKey], now: Instant) {
        self.provide.withdraw(task, keys, now);
    }

    pub(crate) fn resume(&mut self, mark: &Mark) {
        self.provide.resume(mark);
    }

    pub(crate) fn all_kept(&mut self) {
        self.provide.all_kept();
    }

    /// How far telling has come.
    pub(crate) fn mark(&mut self, now: Instant) -> Option<Mark> {
        self.provide.mark(now)
    }

    /// What we hold ourselves about a key.
    pub(crate) fn recall(&self, key: &ProviderKey, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.records.sample(key, K, |peer| self.absent.contains(peer, now), now)
    }

    /// Whether we hold a stranger's record of a key.
    pub(crate) fn holds(&self, key: &ProviderKey, provider: &PeerId, now: Instant) -> bool {
        self.records.holds(key, provider, now)
    }

    /// Notes that time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.records.sweep(now);
            self.dial_failures.retain(|peer, _| self.table.contains(peer));
        }
        self.replace(now);
        self.try_again(now);
        self.look_through(now);
        self.fill_places(now);
        self.provide.table_size(self.peers(), now);
        self.provide.tick(now);
    }

    pub(crate) fn peers(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn records(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn backlog(&self) -> Backlog {
        self.provide.backlog()
    }

    pub(crate) fn stats(&mut self, now: Instant) -> OverlayStats {
        let census = self.census();
        let Backlog { keys, waiting, messages, told, last, sent } = self.backlog();
        OverlayStats {
            scope: self.scope,
            peers: census.peers,
            buckets: census.buckets.iter().filter(|held| **held > 0).count(),
            nodes: self.size.nodes(),
            serves: !self.own_addresses.is_empty(),
            records: self.records(),
            keys,
            told,
            waiting,
            messages,
            sent,
            last_told: last.map(|last| now.saturating_duration_since(last)),
        }
    }
}

/// `/shoal/<network>/<scope>/<name>/1`
#[expect(clippy::expect_used, reason = "the only way to be wrong is not to begin with a slash")]
fn protocol(network: &NetworkName, scope: Scope, name: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/shoal/{}/{scope}/{name}/1", network.as_str()))
        .expect("it begins with a slash")
}

#[cfg(test)]
mod tests;
