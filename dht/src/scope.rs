//! Which addresses belong to which overlay.
//!
//! A laptop is on a LAN and on the internet at once, so scope belongs to addresses and connections, never
//! to nodes. Invariant: a private or loopback address never enters the [`Scope::Wan`] overlay, and the
//! [`Scope::Lan`] overlay is spoken only on connections that are themselves local.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Addresses kept per peer. Forty peers with more would not fit the packet that answers a lookup, and each
/// one is a dial that a stranger can make us try.
pub const MAX_ADDRESSES: usize = 5;

/// Bytes of one address. Ours are far shorter; without a bound, addresses would be storage for strangers.
pub const MAX_ADDRESS_LEN: usize = 128;

/// One of the two overlays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The local network and this machine.
    Lan,
    /// The internet.
    Wan,
}

/// The overlays a node takes part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scopes {
    /// Only the local network.
    Lan,
    /// Only the internet.
    Wan,
    /// The local network and the internet.
    #[default]
    Both,
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// A private network: RFC 1918, carrier NAT, unique local, or a name that only a local resolver knows.
    Private,
    /// This machine: `127/8`, `::1`, `localhost`, and in-process `/memory` addresses.
    Loopback,
    /// One link: `169.254/16` and `fe80::/10`.
    LinkLocal,
    /// The internet.
    Global,
    /// Nothing to store or hand on: names, relayed paths, multicast, unspecified and port 0.
    Other,
}

impl Scope {
    /// The word for this scope in protocol ids and signed messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }

    /// Whether this overlay is spoken on a connection to `remote`.
    ///
    /// A peer on the internet must not read private addresses out of the `lan` table.
    pub(crate) fn speaks_over(self, remote: AddressClass) -> bool {
        match self {
            Self::Lan => {
                matches!(remote, AddressClass::Private | AddressClass::Loopback | AddressClass::LinkLocal)
            }
            Self::Wan => true,
        }
    }

    /// Whether an address of class `class` may be kept, when a peer connected over `vouched_over` said it.
    fn keeps(self, class: AddressClass, vouched_over: AddressClass) -> bool {
        match (self, class) {
            (Self::Lan, AddressClass::Private) | (Self::Wan, AddressClass::Global) => true,
            (Self::Lan, AddressClass::Loopback) => vouched_over == AddressClass::Loopback,
            _ => false,
        }
    }

    /// Picks what this scope may keep of the addresses that a peer connected over `vouched_over` told us:
    /// at most [`MAX_ADDRESSES`], each once, without the `/p2p` suffix, private ones before loopback ones.
    pub(crate) fn usable<'a>(
        self,
        addresses: impl IntoIterator<Item = &'a Multiaddr>,
        vouched_over: AddressClass,
    ) -> Vec<Multiaddr> {
        let mut kept: Vec<(AddressClass, Multiaddr)> = Vec::new();
        for address in addresses {
            let class = AddressClass::of(address);
            if !self.keeps(class, vouched_over) || address.len() > MAX_ADDRESS_LEN || is_name(address) {
                continue;
            }
            let bare = without_peer(address);
            if !kept.iter().any(|(_, known)| *known == bare) {
                kept.push((class, bare));
            }
        }
        kept.sort_by_key(|(class, _)| *class);
        kept.truncate(MAX_ADDRESSES);
        kept.into_iter().map(|(_, address)| address).collect()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Scopes {
    /// Whether `scope` is one of these.
    pub fn contains(self, scope: Scope) -> bool {
        match self {
            Self::Both => true,
            Self::Lan => scope == Scope::Lan,
            Self::Wan => scope == Scope::Wan,
        }
    }
}

impl AddressClass {
    /// Classifies an address by its first part, and by whether it can be dialled at all.
    pub fn of(address: &Multiaddr) -> Self {
        let mut parts = address.iter();
        let class = match parts.next() {
            Some(Protocol::Ip4(ip)) => of_ip4(ip),
            Some(Protocol::Ip6(ip)) => of_ip6(ip),
            Some(Protocol::Memory(_)) => Self::Loopback,
            Some(
                Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name),
            ) => of_name(&name),
            _ => Self::Other,
        };
        let dead_end = |part| matches!(part, Protocol::P2pCircuit | Protocol::Tcp(0) | Protocol::Udp(0));
        if parts.any(dead_end) { Self::Other } else { class }
    }
}

/// The machine that an address leads to.
pub(crate) fn machine(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.to_canonical()),
        _ => None,
    }
}

/// A block of the internet that one owner may have: the /24 of an IPv4 address, the /48 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    Ip4([u8; 3]),
    Ip6([u16; 3]),
}

impl Group {
    /// The block of a global address. Others have none: everybody may have any private address.
    pub(crate) fn of(address: &Multiaddr) -> Option<Self> {
        if AddressClass::of(address) != AddressClass::Global {
            return None;
        }
        let of_ip4 = |ip: Ipv4Addr| {
            let [a, b, c, _] = ip.octets();
            Self::Ip4([a, b, c])
        };
        match address.iter().next()? {
            Protocol::Ip4(ip) => Some(of_ip4(ip)),
            Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or_else(
                || {
                    let [a, b, c, ..] = ip.segments();
                    Self::Ip6([a, b, c])
                },
                of_ip4,
            )),
            _ => None,
        }
    }
}

fn of_ip4(ip: Ipv4Addr) -> AddressClass {
    let [a, b, c, _] = ip.octets();
    let carrier_nat = a == 100 && (64..128).contains(&b);
    let protocol_assignments = (a, b, c) == (192, 0, 0);
    let benchmarking = a == 198 && (18..20).contains(&b);
    if ip.is_loopback() {
        AddressClass::Loopback
    } else if ip.is_private() || carrier_nat {
        AddressClass::Private
    } else if ip.is_link_local() {
        AddressClass::LinkLocal
    } else if a == 0 || a >= 224 || ip.is_documentation() || protocol_assignments || benchmarking {
        AddressClass::Other
    } else {
        AddressClass::Global
    }
}

fn of_ip6(ip: Ipv6Addr) -> AddressClass {
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return of_ip4(mapped);
    }
    let documentation = matches!(ip.segments(), [0x2001, 0x0db8, ..]);
    let global_unicast = ip.segments()[0] & 0xe000 == 0x2000;
    if ip.is_loopback() {
        AddressClass::Loopback
    } else if ip.is_unique_local() {
        AddressClass::Private
    } else if ip.is_unicast_link_local() {
        AddressClass::LinkLocal
    } else if global_unicast && !documentation {
        AddressClass::Global
    } else {
        AddressClass::Other
    }
}

/// Containers and home networks use names without a dot; those resolve to neighbours. Any other name may
/// lead anywhere, and different nodes may resolve it differently, so it belongs to no scope.
fn of_name(name: &str) -> AddressClass {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let local_suffix = [".local", ".lan", ".internal", ".home.arpa"].iter().any(|end| name.ends_with(end));
    if name == "localhost" || name.ends_with(".localhost") {
        AddressClass::Loopback
    } else if local_suffix || (!name.is_empty() && !name.contains('.')) {
        AddressClass::Private
    } else {
        AddressClass::Other
    }
}

/// A name that a stranger tells us would make our resolver ask questions of the stranger's choice.
fn is_name(address: &Multiaddr) -> bool {
    !matches!(address.iter().next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Memory(_)))
}

pub(crate) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut bare = address.clone();
    if matches!(bare.iter().last(), Some(Protocol::P2p(_))) {
        bare.pop();
    }
    bare
}

#[cfg(test)]
mod tests;
