//! Peers that somebody named by their addresses, and what to say of those that are of no use.

use std::fmt;

use libp2p::{Multiaddr, PeerId};
use shoal_content::{Link, ProviderKey};
use shoal_transfer::have::{Answer, Have, Request, Response};

use crate::net::{Net, NetError};

/// A peer that was named, at all the addresses that were given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Who it should be, if that was said.
    pub(crate) peer: Option<PeerId>,
    pub(crate) addresses: Vec<Multiaddr>,
    /// It was named as one who has the content, as a ticket does, and not as one to ask.
    pub(crate) provider: bool,
}

impl Hint {
    /// Those whom a link names as providers.
    pub(crate) fn of(link: &Link) -> Vec<Self> {
        let mut hints = Vec::new();
        if let Link::Ticket(ticket) = link {
            for address in ticket.addresses.iter().filter_map(|address| address.parse().ok()) {
                Self::add(&mut hints, address, true);
            }
        }
        hints
    }

    /// Adds an address to those of its peer.
    pub(crate) fn add(hints: &mut Vec<Self>, address: Multiaddr, provider: bool) {
        let peer = peer_in(&address);
        let same = |hint: &&mut Self| peer.is_some() && hint.peer == peer;
        match hints.iter_mut().find(same) {
            Some(hint) => {
                hint.provider |= provider;
                if !hint.addresses.contains(&address) {
                    hint.addresses.push(address);
                }
            }
            None => hints.push(Self { peer, addresses: vec![address], provider }),
        }
    }

    /// Connects to the peer.
    pub(crate) async fn meet(&self, net: &Net) -> Result<PeerId, NetError> {
        net.dial(self.peer, self.addresses.clone()).await
    }

    /// Connects to the peer and asks what it holds behind `key`.
    pub(crate) async fn ask(&self, net: &Net, key: ProviderKey) -> Result<(PeerId, Answer), NetError> {
        let peer = self.meet(net).await?;
        match net.ask(peer, self.addresses.clone(), Request::Have(Have { key })).await? {
            Response::Answer(answer) => Ok((peer, answer)),
            Response::Ack => Err(NetError::NoAnswer),
        }
    }

    /// What to say of it when it cannot be used.
    pub(crate) fn unreached(&self, error: &NetError) -> Unreached {
        Unreached { addresses: self.addresses.clone(), reason: error.to_string() }
    }
}

/// A peer that was named and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unreached {
    /// Where it should be.
    pub addresses: Vec<Multiaddr>,
    /// Why it is of no use, in words.
    pub reason: String,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        write!(f, "could not reach the peer at {}: {}", addresses.join(" or "), self.reason)
    }
}

/// The peer id at the end of an address, if it names one.
pub(crate) fn peer_in(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(libp2p::multiaddr::Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_peer_are_one_hint() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let at = |port: u16, peer: PeerId| format!("/ip4/192.0.2.1/tcp/{port}/p2p/{peer}").parse().unwrap();
        let bare: Multiaddr = "/ip4/192.0.2.1/tcp/9".parse().unwrap();
        let mut hints = Vec::new();
        for (address, provider) in
            [(at(1, a), false), (at(2, b), false), (at(3, a), true), (at(1, a), false), (bare.clone(), false)]
        {
            Hint::add(&mut hints, address, provider);
        }
        let expected = [
            Hint { peer: Some(a), addresses: vec![at(1, a), at(3, a)], provider: true },
            Hint { peer: Some(b), addresses: vec![at(2, b)], provider: false },
            Hint { peer: None, addresses: vec![bare], provider: false },
        ];
        assert_eq!(hints, expected);
    }
}
