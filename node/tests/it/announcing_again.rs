//! A restart is no reason to announce everything again.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use shoal_node::{Multiaddr, Node, OverlayStats, Scope};

/// Files that the node shares: more than it takes back when it stops.
const FILES: usize = 1500;
/// Nodes besides it.
const OTHERS: usize = 5;

/// Starts a node, as soon as its home is free.
async fn start(home: &Path, listen: &str, knows: &[Multiaddr]) -> Node {
    let mut builder = Node::builder().home(home).network("test".parse().unwrap()).mdns(false);
    builder = builder.listen(listen.parse().unwrap());
    for address in knows {
        builder = builder.peer(address.clone());
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match builder.clone().start().await {
            Ok(node) => return node,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn lan(node: &Node) -> OverlayStats {
    let overlays = node.status().await.overlays;
    overlays.into_iter().find(|overlay| overlay.scope == Scope::Lan).unwrap()
}

/// Waits until a node has nothing to announce, and everything is announced.
async fn at_rest(node: &Node) -> OverlayStats {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let stats = lan(node).await;
        if stats.peers == OTHERS && stats.told == FILES && stats.waiting + stats.messages == 0 {
            return stats;
        }
        assert!(tokio::time::Instant::now() < deadline, "{stats:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_announces_nothing_again() {
    const ANY_PORT: &str = "/ip4/127.0.0.1/tcp/0";
    let folder = tempfile::tempdir().unwrap();
    let mut others: Vec<Node> = Vec::new();
    for number in 0..OTHERS {
        let knows = others.first().map(Node::addresses).unwrap_or_default();
        others.push(start(&folder.path().join(format!("other-{number}")), ANY_PORT, &knows).await);
    }
    let knows = others[0].addresses();
    let paths: Vec<_> = (0..FILES).map(|number| folder.path().join(number.to_string())).collect();
    for path in &paths {
        fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
    }
    let home = folder.path().join("home");
    let node = start(&home, ANY_PORT, &knows).await;
    let mut publish = node.publish_all(paths);
    while let Some(shared) = publish.next().await {
        shared.unwrap();
    }
    let first = at_rest(&node).await;
    assert!(first.sent >= OTHERS as u64, "everybody was told: {first:?}");

    // What was shared in the very second in which it is noted that all is announced may be announced again.
    let published = SystemTime::now();
    while published.elapsed().unwrap() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listen = node.addresses()[0].to_string();
    node.stop().await.unwrap();
    for _ in 0..2 {
        let node = start(&home, &listen, &knows).await;
        let again = at_rest(&node).await;
        assert_eq!(again.sent, 0, "nothing is announced twice: {again:?}");
        // Not politely: what it notes every minute is all that is left of it.
        drop(node);
    }
}
