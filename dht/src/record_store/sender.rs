//! Whose share of a store a record takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::{Multiaddr, PeerId};

use crate::scope::{AddressClass, Group, machine};

/// Who delivered an announcement, as far as it cannot be somebody else for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sender {
    /// A block of the internet. Identities are free, and so are connections one after the other; addresses are not.
    Block(Group),
    /// A machine of the local network.
    Machine(IpAddr),
    /// A peer on this machine, where a network of many may live for a test.
    Peer(PeerId),
}

/// The first byte of each kind on disk.
const PEER: u8 = 0;
const MACHINE_V4: u8 = 1;
const MACHINE_V6: u8 = 2;
const BLOCK_V4: u8 = 4;
const BLOCK_V6: u8 = 6;

impl Sender {
    /// Who it is that is connected over this address.
    pub(crate) fn of(peer: PeerId, address: &Multiaddr) -> Self {
        match (Group::of(address), machine(address)) {
            (Some(group), _) => Self::Block(group),
            (None, Some(machine)) if AddressClass::of(address) != AddressClass::Loopback => {
                Self::Machine(machine)
            }
            _ => Self::Peer(peer),
        }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let with = |kind, bytes: &[u8]| [&[kind], bytes].concat();
        match self {
            Self::Peer(peer) => with(PEER, &peer.to_bytes()),
            Self::Machine(IpAddr::V4(ip)) => with(MACHINE_V4, &ip.octets()),
            Self::Machine(IpAddr::V6(ip)) => with(MACHINE_V6, &ip.octets()),
            Self::Block(Group::Ip4(block)) => with(BLOCK_V4, &block),
            Self::Block(Group::Ip6(block)) => with(BLOCK_V6, block.map(u16::to_be_bytes).as_flattened()),
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, bytes) = bytes.split_first()?;
        Some(match *kind {
            PEER => Self::Peer(PeerId::from_bytes(bytes).ok()?),
            MACHINE_V4 => Self::Machine(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
            MACHINE_V6 => Self::Machine(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
            BLOCK_V4 => Self::Block(Group::Ip4(bytes.try_into().ok()?)),
            BLOCK_V6 => {
                let [a, b, c, d, e, f] = bytes.try_into().ok()?;
                Self::Block(Group::Ip6([[a, b], [c, d], [e, f]].map(u16::from_be_bytes)))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(text: &str) -> Sender {
        Sender::of(PeerId::random(), &text.parse().expect("an address"))
    }

    #[test]
    fn identities_of_one_network_are_one_sender() {
        assert_eq!(sender("/ip4/8.8.8.8/tcp/1"), sender("/ip4/8.8.8.200/udp/9/quic-v1"));
        assert_ne!(sender("/ip4/8.8.8.8/tcp/1"), sender("/ip4/8.8.9.8/tcp/1"));
        assert_eq!(sender("/ip6/2a00:1:2:3::1/tcp/1"), sender("/ip6/2a00:1:2:ffff::9/tcp/1"));
        assert_eq!(sender("/ip4/8.8.8.8/tcp/1"), sender("/ip6/::ffff:8.8.8.1/tcp/1"));
        assert_eq!(sender("/ip4/10.0.0.1/tcp/1"), sender("/ip4/10.0.0.1/tcp/2"));
        assert_ne!(sender("/ip4/10.0.0.1/tcp/1"), sender("/ip4/10.0.0.2/tcp/1"));
        assert_ne!(
            sender("/ip4/127.0.0.1/tcp/1"),
            sender("/ip4/127.0.0.1/tcp/1"),
            "a network of many for a test"
        );
        assert_ne!(sender("/memory/1"), sender("/memory/1"));
    }

    #[test]
    fn a_sender_survives_the_disk() {
        for text in [
            "/memory/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip4/8.8.8.8/tcp/1",
            "/ip6/2a00:1:2::1/tcp/1",
        ] {
            let sender = sender(text);
            assert_eq!(Sender::from_bytes(&sender.to_bytes()), Some(sender), "{text}");
        }
        for bytes in [&[][..], &[0], &[1, 2, 3], &[2; 16], &[3], &[4; 3], &[6; 6], &[9, 9]] {
            assert_eq!(Sender::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
