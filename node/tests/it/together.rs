//! Several gets of one content at once.

use std::{fs, future::IntoFuture, path::Path};

use futures::StreamExt;
use shoal_node::{GetError, Stage};

use crate::world::{Place, bytes};

const LEN: usize = 20_000_000;

#[tokio::test]
async fn two_gets_of_one_content_fetch_it_once() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("data.bin"), bytes(LEN, 1)).unwrap();
    let cid = giver.node.publish(giver.path("data.bin")).await.unwrap().cid();

    for seed in [true, false] {
        let name = |number: u8| taker.path(&format!("{seed}-{number}"));
        let get = |number: u8| taker.node.get(cid).to(name(number)).seed(seed).into_future();
        let (one, two, three) = futures::join!(get(1), get(2), get(3));
        let received: u64 = [one, two, three].map(|fetched| fetched.unwrap().received).iter().sum();
        assert_eq!(received, LEN as u64, "shared afterwards: {seed}");
        for number in 1..=3 {
            assert!(fs::read(name(number)).unwrap() == bytes(LEN, 1));
        }
        taker.node.unpublish(shoal_node::Selector::Cid(cid)).await.unwrap();
    }
}

#[tokio::test]
async fn a_get_that_waits_goes_on_when_the_other_is_cut_off() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("data.bin"), bytes(LEN, 2)).unwrap();
    let cid = giver.node.publish(giver.path("data.bin")).await.unwrap().cid();

    let mut first = taker.node.get(cid).to(taker.path("first")).start();
    while let Some(progress) = first.next().await {
        if progress.verified > 0 {
            break;
        }
    }
    let mut second = taker.node.get(cid).to(taker.path("second")).start();
    while let Some(progress) = second.next().await {
        if progress.stage == Stage::Waiting {
            break;
        }
    }
    drop(first);
    second.await.unwrap();
    assert!(fs::read(taker.path("second")).unwrap() == bytes(LEN, 2));
    let first = taker.node.get(cid).to(taker.path("first")).await.unwrap();
    assert_eq!(first.received, 0, "the rest is copied from the second");
}

/// What is in a folder, hidden or not.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn two_gets_to_one_target_both_end_with_the_content_there() {
    let giver = Place::start(None).await;
    let taker = Place::start(Some(&giver.node)).await;
    fs::write(giver.path("data.bin"), bytes(LEN, 3)).unwrap();
    let tree = giver.path("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(tree.join("long"), bytes(LEN, 4)).unwrap();
    for number in 0..20 {
        fs::write(tree.join(format!("a/{number}")), bytes(1000, number)).unwrap();
    }
    for path in [giver.path("data.bin"), tree] {
        let cid = giver.node.publish(&path).await.unwrap().cid();
        let folder = taker.path(&format!("of {}", path.file_name().unwrap().display()));
        fs::create_dir(&folder).unwrap();
        let get = || taker.node.get(cid).to(folder.join("target")).into_future();
        let (one, two) = futures::join!(get(), get());
        let there = [one.unwrap(), two.unwrap()].map(|fetched| fetched.already_there);
        assert!(there == [true, false] || there == [false, true], "one of them places it: {there:?}");
        assert_eq!(names(&folder), ["target"], "and nothing is left beside it");
    }
}

#[tokio::test]
async fn what_another_node_receives_at_the_target_is_not_called_the_target() {
    let giver = Place::start(None).await;
    let (one, two) = (Place::start(Some(&giver.node)).await, Place::start(Some(&giver.node)).await);
    fs::write(giver.path("data.bin"), bytes(LEN, 5)).unwrap();
    let cid = giver.node.publish(giver.path("data.bin")).await.unwrap().cid();

    let mut first = one.node.get(cid).to(one.path("target")).start();
    while let Some(progress) = first.next().await {
        if progress.verified > 0 {
            break;
        }
    }
    drop(first);
    let part = one.path(".target.shoal-part");
    assert!(part.exists());
    let error = two.node.get(cid).to(one.path("target")).await.unwrap_err();
    assert!(matches!(&error, GetError::Foreign { path } if *path == part), "{error}");
    one.node.get(cid).to(one.path("target")).await.unwrap();
    assert!(two.node.get(cid).to(one.path("target")).await.unwrap().already_there);
}
