//! Which addresses a node listens on, and which of them it gives away.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, Swarm, multiaddr::Protocol};
use shoal_dht::AddressClass;

use crate::{
    config::{Builder, DEFAULT_PORT, Transport},
    error::StartError,
    net::Behaviour,
};

/// How long a start waits for its first address; binding is immediate, only naming the interfaces takes a moment.
pub(crate) const READY: Duration = Duration::from_secs(2);
/// Addresses in a ticket. More would make it longer than a person wants to paste.
const TICKET_ADDRESSES: usize = 4;

/// Starts to listen where the configuration says.
pub(crate) fn listen(swarm: &mut Swarm<Behaviour>, config: &Builder) -> Result<(), StartError> {
    for address in &config.listen {
        refuse_taken_port(address)?;
        swarm.listen_on(address.clone()).map_err(|source| listen_failed(address, source))?;
    }
    if !config.listen.is_empty() {
        return Ok(());
    }
    let mut failure = None;
    let mut listening = false;
    for address in defaults(config.transport) {
        // One family or one transport may be missing on a machine; the others will do.
        match swarm.listen_on(address.clone()) {
            Ok(_) => listening = true,
            Err(source) => failure = Some(listen_failed(&address, source)),
        }
    }
    match failure {
        Some(failure) if !listening => Err(failure),
        _ => Ok(()),
    }
}

fn listen_failed(address: &Multiaddr, source: libp2p::TransportError<std::io::Error>) -> StartError {
    StartError::Listen { address: address.clone(), source: Box::new(source) }
}

fn defaults(transport: Transport) -> Vec<Multiaddr> {
    if transport == Transport::Memory {
        return vec![Multiaddr::empty().with(Protocol::Memory(0))];
    }
    let tcp =
        if tcp_is_free(SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT))) { DEFAULT_PORT } else { 0 };
    let udp =
        if udp_is_free(SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT))) { DEFAULT_PORT } else { 0 };
    [Protocol::Ip4(Ipv4Addr::UNSPECIFIED), Protocol::Ip6(Ipv6Addr::UNSPECIFIED)]
        .into_iter()
        .flat_map(|ip| {
            let base = Multiaddr::from(ip);
            [base.clone().with(Protocol::Tcp(tcp)), base.with(Protocol::Udp(udp)).with(Protocol::QuicV1)]
        })
        .collect()
}

/// TCP listeners of the transport share their ports, so that a second node on one port would start without an error
/// and each would get a part of the connections.
fn refuse_taken_port(address: &Multiaddr) -> Result<(), StartError> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 && !tcp_is_free(SocketAddr::new(ip, port)) => {
            Err(StartError::PortTaken { address: address.clone() })
        }
        _ => Ok(()),
    }
}

/// Any other failure to bind than a taken port is left for the transport to report.
fn tcp_is_free(address: SocketAddr) -> bool {
    !matches!(TcpListener::bind(address), Err(error) if error.kind() == std::io::ErrorKind::AddrInUse)
}

fn udp_is_free(address: SocketAddr) -> bool {
    !matches!(UdpSocket::bind(address), Err(error) if error.kind() == std::io::ErrorKind::AddrInUse)
}

/// The addresses for a ticket, as text that ends with the peer's id: global ones, and private ones only with `lan`.
pub(crate) fn for_ticket(addresses: impl Iterator<Item = Multiaddr>, me: PeerId, lan: bool) -> Vec<String> {
    let class = AddressClass::of;
    let mut usable: Vec<_> = addresses
        .filter(|address| match class(address) {
            AddressClass::Global => true,
            AddressClass::Private | AddressClass::Loopback => lan,
            _ => false,
        })
        .collect();
    usable.sort_by_key(|address| class(address) != AddressClass::Global);
    usable.dedup();
    let named = usable.into_iter().take(TICKET_ADDRESSES).map(|address| address.with_p2p(me));
    named.map(|address| address.unwrap_or_else(|kept| kept).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_stay_out_of_a_ticket_unless_asked_for() {
        let addresses =
            ["/ip4/192.168.1.7/tcp/4001", "/ip4/8.8.8.8/tcp/4001"].map(|text| text.parse().unwrap());
        let me = PeerId::random();
        let public = for_ticket(addresses.clone().into_iter(), me, false);
        assert_eq!(public, [format!("/ip4/8.8.8.8/tcp/4001/p2p/{me}")]);
        let all = for_ticket(addresses.into_iter(), me, true);
        assert_eq!(all.len(), 2);
        assert!(all[0].starts_with("/ip4/8.8.8.8"), "the global one comes first");
    }

    #[test]
    fn a_taken_port_is_refused() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        assert!(matches!(refuse_taken_port(&address), Err(StartError::PortTaken { .. })));
    }
}
