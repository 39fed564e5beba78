//! Tests of the wait for whoever saves to the same target.

use std::{fs, future::IntoFuture};

use futures::StreamExt;
use shoal_content::Digest;
use shoal_store::Store;

use super::*;
use crate::{Node, Transport};

/// Longer than a file that goes in a bundle.
const LEN: usize = 3 << 20;

/// For what should come in a moment.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start(home: &Path, knows: Option<&Node>) -> Node {
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

#[test]
fn whoever_receives_something_now_and_then_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), &"test".parse().unwrap()).unwrap();
    let part = folder.path().join("part");
    let filler = Filler::Other { pid: None };
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let patience = Duration::from_secs(10);
    let mut watch = Watch { patience, seen: (filler, store.filled(&part)), since: start };
    for turn in 1..=3_u64 {
        fs::write(&part, vec![1; usize::try_from(turn).unwrap()]).unwrap();
        assert!(!watch.is_due(at(turn * 10 - 1)) && watch.is_due(at(turn * 10)));
        assert_eq!(watch.look((filler, store.filled(&part)), at(turn * 10)), Ok(()));
    }
    // Somebody else in their place begins anew.
    let other = Filler::Other { pid: Some(1) };
    assert_eq!(watch.look((other, store.filled(&part)), at(40)), Ok(()));
    assert_eq!(watch.look((other, store.filled(&part)), at(51)), Err(Duration::from_secs(11)));
}

#[tokio::test]
async fn one_that_received_nothing_for_as_long_as_was_said_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let giver = start(&folder.path().join("giver"), None).await;
    let taker = start(&folder.path().join("taker"), Some(&giver)).await;
    let (file, target) = (folder.path().join("file"), folder.path().join("target"));
    fs::write(&file, vec![7; LEN]).unwrap();
    let cid = giver.publish(&file).await.unwrap().cid();

    // As a process does that was stopped while it received.
    let part = fs::File::create(folder.path().join(".target.shoal-part")).unwrap();
    part.lock().unwrap();
    let get = taker.get(cid).to(&target).timeout(Duration::from_millis(300));
    let error = tokio::time::timeout(DEADLINE, get.into_future()).await.unwrap().unwrap_err();
    let pid = cfg!(target_os = "linux").then(std::process::id);
    let GetError::Stalled { other, .. } = &error else { panic!("{error}") };
    assert_eq!(*other, Awaited { path: target.clone(), cid: None, pid });
    if let Some(pid) = pid {
        let expected =
            format!("process {pid} is saving to {}, and has received nothing for 0 s", target.display());
        assert_eq!(error.to_string(), expected);
    }
    drop(part);
    taker.get(cid).to(&target).await.unwrap();
    assert!(fs::read(&target).unwrap() == vec![7; LEN]);
}
