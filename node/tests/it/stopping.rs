//! A node that stops leaves nothing behind, and a caller that leaves takes its work along.

use std::{fs, time::Duration};

use futures::StreamExt;
use shoal_node::{
    Cid, Digest, Event, GetError, HomeError, Node, PublishError, Selector, StartError, StoreError,
};
use tokio::runtime::Handle;

use crate::world::{Place, bytes, start_in};

/// Waits until `condition` holds; fails after ten seconds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_no_task() {
    let before = alive();
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("data.bin"), bytes(20_000_000, 3)).unwrap();
    let shared = giver.node.publish(giver.path("data.bin")).await.unwrap();
    let mut get = taker.node.get(shared.cid()).to(taker.path("copy.bin")).start();
    while let Some(progress) = get.next().await {
        if progress.verified > 0 {
            break;
        }
    }
    assert!(alive() > before, "the nodes have tasks while they run");

    taker.node.stop().await.unwrap();
    giver.node.stop().await.unwrap();
    drop(get);
    eventually("the end of all tasks", || alive() <= before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_handle_stops_the_node() {
    let before = alive();
    let place = Place::start(None).await;
    let home = place.path("home");
    drop(place.node);
    eventually("the end of all tasks", || alive() <= before).await;
    start_in(&home, None).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_home_has_one_node_and_is_free_after_its_stop() {
    let place = Place::start(None).await;
    let peer = place.node.peer_id();
    let second = Node::builder().home(place.path("home")).start().await;
    let Err(StartError::Home(HomeError::InUse { pid, .. })) = second else {
        panic!("a second node started: {second:?}");
    };
    assert_eq!(pid, std::process::id());

    place.node.clone().stop().await.unwrap();
    drop(place.node);
    let again = start_in(&place.folder.path().join("home"), None).await;
    assert_eq!(again.peer_id(), peer, "the identity stays");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_stopped_is_stopped_for_every_handle() {
    let place = Place::start(None).await;
    fs::write(place.path("data.bin"), bytes(1000, 5)).unwrap();
    let kept = place.node.clone();
    let mut events = kept.events();
    let cid = kept.publish(place.path("data.bin")).await.unwrap().cid();
    kept.clone().stop().await.unwrap();

    let ends = |ends| tokio::time::timeout(Duration::from_secs(10), ends);
    let seen =
        tokio::time::timeout(Duration::from_secs(10), events.by_ref().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(events.next().await, None, "the end stays the end");
    assert!(seen.contains(&Event::Published(cid)), "what happened is told before the end: {seen:?}");
    assert_eq!(ends(kept.events().count()).await, Ok(0));
    assert!(matches!(kept.shares().await, Err(StoreError::Stopped)));
    assert!(matches!(kept.unpublish(Selector::Cid(cid)).await, Err(StoreError::Stopped)));
    assert!(matches!(kept.publish(place.folder.path()).await, Err(PublishError::Stopped)));
    assert!(matches!(kept.get(cid).to(place.path("copy")).await, Err(GetError::Stopped)));
    let nobodys = Cid::directory(Digest::of(b"nobody has it"));
    assert!(matches!(kept.get(nobodys).contents().await, Err(GetError::Stopped)));

    let mut get = kept.get(cid).to(place.path("copy")).start();
    assert_eq!(get.by_ref().count().await, 0);
    assert_eq!(get.next().await, None);
    assert!(get.await.is_err());

    let again = start_in(&place.path("home"), None).await;
    assert_eq!(again.shares().await.unwrap().len(), 1, "the handle that is kept holds nothing back");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_a_get_stops_it_and_the_next_one_goes_on() {
    const LEN: usize = 30_000_000;
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("data.bin"), bytes(LEN, 4)).unwrap();
    let shared = giver.node.publish(giver.path("data.bin")).await.unwrap();

    let mut get = taker.node.get(shared.cid()).to(taker.path("copy.bin")).start();
    let mut seen = 0;
    while let Some(progress) = get.next().await {
        seen = progress.verified;
        if seen > 1_000_000 {
            break;
        }
    }
    drop(get);
    assert!(seen > 1_000_000 && seen < LEN as u64, "it was cut off at {seen}");
    taker.node.jobs_done().await;
    assert!(!taker.path("copy.bin").exists());

    let fetched = taker.node.get(shared.cid()).to(taker.path("copy.bin")).await.unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), bytes(LEN, 4));
    let spared = LEN as u64 - fetched.received;
    assert!(spared >= 1_000_000, "only {spared} bytes were not fetched again");
}
