//! What an open and a closed gate offer.

use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{PeerId, StreamProtocol};

use super::*;

fn offered(offer: Offer) -> Vec<String> {
    let protocol = StreamProtocol::new("/inner/1");
    let mut inner: request_response::cbor::Behaviour<(), ()> = request_response::Behaviour::new(
        [(protocol, ProtocolSupport::Full)],
        request_response::Config::default(),
    );
    let address = "/memory/1".parse().expect("an address");
    let handler = inner
        .handle_established_inbound_connection(
            ConnectionId::new_unchecked(1),
            PeerId::random(),
            &address,
            &address,
        )
        .expect("a handler");
    let (upgrade, _) = Gate::new(handler, offer).listen_protocol().into_upgrade();
    upgrade.protocol_info().map(|protocol| protocol.as_ref().to_owned()).collect()
}

#[test]
fn only_an_open_gate_offers_the_protocols_behind_it() {
    assert_eq!(offered(Offer::Open), ["/inner/1"]);
    assert!(offered(Offer::Closed).is_empty());
}
