//! Peers that pretend to fetch the same directory, and those who do and are gone before they have it.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::future::join_all;
use shoal_node::{Cid, Fetched, GetProgress, Rate, Rates};
use shoal_testnet::{Claim, Cluster, Liar, Lie, Shape, sample, wait};

use crate::stage::{assert_same, publish, watch};

/// Files that come many in one request, and files that come each by itself. Together they are enough for those who fetch
/// them at the same time to begin with different ones.
const SHORT_FILES: (u64, u64) = (100, 100_000);
const LONG_FILES: (u64, u64) = (5, 2_000_000);

/// How long a get may take beside a liar: less than any one silence is waited for.
const GOOD_TIME: Duration = Duration::from_secs(18);

/// A directory that one node has and another wants.
struct Scene {
    cluster: Cluster,
    tree: PathBuf,
    cid: Cid,
}

impl Scene {
    async fn set(nodes: usize) -> Self {
        let cluster = Cluster::start(nodes, Shape::Star).await.unwrap();
        cluster.converged().await.unwrap();
        let tree = cluster.dir().join("tree");
        for (name, seed, (files, size)) in [("short", 1, SHORT_FILES), ("long", 2, LONG_FILES)] {
            sample::write_equal(&tree.join(name), seed, files, size).unwrap();
        }
        let cid = publish(cluster.node(1), &tree).await;
        Self { cluster, tree, cid }
    }

    async fn liar(&self, lie: Lie, claim: Claim) -> Liar {
        let hub = self.cluster.address(0).unwrap();
        Liar::of_directory(self.cluster.network(), &hub, (lie, claim), &self.tree).await.unwrap()
    }

    fn target(&self) -> PathBuf {
        self.cluster.dir().join("got")
    }

    async fn get(&self) -> (Fetched, Duration) {
        let started = Instant::now();
        let get = self.cluster.node(2).get(self.cid).to(self.target());
        let fetched = wait::within("the get", get.into_future()).await.unwrap().unwrap();
        assert_same(&self.tree, &self.target());
        (fetched, started.elapsed())
    }
}

/// Gets a directory from an honest holder, beside one that pretends to fetch it too.
async fn check(lie: Lie, claim: Claim, blamed: Option<&str>) {
    let scene = Scene::set(3).await;
    let liar = scene.liar(lie, claim).await;
    let (fetched, took) = scene.get().await;
    println!("{lie:?} {claim:?}: {took:?}, claimed {}, told {}", liar.claimed(), liar.told());
    let true_ones = if let Lie::HangsAfter(times) = lie { times } else { 0 };
    assert!(liar.claimed() > 0 && liar.told() > true_ones, "{lie:?} {claim:?}: nobody was lied to");
    assert!(took < GOOD_TIME, "{lie:?} {claim:?}: it took {took:?}");
    let of = |peer| fetched.dropped.iter().find(|dropped| dropped.peer == peer);
    assert_eq!(of(scene.cluster.node(1).peer_id()), None, "{lie:?} {claim:?}");
    if let Some(blamed) = blamed {
        let reason = of(liar.peer_id()).map(|dropped| dropped.reason.as_str());
        assert_eq!(reason, Some(blamed), "{lie:?} {claim:?}");
    }
    scene.cluster.stop().await.unwrap();
}

/// The same beside one that claims each kind of thing.
async fn check_claims(lie: Lie, blamed: Option<&str>) {
    let claims = [Claim::All, Claim::Beyond, Claim::Scattered, Claim::Changing];
    join_all(claims.map(|claim| check(lie, claim, blamed))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_files_and_sends_wrong_bytes_is_dropped() {
    check_claims(Lie::FlipsBit, Some("sent bytes that do not match")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_files_and_has_none_costs_little_time() {
    check_claims(Lie::HasNothing, Some("does not have it")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_files_and_hangs_costs_little_time() {
    check_claims(Lie::Hangs, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_brings_files_and_then_hangs_costs_little_time() {
    check_claims(Lie::HangsAfter(20), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_holder_lost_comes_from_elsewhere_beside_one_that_claims_it_again_and_again() {
    let scene = Scene::set(4).await;
    let lost = scene.tree.join("short/000/000007.dat");
    let kept = scene.cluster.dir().join("kept");
    fs::copy(&lost, &kept).unwrap();
    let liar = scene.liar(Lie::HasNothing, Claim::Changing).await;
    publish(scene.cluster.node(3), &kept).await;
    fs::write(&lost, b"lost").unwrap();
    let get = scene.cluster.node(2).get(scene.cid).to(scene.target());
    wait::within("the get", get.into_future()).await.unwrap().unwrap();
    fs::copy(&kept, &lost).unwrap();
    assert_same(&scene.tree, &scene.target());
    assert!(liar.claimed() > 1 && liar.told() > 0, "nobody was lied to");
    scene.cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fetches_the_same_and_dies_leaves_nothing_undone() {
    let mut scene = Scene::set(4).await;
    let dying = scene.cluster.node(3).peer_id();
    // So that they meet before either is done.
    let limit = Rates { up: Rate::per_second(3_000_000), ..Rates::default() };
    scene.cluster.node(1).set_rates(limit);
    let doomed = scene.cluster.node(3).get(scene.cid).to(scene.cluster.dir().join("doomed")).start();
    let mut get = scene.cluster.node(2).get(scene.cid).to(scene.target()).start();
    let of_the_dying = |progress: &GetProgress| {
        progress.sources.iter().any(|source| source.peer == dying && source.bytes > 0)
    };
    let met = watch(&mut get, of_the_dying).await;
    assert!(met.is_some_and(|progress| progress.verified < progress.total.unwrap_or(u64::MAX)), "too soon");
    scene.cluster.stop_node(3).await.unwrap();
    assert!(doomed.await.is_err(), "it was done before it died");
    scene.cluster.node(1).set_rates(Rates::default());
    wait::within("the get", get).await.unwrap().unwrap();
    assert_same(&scene.tree, &scene.target());
    scene.cluster.stop().await.unwrap();
}
