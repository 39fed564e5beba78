//! Limits connections by the address that they come from.
//!
//! Many identities on one machine are cheap, addresses are not: a limit per peer alone would let one machine take
//! every place. `127.0.0.1` and `::1` are exempt, since a local test network lives behind that one address.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    task::{Context, Poll},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour,
        THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::config::Limits;

/// Addresses remembered. A flood from more of them than this evicts the quietest, which then starts afresh.
const MAX_TRACKED: usize = 4096;

/// What one address has used of its share.
#[derive(Debug, Clone, Copy)]
struct Usage {
    open: u32,
    tokens: f64,
    refilled: Instant,
}

/// Counts connections per address; pure, so that time is an argument.
#[derive(Debug)]
pub(crate) struct Ledger {
    per_ip: u32,
    rate: f64,
    burst: f64,
    usage: HashMap<IpAddr, Usage>,
}

impl Ledger {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            per_ip: limits.per_ip,
            rate: f64::from(limits.per_ip_rate),
            burst: f64::from(limits.per_ip_burst),
            usage: HashMap::new(),
        }
    }

    /// Takes a place for a connection from `ip`; `false` when it has used up its share.
    pub(crate) fn admit(&mut self, ip: IpAddr, now: Instant) -> bool {
        if self.usage.len() >= MAX_TRACKED {
            self.forget_idle(now);
            if self.usage.len() >= MAX_TRACKED {
                // Those with open connections are few, because connections are limited.
                self.usage.retain(|_, usage| usage.open > 0);
            }
        }
        let (rate, burst) = (self.rate, self.burst);
        let usage = self.usage.entry(network(ip)).or_insert(Usage { open: 0, tokens: burst, refilled: now });
        let since = now.saturating_duration_since(usage.refilled).as_secs_f64();
        usage.tokens = (usage.tokens + since * rate).min(burst);
        usage.refilled = now;
        if usage.open >= self.per_ip || usage.tokens < 1.0 {
            return false;
        }
        usage.tokens -= 1.0;
        usage.open += 1;
        true
    }

    /// Gives back the place of a connection from `ip`.
    pub(crate) fn release(&mut self, ip: IpAddr) {
        if let Some(usage) = self.usage.get_mut(&network(ip)) {
            usage.open = usage.open.saturating_sub(1);
        }
    }

    fn forget_idle(&mut self, now: Instant) {
        let full = self.burst / self.rate.max(1.0);
        self.usage.retain(|_, usage| {
            usage.open > 0 || now.saturating_duration_since(usage.refilled).as_secs_f64() < full
        });
    }
}

/// IPv6 hands a whole /64 to every machine, so that is what counts as one address.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The address that counts, `None` for the machine's own.
fn counted(address: &Multiaddr) -> Option<IpAddr> {
    let ip = match address.iter().next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    (ip != Ipv4Addr::LOCALHOST && ip != Ipv6Addr::LOCALHOST).then_some(ip)
}

/// Denies connections over the limit, before anything is negotiated.
#[derive(Debug)]
pub(crate) struct Behaviour {
    ledger: Ledger,
    admitted: HashMap<ConnectionId, IpAddr>,
}

impl Behaviour {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { ledger: Ledger::new(limits), admitted: HashMap::new() }
    }

    fn release(&mut self, connection: ConnectionId) {
        if let Some(ip) = self.admitted.remove(&connection) {
            self.ledger.release(ip);
        }
    }
}

/// Too many connections come from this address.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from {0}")]
pub(crate) struct TooMany(IpAddr);

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(ip) = counted(remote) else { return Ok(()) };
        if !self.ledger.admit(ip, Instant::now()) {
            return Err(ConnectionDenied::new(TooMany(ip)));
        }
        self.admitted.insert(connection, ip);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => self.release(connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
