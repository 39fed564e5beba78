//! Several gets of one content at once.

use std::{fs, future::IntoFuture};

use futures::StreamExt;
use shoal_node::Stage;

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
