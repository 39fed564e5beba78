//! A damaged home costs work, not shares.

use std::{fs, time::Duration};

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
