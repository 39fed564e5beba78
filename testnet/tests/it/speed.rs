//! Limits on how fast content moves: they hold, they can be changed, and they are never taken for a peer's fault.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::StreamExt;
use shoal_node::{Rate, Rates};
use shoal_testnet::{Cluster, Shape, sample, wait};

use crate::stage::{LARGE, assert_same, file, publish, watch};

/// What passes in the first moment, before a limit bites: pieces of every stream, and a burst.
const SLACK: u64 = 256 << 10;

fn rate(bytes: u64) -> Option<Rate> {
    Rate::per_second(bytes)
}

/// The least that `bytes` take at `per_second`. Nothing is said of the most: a busy machine may take longer.
fn least(bytes: u64, per_second: u64) -> Duration {
    Duration::from_millis((bytes - SLACK) * 1000 / per_second)
}

async fn check(upper: Rates, lower: Rates) {
    const SIZE: u64 = 4 << 20;
    const SPEED: u64 = 2_000_000;
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let (provider, getter) = (cluster.node(1), cluster.node(2));
    let path = file(&cluster, "original", 1, SIZE);
    let cid = publish(provider, &path).await;
    provider.set_rates(upper);
    getter.set_rates(lower);
    let target = cluster.dir().join("got");
    let start = Instant::now();
    wait::within("the get", getter.get(cid).to(&target).start()).await.unwrap().unwrap();
    assert!(start.elapsed() >= least(SIZE, SPEED), "{:?}", start.elapsed());
    assert_same(&path, &target);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_limited() {
    check(Rates { up: rate(2_000_000), ..Rates::default() }, Rates::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_received_is_limited() {
    check(Rates::default(), Rates { down: rate(2_000_000), ..Rates::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_peer_is_limited() {
    check(Rates { up_per_peer: rate(2_000_000), ..Rates::default() }, Rates::default()).await;
    check(Rates::default(), Rates { down_per_peer: rate(2_000_000), ..Rates::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_get_is_limited_alone() {
    const SIZE: u64 = 3 << 20;
    let cluster = Cluster::start(2, Shape::Star).await.unwrap();
    let (provider, getter) = (cluster.node(0), cluster.node(1));
    let (slow, fast) = (file(&cluster, "slow", 1, SIZE), file(&cluster, "fast", 2, LARGE));
    let (slow_cid, fast_cid) = (publish(provider, &slow).await, publish(provider, &fast).await);
    let start = Instant::now();
    let slow_get = getter.get(slow_cid).to(cluster.dir().join("slow.got")).down(rate(1_000_000)).start();
    wait::within("the other", getter.get(fast_cid).to(cluster.dir().join("fast.got")).start())
        .await
        .unwrap()
        .unwrap();
    wait::within("the limited get", slow_get).await.unwrap().unwrap();
    assert!(start.elapsed() >= least(SIZE, 1_000_000), "{:?}", start.elapsed());
    cluster.stop().await.unwrap();
}

/// A group takes longer than the get has patience, and that is nobody's fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_no_loss_of_patience() {
    let cluster = Cluster::start(2, Shape::Star).await.unwrap();
    let (provider, getter) = (cluster.node(0), cluster.node(1));
    let path = file(&cluster, "original", 1, 48 << 10);
    let cid = publish(provider, &path).await;
    getter.set_rates(Rates { down: rate(8000), ..Rates::default() });
    let target = cluster.dir().join("got");
    let get = getter.get(cid).to(&target).timeout(Duration::from_secs(1)).start();
    let fetched = wait::within("the get", get).await.unwrap().unwrap();
    assert_eq!(fetched.dropped, []);
    assert_same(&path, &target);
    cluster.stop().await.unwrap();
}

/// Small files come many in one request, which takes far longer than the get has patience when it is the receiver who is
/// slow, and none of them is whole for long when it is the sender.
async fn check_bundles(upper: Rates, lower: Rates, patience: Duration) {
    const FILES: u64 = 80;
    let cluster = Cluster::start(2, Shape::Star).await.unwrap();
    let (provider, getter) = (cluster.node(0), cluster.node(1));
    let path = cluster.dir().join("original");
    sample::write_equal(&path, 1, FILES, 700).unwrap();
    let cid = publish(provider, &path).await;
    provider.set_rates(upper);
    getter.set_rates(lower);
    let target = cluster.dir().join("got");
    let mut get = getter.get(cid).to(&target).timeout(patience).start();
    let some = watch(&mut get, |progress| progress.files_done > 0).await.unwrap();
    assert!(some.files_done < FILES, "files are placed as they come: {}", some.files_done);
    let fetched = wait::within("the get", get).await.unwrap().unwrap();
    assert_eq!((fetched.files, fetched.dropped.as_slice()), (FILES, [].as_slice()));
    assert_same(&path, &target);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_small_files_comes_under_a_slow_limit_of_either_side() {
    check_bundles(Rates { up: rate(20_000), ..Rates::default() }, Rates::default(), Duration::from_secs(20))
        .await;
    check_bundles(Rates::default(), Rates { down: rate(20_000), ..Rates::default() }, Duration::from_secs(1))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_lifted_while_it_bites() {
    let cluster = Cluster::start(2, Shape::Star).await.unwrap();
    let (provider, getter) = (cluster.node(0), cluster.node(1));
    let path = file(&cluster, "original", 1, LARGE);
    let cid = publish(provider, &path).await;
    // At this rate it would take most of an hour, and every stream waits for its turn for seconds.
    provider.set_rates(Rates { up: rate(20_000), ..Rates::default() });
    let target = cluster.dir().join("got");
    let mut get = getter.get(cid).to(&target).start();
    assert!(watch(&mut get, |progress| progress.verified > 0).await.is_some());
    provider.set_rates(Rates::default());
    wait::within("the get", get).await.unwrap().unwrap();
    assert_same(&path, &target);
    cluster.stop().await.unwrap();
}

/// Bytes of content that may pass while a question is answered: what is told at once of one request, and a little. Behind
/// content, it would wait for the whole window of a stream, which is twice as much.
const MEANWHILE: u64 = 128 << 10;

/// Asks who holds something else while content waits for its turn on the connection to the same peer.
async fn check_questions(upper: Rates, lower: Rates) {
    let cluster = Cluster::start(2, Shape::Star).await.unwrap();
    let (provider, getter) = (cluster.node(0), cluster.node(1));
    let [path, other] = [1, 2].map(|seed| file(&cluster, &format!("original-{seed}"), seed, LARGE));
    let (cid, other) = (publish(provider, &path).await, publish(provider, &other).await);
    provider.set_rates(upper);
    getter.set_rates(lower);
    let mut get = getter.get(cid).to(cluster.dir().join("got")).start();
    for _ in 0..5 {
        let before = watch(&mut get, |progress| progress.verified > 0).await.unwrap().verified;
        let found = getter.find(other, Vec::new()).filter_map(async |found| found.holders.into_iter().next());
        let holder = wait::within("the answer", pin!(found).next()).await.unwrap().expect("it has it");
        assert_eq!(holder.peer, provider.peer_id());
        let after = watch(&mut get, |_| true).await.unwrap().verified;
        assert!(after - before <= MEANWHILE, "{} bytes came before the answer", after - before);
    }
    drop(get);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_does_not_wait_behind_content_that_waits_for_its_turn() {
    const SLOW: u64 = 50_000;
    check_questions(Rates { up: rate(SLOW), ..Rates::default() }, Rates::default()).await;
    check_questions(Rates::default(), Rates { down: rate(SLOW), ..Rates::default() }).await;
}
