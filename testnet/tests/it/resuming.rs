//! A get that is cut off goes on where it was.

use shoal_testnet::{Cluster, Shape, wait};

use crate::stage::{LARGE, assert_same, file, publish, watch};

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_was_dropped_goes_on_where_it_was() {
    const SIZE: u64 = 2 * LARGE;
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let original = file(&cluster, "original", 1, SIZE);
    let (provider, getter) = (cluster.node(1), cluster.node(2));
    let cid = publish(provider, &original).await;
    let target = cluster.dir().join("got");
    for part in 1..3 {
        let mut get = getter.get(cid).to(&target).start();
        let seen = watch(&mut get, |progress| progress.verified > SIZE * part / 4).await;
        assert!(seen.is_some_and(|progress| progress.verified < SIZE), "the get was over too soon");
    }
    let fetched = getter.get(cid).to(&target).await.unwrap();
    assert_same(&original, &target);
    assert!(fetched.received < SIZE * 3 / 4, "{} bytes were received again", fetched.received);
    let sent = provider.status().await.sent;
    assert!((SIZE..=SIZE * 11 / 10).contains(&sent), "{sent} bytes sent for {SIZE}");
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_get_stops_its_work() {
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let original = file(&cluster, "original", 1, LARGE);
    let (provider, getter) = (cluster.node(1), cluster.node(2));
    let cid = publish(provider, &original).await;
    let target = cluster.dir().join("got");
    let mut get = getter.get(cid).to(&target).start();
    let seen = watch(&mut get, |progress| progress.verified > 0).await;
    assert!(seen.is_some_and(|progress| progress.verified < LARGE), "the get was over too soon");
    drop(get);
    wait::eventually("both ends are idle", async || {
        let (jobs, sending) = (getter.status().await.jobs, provider.status().await.sending);
        if (jobs, sending) == (0, 0) {
            Ok(())
        } else {
            Err(format!("{jobs} jobs and {sending} transfers are left"))
        }
    })
    .await
    .unwrap();
    assert!(getter.status().await.received < LARGE);
    assert!(!target.exists());
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_survives_that_its_provider_restarts() {
    let mut cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let original = file(&cluster, "original", 1, LARGE);
    let cid = publish(cluster.node(1), &original).await;
    let target = cluster.dir().join("got");
    let mut get = cluster.node(2).get(cid).to(&target).start();
    let seen = watch(&mut get, |progress| progress.verified > LARGE / 4).await;
    assert!(seen.is_some_and(|progress| progress.verified < LARGE), "the get was over too soon");
    cluster.stop_node(1).await.unwrap();
    cluster.start_node(1).await.unwrap();
    wait::within("the get", get).await.unwrap().unwrap();
    assert_same(&original, &target);
    cluster.stop().await.unwrap();
}
