//! The task of the Swarm in a network of memory.

use std::path::Path;

use futures::FutureExt;
use libp2p::identity::Keypair;
use shoal_content::{Digest, NetworkName, ProviderKey};
use shoal_transfer::have::{Answer, Have, Request, Response};

use super::{
    super::{NetError, Records, SaidBy},
    *,
};
use crate::config::{Builder, Transport};

/// Longer than any of this takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// Two nodes, of which the first looks for the second.
struct Scene {
    net: Net,
    peer: PeerId,
    address: Multiaddr,
    stop: CancellationToken,
    _home: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (records, _) = mpsc::channel(1);
        let (driver, net, _) = node(&home.path().join("here"), &stop, records.clone());
        spawn(driver);
        let (driver, mut other, peer) = node(&home.path().join("there"), &stop, records);
        spawn(driver);
        let listening = other.listening.wait_for(|addresses| !addresses.is_empty());
        let address = tokio::time::timeout(DEADLINE, listening).await.unwrap().unwrap()[0].clone();
        Self { net, peer, address, stop, _home: home }
    }

    async fn send(&self, command: Command) {
        self.net.send(command).await.unwrap();
    }

    /// Asks to dial the other node in one place.
    async fn dial(&self, address: Multiaddr) -> tokio::sync::oneshot::Receiver<Result<PeerId, NetError>> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let (peer, addresses) = (Some(self.peer), vec![address]);
        self.send(Command::Dial { peer, addresses, said_by: SaidBy::Peer, reply }).await;
        answer
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A node without anything but its Swarm.
fn node(
    home: &Path,
    stop: &CancellationToken,
    records: mpsc::Sender<Vec<RecordChange>>,
) -> (Driver, Net, PeerId) {
    let key = Keypair::generate_ed25519();
    let config = Builder::default().mdns(false).transport(Transport::Memory);
    let mut parts = super::super::build(&config, &key).unwrap();
    parts.swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
    let wiring = Wiring {
        answer: Arc::new(|_, _| futures::future::ready(Response::Answer(Answer::default())).boxed()),
        save: Arc::new(|_| {}),
        save_progress: Arc::new(|_| {}),
        rules: parts.rules,
        records,
        events: Sink::new(),
        book: Book::open(home.join("peers"), SystemTime::now()),
        external: Vec::new(),
        protocol_version: super::super::protocol_version(&NetworkName::default()),
        stop: stop.clone(),
    };
    let (driver, net) = Driver::new(parts.swarm, wiring);
    (driver, net, key.public().to_peer_id())
}

#[expect(clippy::disallowed_methods, reason = "it ends when its stop is cancelled")]
fn spawn(driver: Driver) {
    tokio::spawn(driver.run());
}

/// A place where nobody is.
fn nowhere() -> Multiaddr {
    "/memory/1".parse().unwrap()
}

#[tokio::test]
async fn a_dial_elsewhere_does_not_fail_this_one() {
    let scene = Scene::new().await;
    let (wrong, right) = (scene.dial(nowhere()).await, scene.dial(scene.address.clone()).await);
    let reached = tokio::time::timeout(DEADLINE, right).await.unwrap().unwrap();
    assert_eq!(reached.unwrap(), scene.peer);
    assert!(wrong.await.is_ok(), "it has an answer too");
}

#[tokio::test]
async fn a_question_is_asked_at_its_own_address_when_a_dial_elsewhere_fails() {
    let scene = Scene::new().await;
    let _wrong = scene.dial(nowhere()).await;
    let key = ProviderKey::derive(&NetworkName::default(), &Digest::of(b""));
    let question = Request::Have(Have { key });
    let asked = scene.net.ask(scene.peer, vec![scene.address.clone()], question.clone());
    let answer = tokio::time::timeout(DEADLINE, asked).await.unwrap();
    assert!(matches!(answer, Ok(Response::Answer(_))), "{answer:?}");
}

#[tokio::test]
async fn whoever_writes_records_is_not_kept_waiting_by_the_end() {
    let (home, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let (records, mut changes) = mpsc::channel(1);
    records.send(Vec::new()).await.unwrap();
    let (driver, net, _) = node(home.path(), &stop, records);
    let (reply, restored) = tokio::sync::oneshot::channel();
    let restore = Records::Restore { rows: Vec::new(), reply };
    net.send(Command::Records(restore)).await.unwrap();
    stop.cancel();
    spawn(driver);
    // It takes no changes before it has heard of what it restores.
    let heard = tokio::time::timeout(DEADLINE, restored).await;
    assert!(heard.is_ok(), "the node waits for it to take changes, and it waits for the node");
    let end = async { while changes.recv().await.is_some() {} };
    tokio::time::timeout(DEADLINE, end).await.unwrap();
}

#[tokio::test]
async fn a_question_to_nobody_ends() {
    let scene = Scene::new().await;
    let key = ProviderKey::derive(&NetworkName::default(), &Digest::of(b""));
    for addresses in [vec![nowhere()], Vec::new()] {
        let asked = scene.net.ask(PeerId::random(), addresses, Request::Have(Have { key }));
        let answer = tokio::time::timeout(DEADLINE, asked).await.unwrap();
        assert!(matches!(answer, Err(NetError::Unreachable(_))), "{answer:?}");
    }
}
