//! Which addresses probably have one owner.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::scope::AddressClass;

/// A network small enough to have one owner: a /24, or a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    V4([u8; 3]),
    V6([u16; 3]),
}

impl Group {
    /// The group of the first global address. Private addresses have none: a local network is one group.
    pub(super) fn of(addresses: &[Multiaddr]) -> Option<Self> {
        let global = addresses.iter().find(|address| AddressClass::of(address) == AddressClass::Global)?;
        match global.iter().next()? {
            Protocol::Ip4(ip) => Some(Self::of_v4(ip)),
            Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or_else(|| Self::of_v6(ip), Self::of_v4)),
            _ => None,
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, c, _] = ip.octets();
        Self::V4([a, b, c])
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let [a, b, c, ..] = ip.segments();
        Self::V6([a, b, c])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(texts: &[&str]) -> Option<Group> {
        let addresses: Vec<_> = texts.iter().map(|text| text.parse().expect("an address")).collect();
        Group::of(&addresses)
    }

    #[test]
    fn one_network_is_one_group() {
        assert_eq!(group(&["/ip4/8.8.8.8/tcp/1"]), group(&["/ip4/8.8.8.200/udp/9/quic-v1"]));
        assert_ne!(group(&["/ip4/8.8.8.8/tcp/1"]), group(&["/ip4/8.8.9.8/tcp/1"]));
        assert_eq!(group(&["/ip6/2a00:1:2:3::1/tcp/1"]), group(&["/ip6/2a00:1:2:ffff::9/tcp/1"]));
        assert_ne!(group(&["/ip6/2a00:1:2::1/tcp/1"]), group(&["/ip6/2a00:1:3::1/tcp/1"]));
        assert_eq!(group(&["/ip4/8.8.8.8/tcp/1"]), group(&["/ip6/::ffff:8.8.8.1/tcp/1"]));
    }

    #[test]
    fn private_addresses_are_no_group() {
        assert_eq!(group(&["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/memory/4"]), None);
        assert_eq!(group(&["/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"]), group(&["/ip4/8.8.8.8/tcp/1"]));
    }
}
