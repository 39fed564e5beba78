//! Tests of the wait for whoever saves to the same target.

use std::{fs, time::Duration};

use futures::StreamExt;
use shoal_content::Digest;

use crate::{Node, Transport};

/// Longer than a file that goes in a bundle.
const LEN: usize = 3 << 20;

/// For what should come in a moment.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start(home: &std::path::Path, knows: Option<&Node>) -> Node {
    let mut builder =
        Node::builder().home(home).transport(Transport::Memory).network("test".parse().unwrap());
    for address in knows.map(Node::addresses).unwrap_or_default() {
        builder = builder.peer(address);
    }
    builder.start().await.unwrap()
}

#[tokio::test]
async fn a_file_of_a_directory_that_somebody_still_holds_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let giver = start(&folder.path().join("giver"), None).await;
    let taker = start(&folder.path().join("taker"), Some(&giver)).await;
    let (tree, target) = (folder.path().join("tree"), folder.path().join("target"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("long"), vec![7; LEN]).unwrap();
    let cid = giver.publish(&tree).await.unwrap().cid();

    // As one that a dropped get of the directory received, while another get copies from it.
    let part = folder.path().join(".target.shoal-part");
    fs::create_dir(&part).unwrap();
    let digest = Digest::of(&vec![7; LEN]);
    let held = taker.inner.store.partial(&digest, &part.join("long")).unwrap();
    let mut get = taker.get(cid).to(&target).start();
    let mut said = false;
    let waits = async {
        while let Some(progress) = get.next().await {
            if let Some(other) = progress.awaited.first() {
                assert_eq!((&other.path, other.pid), (&target, Some(std::process::id())));
                said = true;
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, waits).await.unwrap();
    assert!(said, "it waited");
    drop(held);
    get.await.unwrap();
    assert!(fs::read(target.join("long")).unwrap() == vec![7; LEN]);
}
