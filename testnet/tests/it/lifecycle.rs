//! A node that stops leaves nothing behind.

use shoal_testnet::{Cluster, Shape, wait};
use tokio::runtime::Handle;

use crate::stage::{LARGE, file, publish, watch};

#[tokio::test(flavor = "multi_thread")]
async fn stopping_leaves_no_task_and_frees_the_home() {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let mut cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let original = file(&cluster, "original", 1, LARGE);
    let cid = publish(cluster.node(1), &original).await;

    // Stop both ends in the middle of the work.
    let mut get = cluster.node(2).get(cid).to(cluster.dir().join("got")).start();
    let seen = watch(&mut get, |progress| progress.verified > 0).await;
    assert!(seen.is_some_and(|progress| progress.verified < LARGE), "the get was over too soon");
    assert!(metrics.num_alive_tasks() > before, "there were tasks to stop");
    for node in [2, 1] {
        cluster.stop_node(node).await.unwrap();
        // The home can be used at once, and its store knows what it knew.
        cluster.start_node(node).await.unwrap();
    }
    assert_eq!(cluster.node(1).shares().await.unwrap().len(), 1);
    assert!(get.await.is_err());

    cluster.stop().await.unwrap();
    // The tasks of closed connections notice that in their next turn.
    wait::eventually("no task is left", async || {
        let left = metrics.num_alive_tasks().saturating_sub(before);
        if left == 0 { Ok(()) } else { Err(format!("{left} are")) }
    })
    .await
    .unwrap();
}
