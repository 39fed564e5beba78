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

/// How long a peer that did not answer over TCP is not dialled so again. Without it each stream to it would dial.
const AGAIN: Duration = Duration::from_secs(60);

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

/// A dial over TCP to a peer that is connected over QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Beside {
    #[default]
    None,
    /// Streams wait for it.
    Awaited(ConnectionId),
    /// It has taken too long for that.
    Late(ConnectionId),
    Failed(Instant),
}

impl Beside {
    /// Notes that nobody waits for it any longer.
    pub(super) fn is_late(&mut self) {
        if let Self::Awaited(id) = *self {
            *self = Self::Late(id);
        }
    }

    fn may_try(self, now: Instant) -> bool {
        match self {
            Self::None => true,
            Self::Awaited(_) | Self::Late(_) => false,
            Self::Failed(at) => now.saturating_duration_since(at) >= AGAIN,
        }
    }
}

impl Peer {
    pub(super) fn best_path(&self) -> Option<Path> {
        self.connections.iter().map(|connection| connection.path).max()
    }

    /// Notes the end of a dial that was made for a stream. It tried TCP first, so where it led to QUIC there is no other way.
    pub(super) fn connected_by_us(&mut self, now: Instant) {
        if self.connections.last().is_some_and(|last| last.path == Path::Quic) {
            self.beside = Beside::Failed(now);
        }
    }

    /// Lets all streams know which connections are the best by now.
    pub(super) fn rank(&mut self) {
        let Some(best) = self.best_path() else { return };
        for connection in &self.connections {
            connection.slots.outdo(connection.path < best);
        }
        if best == Path::Best {
            self.beside = Beside::None;
        }
    }

    /// Whether a stream had better wait than be opened on this connection, which is the best one.
    pub(super) fn is_worth_waiting(&self, connection: &Connection) -> bool {
        matches!(self.beside, Beside::Awaited(_)) && connection.slots.used() > 0
    }

    /// Notes those addresses over TCP that lead to a machine where the peer is known to be. Others may lead anywhere.
    pub(super) fn learn(&mut self, addresses: &[Multiaddr]) {
        for address in addresses.iter().filter(|address| is_tcp(address)) {
            if self.tcp.len() < MAX_ADDRESSES && self.is_at(address) && !self.tcp.contains(address) {
                self.tcp.push(address.clone());
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
        self.beside = Beside::Awaited(opts.connection_id());
        Some(opts)
    }

    /// Notes that a dial failed, which may be that one.
    pub(super) fn not_beside(&mut self, connection: ConnectionId, now: Instant) {
        if matches!(self.beside, Beside::Awaited(id) | Beside::Late(id) if id == connection) {
            self.beside = Beside::Failed(now);
        }
    }
}

fn is_tcp(address: &Multiaddr) -> bool {
    let mut parts = address.iter().skip(1);
    matches!(parts.next(), Some(Protocol::Tcp(_))) && matches!(parts.next(), None | Some(Protocol::P2p(_)))
}

/// The machine that an address names.
pub(super) fn machine(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}
