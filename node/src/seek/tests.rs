//! Whom a search believes, and whom it asks.

use std::path::Path;

use libp2p::identity::Keypair;
use shoal_content::{Digest, GroupRanges, NetworkName};
use shoal_transfer::have;

use super::{asking::Asked, *};
use crate::net::{Command, Overlay, PeerInfo};

fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A search of a node that knows nobody.
fn seek(net: Net, home: &Path) -> Seek {
    let network = NetworkName::parse("test").unwrap();
    Seek {
        net,
        me: peer(),
        key: ProviderKey::derive(&network, &Digest::of(b"content")),
        hints: Vec::new(),
        former: Former::open(home.join("holders")),
        tasks: Tasks::new(),
        started: Instant::now(),
    }
}

fn peer() -> PeerId {
    Keypair::generate_ed25519().public().to_peer_id()
}

fn holding() -> Holding {
    Holding { size: 1, ranges: GroupRanges::all(1), complete: true, name: None, files: None }
}

#[tokio::test]
async fn whoever_is_asked_again_introduces_no_neighbours_either() {
    let home = tempfile::tempdir().unwrap();
    let seek = seek(Net::of_nobody().0, home.path());
    let (far, introduced) = (peer(), peer());
    let candidate =
        Candidate { peer: far, addresses: addresses(&["/ip4/9.9.9.9/tcp/1"]), via: Via::Introduced };
    let again = Again::default();
    let holding = holding();
    again.watch().found(&candidate, &holding, Instant::now());
    let told = addresses(&["/ip4/192.168.0.9/tcp/1", "/ip4/8.8.8.8/tcp/1"]);
    let others = vec![have::Holder { peer: introduced, addresses: told.clone() }];
    let answer = Ok(have::Answer { holding: Some(holding), others });
    let asked = Asked::Candidate { candidate, answer, round_trip: Duration::ZERO };
    let (tell, _findings) = mpsc::channel(FINDINGS);
    seek.heard_again(far, asked, &tell, &again).await.ok().unwrap();
    let next = again.watch().next(Instant::now()).unwrap();
    assert_eq!((next.peer, next.addresses), (introduced, told[1..].to_vec()));
}

#[tokio::test]
async fn whoever_connects_during_a_round_is_asked_in_it() {
    let home = tempfile::tempdir().unwrap();
    let (net, mut asked, change) = Net::of_nobody();
    let seek = seek(net, home.path());
    let called = PeerInfo {
        peer: peer(),
        addresses: addresses(&["/ip4/9.9.9.9/tcp/1"]),
        agent: String::new(),
        outgoing: false,
        round_trip: None,
        connected_for: Duration::ZERO,
        member: true,
    };
    let swarm = async {
        // The walk goes on and on, for nobody drops its ends.
        let mut walks = Vec::new();
        let mut looks = 0;
        while let Some(command) = asked.recv().await {
            match command {
                Command::Find { found, summary, .. } => walks.push((found, summary)),
                Command::Peers { reply } => {
                    let known = if looks == 0 { Vec::new() } else { vec![called.clone()] };
                    looks += 1;
                    reply.send(known).unwrap();
                    change.send_modify(|count| *count += 1);
                }
                Command::Overlay { reply } => reply.send(Overlay::default()).unwrap(),
                Command::Ask { peer, reply, .. } => {
                    assert_eq!(peer, called.peer);
                    let answer = have::Answer { holding: Some(holding()), others: Vec::new() };
                    drop(reply.send(Ok(have::Response::Answer(answer))));
                }
                _ => {}
            }
        }
    };
    let mut findings = Box::pin(seek.start());
    let found = async {
        loop {
            if let Some(Finding::Holder(holder)) = findings.next().await {
                return holder.peer;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), async {
        tokio::select! {
            peer = found => peer,
            () = swarm => panic!("the search ended"),
        }
    });
    assert_eq!(found.await.unwrap(), called.peer);
}
