//! Moves long answers to TCP where the overlay has connected over QUIC, which is slower and takes more work.
//!
//! The first stream is opened on what is there, so the first byte comes as soon as it can. Beside it the peer is dialled
//! over TCP, and what is opened meanwhile waits for that, for a moment at most. Requests on streams that are open go to
//! the better connection when they come to their end.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::{Connection, Peer};

/// How long a stream waits for a better connection, where there is another one. A handshake over TCP takes two round
/// trips; where it is dropped without a word, a transfer begins so much later.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How long a peer that did not answer over TCP is not dialled so again, the first time. Without it each stream to it would
/// dial.
const AGAIN: Duration = Duration::from_secs(60);

/// How often that time doubles at most: to an hour.
const MAX_DOUBLINGS: u32 = 6;

/// A connection that ends sooner was not wanted: a peer that has too many can say so only after the handshake. One that is
/// idle lives longer.
const EARLY: Duration = Duration::from_secs(5);

/// Addresses that are dialled beside a connection: one machine, of which a port or two may be told.
const MAX_ADDRESSES: usize = 4;

/// What leads to a peer, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    Relayed,
    Quic,
    /// Whatever has nothing better.
    Best,
}

impl Path {
    pub(super) fn of(endpoint: &ConnectedPoint) -> Self {
        if endpoint.is_relayed() {
            Self::Relayed
        } else if endpoint.get_remote_address().iter().any(|part| part == Protocol::QuicV1) {
            Self::Quic
        } else {
            Self::Best
        }
    }
}

/// A dial over TCP to a peer that is connected over QUIC, and what became of those before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    under_way: Option<ConnectionId>,
    /// Whether streams wait for it: not where it failed before, nor where it takes too long.
    is_awaited: bool,
    /// Dials in a row that led to nothing.
    failures: u32,
    /// When the next one may be made.
    not_before: Option<Instant>,
}

impl Beside {
    fn may_try(&self, now: Instant) -> bool {
        self.under_way.is_none() && self.not_before.is_none_or(|at| at <= now)
    }

    fn begin(&mut self, dial: ConnectionId) {
        self.under_way = Some(dial);
        self.is_awaited = self.failures == 0;
    }

    /// Notes that nobody waits for it any longer.
    pub(super) fn is_late(&mut self) {
        self.is_awaited = false;
    }

    /// Notes that the peer is connected over TCP.
    fn connected(&mut self) {
        self.under_way = None;
        self.is_awaited = false;
    }

    fn fail(&mut self, now: Instant) {
        self.under_way = None;
        self.is_awaited = false;
        self.not_before = Some(now + AGAIN * 2_u32.pow(self.failures.min(MAX_DOUBLINGS)));
        self.failures = self.failures.saturating_add(1);
    }
}

impl Peer {
    pub(super) fn best_path(&self) -> Option<Path> {
        self.connections.iter().map(|connection| connection.path).max()
    }

    /// Notes the end of a dial that was made for a stream. It tried TCP first: where it led to QUIC, nothing waits for TCP.
    pub(super) fn connected_by_us(&mut self) {
        if self.connections.last().is_some_and(|last| last.path == Path::Quic) {
            self.beside.failures = self.beside.failures.max(1);
        }
    }

    /// Notes the end of a connection that is not in the list any more.
    pub(super) fn lost(&mut self, lost: &Connection, now: Instant) {
        if lost.path != Path::Best || self.best_path() == Some(Path::Best) {
            return;
        }
        if now.saturating_duration_since(lost.since) < EARLY {
            self.beside.fail(now);
        } else {
            self.beside = Beside::default();
        }
    }

    /// Lets all streams know which connections are the best by now.
    pub(super) fn rank(&mut self) {
        let Some(best) = self.best_path() else { return };
        for connection in &self.connections {
            connection.slots.outdo(connection.path < best);
        }
        if best == Path::Best {
            self.beside.connected();
        }
    }

    /// Whether a stream had better wait than be opened on this connection, which is the best one.
    pub(super) fn is_worth_waiting(&self, connection: &Connection) -> bool {
        self.beside.is_awaited && connection.slots.used() > 0
    }

    /// Notes those addresses over TCP that lead to a machine where the peer is known to be. Others may lead anywhere.
    pub(super) fn learn(&mut self, addresses: &[Multiaddr]) {
        for address in addresses.iter().filter_map(over_tcp) {
            if self.tcp.len() < MAX_ADDRESSES && self.is_at(&address) && !self.tcp.contains(&address) {
                self.tcp.push(address);
            }
        }
    }

    fn is_at(&self, address: &Multiaddr) -> bool {
        let there = machine(address);
        there.is_some() && self.connections.iter().any(|connection| connection.machine == there)
    }

    /// A dial over TCP, if streams are open or wanted and QUIC is all there is for them.
    pub(super) fn dial_beside(&mut self, id: PeerId, now: Instant) -> Option<DialOpts> {
        let is_used = self.connections.iter().any(|connection| connection.slots.used() > 0);
        if self.best_path() != Some(Path::Quic) || !is_used || !self.beside.may_try(now) {
            return None;
        }
        let addresses: Vec<_> = self.tcp.iter().filter(|address| self.is_at(address)).cloned().collect();
        if addresses.is_empty() {
            return None;
        }
        let opts = DialOpts::peer_id(id).condition(PeerCondition::Always).addresses(addresses).build();
        self.beside.begin(opts.connection_id());
        Some(opts)
    }

    /// Notes that a dial failed, which may be that one.
    pub(super) fn not_beside(&mut self, connection: ConnectionId, now: Instant) {
        if self.beside.under_way == Some(connection) {
            self.beside.fail(now);
        }
    }
}

/// An address over TCP, without the peer's id.
fn over_tcp(address: &Multiaddr) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let (machine, Some(port @ Protocol::Tcp(_))) = (parts.next()?, parts.next()) else { return None };
    matches!(parts.next(), None | Some(Protocol::P2p(_))).then(|| Multiaddr::empty().with(machine).with(port))
}

/// The machine that an address names.
pub(super) fn machine(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}
