//! What one node publishes, another gets by its CID alone.

use std::fs;

use shoal_content::Digest;
use shoal_node::{Cid, ErrorKind};

use crate::world::{Place, bytes};

#[tokio::test]
async fn a_file_goes_from_one_node_to_another() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let data = bytes(3_000_000, 1);
    fs::write(giver.path("data.bin"), &data).unwrap();

    let shared = giver.node.publish(giver.path("data.bin")).await.unwrap();
    assert_eq!(shared.cid(), Cid::file(Digest::of(&data)));
    let fetched = taker.node.get(shared.cid()).to(taker.path("copy.bin")).await.unwrap();

    assert_eq!(fs::read(&fetched.path).unwrap(), data);
    assert_eq!(fetched.received, 3_000_000);
    assert_eq!(fetched.sources.len(), 1);
    assert_eq!(taker.node.shares().await.unwrap().len(), 1, "what was fetched is shared");
    taker.node.stop().await.unwrap();
    giver.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_goes_from_one_node_to_another() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let tree = giver.path("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("a/small.txt"), "hello").unwrap();
    fs::write(tree.join("a/b/large.bin"), bytes(2_500_000, 2)).unwrap();

    let shared = giver.node.publish(&tree).await.unwrap();
    let fetched = taker.node.get(shared.cid()).to(taker.path("copy")).await.unwrap();

    assert_eq!(fetched.files, 3);
    assert_eq!(fs::read(fetched.path.join("empty")).unwrap(), b"");
    assert_eq!(fs::read(fetched.path.join("a/small.txt")).unwrap(), b"hello");
    assert_eq!(fs::read(fetched.path.join("a/b/large.bin")).unwrap(), bytes(2_500_000, 2));
    let again = taker.node.publish(&fetched.path).await.unwrap();
    assert_eq!(again.cid(), shared.cid());
    assert_eq!(again.hashed_bytes(), 0, "what was fetched needs no second look");
}

#[tokio::test]
async fn what_nobody_has_is_not_found() {
    let one = Place::start(None).await;
    let other = Place::start(Some(&one.node)).await;
    let error = other.node.get(Cid::file(Digest::of(b"nobody"))).to(other.path("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!other.path("x").exists());
}

#[tokio::test]
async fn content_keeps_its_name() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("report.txt"), "numbers").unwrap();
    let shared = giver.node.publish(giver.path("report.txt")).await.unwrap();

    let named = taker.node.get(shared.cid()).to(taker.path("named/")).await.unwrap();
    assert_eq!(named.path, taker.path("named/report.txt"), "the name that its holder gives it");

    let ticket = giver.node.ticket(&shared.cid(), true).await.unwrap();
    assert_eq!(ticket.name.as_deref(), Some("report.txt"));
    assert_eq!(ticket.size, Some(7));
}
