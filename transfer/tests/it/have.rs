//! The small questions, between two swarms.

use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::request_response::{Event, Message};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Swarm};
use shoal_content::{Digest, GroupRanges, NetworkName, ProviderKey};
use shoal_transfer::have::{self, Answer, Have, Holder, Holding, Request, Response};

use crate::net::{soon, swarm};

fn node(network: &str) -> Swarm<have::Behaviour> {
    let network = NetworkName::parse(network).unwrap();
    swarm(Keypair::generate_ed25519(), Duration::from_secs(10), have::behaviour(&network))
}

/// Sends a request to a server that answers with `answer`. Gives what both sides got.
async fn exchange(networks: [&str; 2], request: Request, answer: Response) -> Option<(Request, Response)> {
    let [mut client, mut server] = networks.map(node);
    server.listen_on("/memory/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = soon(server.next()).await.unwrap() {
            break address;
        }
    };
    client.add_peer_address(*server.local_peer_id(), address.clone());
    client.behaviour_mut().send_request_with_addresses(
        &server.local_peer_id().clone(),
        request,
        vec![address],
    );
    let mut heard = None;
    soon(async {
        loop {
            tokio::select! {
                event = server.select_next_some() => {
                    if let SwarmEvent::Behaviour(Event::Message { message, .. }) = event
                        && let Message::Request { request, channel, .. } = message
                    {
                        heard = Some(request);
                        server.behaviour_mut().send_response(channel, answer.clone()).unwrap();
                    }
                }
                event = client.select_next_some() => match event {
                    SwarmEvent::Behaviour(Event::Message { message: Message::Response { response, .. }, .. }) => {
                        return Some((heard?, response));
                    }
                    SwarmEvent::Behaviour(Event::OutboundFailure { .. }) => return None,
                    _ => {}
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn questions_and_notices_are_answered() {
    let key = ProviderKey::derive(&NetworkName::default(), &Digest::of(b"x"));
    let question = Request::Have(Have { key });
    let ranges = [0..10, 90..100].into_iter().collect::<GroupRanges>();
    let holding =
        Holding { size: 100 * 16_384, ranges, complete: false, name: Some("x".into()), files: None };
    let others =
        vec![Holder { peer: PeerId::random(), addresses: vec!["/ip4/10.0.0.7/tcp/1".parse().unwrap()] }];
    let answer = Response::Answer(Answer { holding: Some(holding), others });
    let exchanged = exchange(["demo", "demo"], question.clone(), answer.clone()).await;
    assert_eq!(exchanged, Some((question, answer)));

    let notice = Request::BadGroup { key: ProviderKey::from_bytes([3; 32]), group: 7 };
    let exchanged = exchange(["demo", "demo"], notice.clone(), Response::Ack).await;
    assert_eq!(exchanged, Some((notice, Response::Ack)));
}

#[tokio::test]
async fn networks_do_not_mix() {
    let question = Request::Have(Have { key: ProviderKey::from_bytes([1; 32]) });
    assert_eq!(exchange(["one", "other"], question, Response::Ack).await, None);
}
