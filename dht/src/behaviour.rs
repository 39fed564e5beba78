//! The façade: both overlays and the neighbours, as one behaviour.

mod keeping;
mod wiring;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use futures_timer::Delay;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, identify};
use shoal_content::ProviderKey;

use crate::config::Config;
use crate::event::Event;
use crate::lookup::{LookupId, Lookups};
use crate::neighbours::Neighbours;
use crate::neighbours::ears::Ears;
use crate::overlay::Overlay;
use crate::position::K;
use crate::provide::own::SharedKeys;
use crate::provide::{AnnounceId, Clock, Marks, OwnKey, Task, WithdrawalId};
use crate::record_store::MAX_AGE;
use crate::scope::Scope;
use crate::stats::{OverlayStats, Stats};
use crate::tally::Tally;

/// Deadlines, renewals and expiry are this exact. A shorter tick would only wake an idle machine.
const TICK: Duration = Duration::from_secs(1);

/// Answers after which a walk is not repeated because the table grew meanwhile: those of a full walk.
const ENOUGH: usize = K;

/// The shortest life of an announcement. Renewed at half of it, a shorter one would be told all the time.
const MIN_TTL: Duration = Duration::from_secs(60);

/// Multicast DNS does not work here; everything else does.
#[derive(Debug, thiserror::Error)]
#[error("cannot look for neighbours by multicast dns")]
pub struct MdnsError(#[from] io::Error);

/// Finds providers and tells that we are one, in every scope at once.
///
/// The node owns the swarm and calls the methods between polls.
///
/// ```
/// use libp2p::identity::Keypair;
/// use shoal_content::{Digest, NetworkName, ProviderKey};
/// use shoal_dht::{Behaviour, Config, Defences, Limits, LookupId, Scopes};
///
/// let config = Config {
///     network: NetworkName::default(),
///     keypair: Keypair::generate_ed25519(),
///     scopes: Scopes::Both,
///     mdns: false,
///     limits: Limits::default(),
///     defences: Defences::ALL,
/// };
/// let (mut dht, _) = Behaviour::new(&config);
/// // In a swarm it would now tell `Event::Found` for each provider, and `Event::LookupEnded` at the end.
/// dht.find(LookupId(1), ProviderKey::derive(&config.network, &Digest::of(b"hello")));
/// ```
pub struct Behaviour {
    inner: Inner,
    lookups: Lookups,
    tally: Tally,
    neighbours: Neighbours,
    withdrawals: u64,
    /// Our own keys, which the overlays share.
    keys: SharedKeys,
    /// How far telling of them has come, as it was written last.
    marks: Marks,
    events: VecDeque<Event>,
    /// One [`Event::TableChanged`] stands for all changes of a turn.
    table_changed: bool,
    timer: Delay,
    waker: Option<Waker>,
    /// The last dial that we asked for.
    last_dial: Option<ConnectionId>,
    dials_now: Arc<AtomicBool>,
}

#[derive(NetworkBehaviour)]
pub struct Inner {
    lan: Toggle<Overlay>,
    wan: Toggle<Overlay>,
    mdns: Toggle<Ears>,
}

impl Behaviour {
    /// Makes a behaviour that knows nobody. Multicast DNS may be forbidden where it runs; then it goes
    /// without, and says so.
    pub fn new(config: &Config) -> (Self, Option<MdnsError>) {
        let now = Instant::now();
        let (keys, clock) = (SharedKeys::default(), Clock::new(now, SystemTime::now()));
        let overlay = |scope| {
            let takes_part = config.scopes.contains(scope);
            Toggle::from(takes_part.then(|| Overlay::new(scope, config, keys.clone(), clock, now)))
        };
        let wants_mdns = config.mdns && config.scopes.contains(Scope::Lan);
        let heard = wants_mdns.then(|| Ears::new(config.keypair.public().to_peer_id()));
        let (mdns, error) = match heard.transpose() {
            Ok(mdns) => (mdns, None),
            Err(error) => (None, Some(MdnsError(error))),
        };
        let inner = Inner { lan: overlay(Scope::Lan), wan: overlay(Scope::Wan), mdns: mdns.into() };
        let behaviour = Self {
            inner,
            lookups: Lookups::new(config.limits.lookups, config.limits.lookup_deadline),
            tally: Tally::default(),
            neighbours: Neighbours::default(),
            withdrawals: 0,
            keys: keys.clone(),
            marks: Marks::default(),
            events: VecDeque::new(),
            table_changed: false,
            timer: Delay::new(TICK),
            waker: None,
            last_dial: None,
            dials_now: Arc::default(),
        };
        (behaviour, error)
    }

    /// Tells whether the dial that the swarm asks its transport for just now is one of ours: a question follows, and no
    /// long answer.
    pub fn dials_now(&self) -> Arc<AtomicBool> {
        self.dials_now.clone()
    }

    /// Takes what identify learned about a peer over the connection to `connected_over`.
    ///
    /// This is what fills the tables: a peer that serves an overlay joins it with those of its addresses
    /// that belong there, and one that does not leaves it.
    pub fn identified(&mut self, peer: PeerId, info: &identify::Info, connected_over: &Multiaddr) {
        for overlay in self.overlays() {
            overlay.identified(peer, &info.protocols, &info.listen_addrs, connected_over);
        }
        self.wake();
    }

    /// Sets where this node listens and where the internet is known to reach it.
    ///
    /// Private and loopback ones are told in `lan`, and only `external` ones that are global in `wan`.
    pub fn set_own_addresses(&mut self, listen: &[Multiaddr], external: &[Multiaddr]) {
        let now = Instant::now();
        for overlay in self.overlays() {
            overlay.set_own_addresses(listen, external, now);
        }
        self.wake();
    }

    /// Adds a peer that our own user or our own notes vouch for. It stays in a table when it answers.
    ///
    /// Names are not resolved here: dial them, and [`Behaviour::identified`] does the rest.
    pub fn add_known_peer(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        for overlay in self.overlays() {
            overlay.add_known_peer(peer, addresses);
        }
        self.wake();
    }

    /// Meets more of the network now. It happens by itself when a table gains peers, and every few minutes.
    pub fn bootstrap(&mut self) {
        let now = Instant::now();
        for overlay in self.overlays() {
            overlay.bootstrap(now);
        }
        self.wake();
    }

    /// Announces keys, and keeps announcing them until they are withdrawn.
    ///
    /// Each announcement holds for `ttl`, within a minute and two days; announcing a key again changes its
    /// `ttl`. Without peers or addresses it waits for them. [`Event::Announced`] tells how it goes.
    pub fn announce(&mut self, id: AnnounceId, keys: &[ProviderKey], ttl: Duration) {
        let ttl = ttl.clamp(MIN_TTL, MAX_AGE);
        let can_now = self.overlays().any(|overlay| overlay.can_announce());
        let task = Task::Announce(id);
        for overlay in self.overlays() {
            overlay.announce(task, keys, ttl);
            // Nobody waits for a scope without peers while another one has them.
            if can_now && !overlay.can_announce() {
                overlay.unwatch(task);
            }
        }
        self.wake();
    }

    /// Lets an announcement go on without anybody who waits for it: then it takes its turn, and costs less.
    pub fn unwatch(&mut self, id: AnnounceId) {
        for overlay in self.overlays() {
            overlay.unwatch(Task::Announce(id));
        }
        self.wake();
    }

    /// Keeps keys announced as [`Behaviour::announce`] does, without haste and without a word: what a node that starts
    /// has to announce again must not hold up what its user announces now. Keys that are announced already are not told
    /// before it is time for it, and then all for `ttl`.
    pub fn keep_announced(&mut self, keys: &[OwnKey], ttl: Duration) {
        let now = Instant::now();
        for overlay in self.overlays() {
            overlay.keep_announced(keys, ttl.clamp(MIN_TTL, MAX_AGE), now);
        }
        self.wake();
    }

    /// Our own keys, unless there are more than `max`.
    pub fn own_keys(&self, max: usize) -> Option<Vec<ProviderKey>> {
        let keys: Vec<_> = self.keys.lock().all().take(max.saturating_add(1)).collect();
        (keys.len() <= max).then_some(keys)
    }

    /// Stops announcing keys, and tells the nodes known to hold their records. Ends with
    /// [`Event::Withdrawn`].
    pub fn withdraw(&mut self, keys: &[ProviderKey]) -> WithdrawalId {
        self.withdrawals += 1;
        let id = WithdrawalId(self.withdrawals);
        let now = Instant::now();
        for overlay in self.overlays() {
            overlay.withdraw(Task::Withdraw(id), keys, now);
        }
        self.wake();
        id
    }

    /// Looks for providers of a key, from what we hold ourselves outwards. Ends with
    /// [`Event::LookupEnded`].
    pub fn find(&mut self, id: LookupId, key: ProviderKey) {
        let inner = &self.inner;
        let scopes = [(Scope::Lan, &inner.lan), (Scope::Wan, &inner.wan)];
        let scopes = scopes.into_iter().filter(|(_, overlay)| overlay.is_enabled()).map(|(scope, _)| scope);
        self.lookups.find(id, key, scopes);
        let now = Instant::now();
        let held: Vec<_> = self.overlays().flat_map(|overlay| overlay.recall(&key, now)).collect();
        for (provider, addresses) in held {
            self.on_found(id, provider, addresses, 0);
        }
        self.wake();
    }

    /// Ends a lookup whose caller has enough.
    pub fn stop_find(&mut self, id: LookupId) {
        self.lookups.stop(id);
        self.wake();
    }

    /// Whether this node holds a record, in any scope, that says that a stranger provides a key.
    pub fn holds(&mut self, key: &ProviderKey, provider: &PeerId) -> bool {
        let now = Instant::now();
        self.overlays().any(|overlay| overlay.holds(key, provider, now))
    }

    /// Everybody in the routing tables, with their addresses.
    pub fn table(&mut self) -> Vec<(Scope, PeerId, Vec<Multiaddr>)> {
        let of = |overlay: &mut Overlay| {
            let scope = overlay.scope();
            overlay.table().into_iter().map(move |(peer, addresses)| (scope, peer, addresses))
        };
        self.overlays().flat_map(of).collect()
    }

    /// Numbers for a status page.
    pub fn stats(&mut self) -> Stats {
        let mut stats = Stats { lookups: self.lookups.len(), ..Stats::default() };
        for overlay in self.overlays() {
            match overlay.scope() {
                Scope::Lan => stats.lan_peers = overlay.peers(),
                Scope::Wan => stats.wan_peers = overlay.peers(),
            }
            stats.records += overlay.records();
            stats.own_keys = stats.own_keys.max(overlay.backlog().keys);
        }
        stats
    }

    /// How each overlay is doing.
    pub fn diagnose(&mut self) -> Vec<OverlayStats> {
        let now = Instant::now();
        self.overlays().map(|overlay| overlay.stats(now)).collect()
    }

    fn overlays(&mut self) -> impl Iterator<Item = &mut Overlay> {
        self.inner.lan.as_mut().into_iter().chain(self.inner.wan.as_mut())
    }

    fn overlay(&mut self, scope: Scope) -> Option<&mut Overlay> {
        match scope {
            Scope::Lan => self.inner.lan.as_mut(),
            Scope::Wan => self.inner.wan.as_mut(),
        }
    }

    /// The methods change what the next poll does; the swarm may be asleep.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn on_found(&mut self, id: LookupId, provider: PeerId, addresses: Vec<Multiaddr>, hops: u8) {
        if let Some(addresses) = self.lookups.found(id, provider, addresses, hops) {
            self.events.push_back(Event::Found { id, provider, addresses });
        }
    }
}
