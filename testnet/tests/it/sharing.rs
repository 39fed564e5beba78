//! Content gets from who has it to who wants it.

use std::path::Path;

use shoal_node::Kind;
use shoal_testnet::{Cluster, SIZES, Shape, sample, wait};

use crate::stage::{LARGE, assert_same, file, publish, watch};

#[tokio::test(flavor = "multi_thread")]
async fn one_publishes_and_another_gets_files_of_every_interesting_size() {
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    for (size, why) in SIZES {
        let original = file(&cluster, &format!("{size}.bin"), *size, *size);
        let cid = publish(cluster.node(1), &original).await;
        let target = cluster.dir().join(format!("{size}.got"));
        let fetched = cluster.node(2).get(cid).to(&target).await.unwrap();
        assert_eq!((fetched.size, fetched.files), (*size, 1), "{why}");
        assert_same(&original, &target);
    }
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_a_chain_gets_what_the_first_published() {
    let cluster = Cluster::start(12, Shape::Chain).await.unwrap();
    cluster.converged().await.unwrap();
    let original = file(&cluster, "original", 1, 1 << 20);
    let cid = publish(cluster.node(0), &original).await;
    let target = cluster.dir().join("got");
    cluster.node(11).get(cid).to(&target).await.unwrap();
    assert_same(&original, &target);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gets_of_different_things_go_on_at_once() {
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let (first, second) = (file(&cluster, "first", 1, 8 << 20), file(&cluster, "second", 2, 8 << 20));
    let (first_cid, second_cid) =
        (publish(cluster.node(0), &first).await, publish(cluster.node(1), &second).await);
    let node = cluster.node(2);
    let (first_target, second_target) = (cluster.dir().join("first.got"), cluster.dir().join("second.got"));
    let both = futures::join!(
        node.get(first_cid).to(&first_target).into_future(),
        node.get(second_cid).to(&second_target).into_future(),
    );
    assert_eq!(both.0.unwrap().cid, first_cid);
    assert_eq!(both.1.unwrap().cid, second_cid);
    assert_same(&first, &first_target);
    assert_same(&second, &second_target);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_two_thousand_files_arrives_whole() {
    const FILES: usize = 2000;
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let original = cluster.dir().join("tree");
    sample::write_tree(&original, 1, FILES).unwrap();
    let cid = publish(cluster.node(1), &original).await;
    assert_eq!(cid.kind(), Kind::Directory);
    let target = cluster.dir().join("got");
    let fetched = cluster.node(2).get(cid).to(&target).await.unwrap();
    assert_eq!(fetched.files, FILES as u64);
    assert_same(&original, &target);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_getting_it_serves_what_it_has() {
    let mut cluster = Cluster::start(4, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let original = file(&cluster, "original", 1, LARGE);
    let cid = publish(cluster.node(1), &original).await;

    let first_target = cluster.dir().join("first");
    let mut first = cluster.node(2).get(cid).to(&first_target).start();
    let seen = watch(&mut first, |progress| progress.verified > LARGE / 4).await;
    assert!(seen.is_some_and(|progress| progress.verified < LARGE), "the get was over too soon");
    cluster.stop_node(1).await.unwrap();

    // Now nobody has all of it, and still something comes.
    let getter = cluster.node(2).peer_id();
    let second_target = cluster.dir().join("second");
    let mut second = cluster.node(3).get(cid).to(&second_target).start();
    let seen = watch(&mut second, |progress| progress.verified > 0).await.expect("some of it");
    assert_eq!(seen.sources.iter().map(|source| source.peer).collect::<Vec<_>>(), [getter]);

    cluster.start_node(1).await.unwrap();
    for get in [first, second] {
        wait::within("the rest", get).await.unwrap().unwrap();
    }
    assert_same(&original, &first_target);
    assert_same(&original, &second_target);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_at_the_holder_of_a_directory_comes_from_elsewhere_to_all_who_get_it_at_once() {
    const FILES: u64 = 6;
    // Files that are received each by itself, and many in one request.
    for size in [1_300_000, 150_000] {
        let cluster = Cluster::start(5, Shape::Star).await.unwrap();
        cluster.converged().await.unwrap();
        let (shared, kept) = (cluster.dir().join("tree"), cluster.dir().join("kept"));
        for root in [&shared, &kept] {
            sample::write_equal(root, 1, FILES, size).unwrap();
        }
        let cid = publish(cluster.node(1), &shared).await;
        let changes = Path::new("000").join("000003.dat");
        publish(cluster.node(4), &kept.join(&changes)).await;
        std::fs::write(shared.join(&changes), b"not what it was").unwrap();

        let targets = [2, 3].map(|number| cluster.dir().join(format!("got-{number}")));
        let gets =
            targets.iter().zip([2, 3]).map(|(target, number)| cluster.node(number).get(cid).to(target));
        let gets = futures::future::join_all(gets.map(IntoFuture::into_future));
        for got in wait::within("both", gets).await.unwrap() {
            got.unwrap();
        }
        for target in &targets {
            assert_same(&kept, target);
        }
        cluster.stop().await.unwrap();
    }
}
