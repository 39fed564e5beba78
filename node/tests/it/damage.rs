//! A damaged home costs work, not shares.

use std::{fs, time::Duration};

use futures::StreamExt;
use shoal_node::{ErrorKind, Event};

use crate::world::{Place, bytes, start_in};

#[tokio::test]
async fn shares_come_back_when_the_database_is_lost() {
    let place = Place::start(None).await;
    fs::write(place.path("data.bin"), bytes(100_000, 9)).unwrap();
    let cid = place.node.publish(place.path("data.bin")).await.unwrap().cid();
    let Place { node, folder } = place;
    let home = node.paths().home.clone();
    node.stop().await.unwrap();
    fs::write(home.join("store/store.redb"), b"not a database any more").unwrap();

    let node = start_in(&home, None).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let shares = node.shares().await.unwrap();
        if shares.iter().any(|share| share.cid == cid) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the share did not come back: {shares:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.stop().await.unwrap();
    drop(folder);
}

#[tokio::test]
async fn a_file_of_a_directory_that_changed_is_named() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    let tree = giver.path("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(tree.join("a/good"), bytes(10_000, 1)).unwrap();
    fs::write(tree.join("a/bad"), bytes(10_000, 2)).unwrap();
    let cid = giver.node.publish(&tree).await.unwrap().cid();
    fs::write(tree.join("a/bad"), bytes(10_000, 3)).unwrap();

    let error = taker.node.get(cid).to(taker.path("copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "could not get a/bad, which is in the directory");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.ends_with(": its file changed"), "{cause}");
}

#[tokio::test]
async fn a_share_that_changed_is_withdrawn_when_it_is_asked_for() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("data.bin"), bytes(100_000, 1)).unwrap();
    let mut shared = giver.node.publish(giver.path("data.bin")).await.unwrap();
    assert_eq!(shared.announced().await.acknowledged, 1, "the taker holds the record");
    let mut events = giver.node.events();

    fs::write(giver.path("data.bin"), bytes(100_000, 2)).unwrap();
    let error = taker.node.get(shared.cid()).to(taker.path("copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let broken = async {
        while let Some(event) = events.next().await {
            if event == Event::ShareBroken(shared.cid()) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), broken).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let error = taker.node.get(shared.cid()).to(taker.path("copy")).await.unwrap_err();
        if error.kind() == ErrorKind::NotFound {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "its record is still there: {error}");
    }
    assert!(!taker.path("copy").exists());
}
