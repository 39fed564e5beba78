//! Peers that pretend to fetch the same directory, and those who do and are gone before they have it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use shoal_node::{Cid, Fetched};
use shoal_testnet::{Claim, Cluster, Liar, Lie, Shape, sample, wait};

use crate::stage::{assert_same, publish};

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
    assert!(liar.claimed() > 0 && liar.told() > 0, "{lie:?} {claim:?}: nobody was lied to");
    assert!(took < GOOD_TIME, "{lie:?} {claim:?}: it took {took:?}");
    let of = |peer| fetched.dropped.iter().find(|dropped| dropped.peer == peer);
    assert_eq!(of(scene.cluster.node(1).peer_id()), None, "{lie:?} {claim:?}");
    if let Some(blamed) = blamed {
        let reason = of(liar.peer_id()).map(|dropped| dropped.reason.as_str());
        assert_eq!(reason, Some(blamed), "{lie:?} {claim:?}");
    }
    scene.cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_files_and_sends_wrong_bytes_is_dropped() {
    for claim in [Claim::All, Claim::Beyond, Claim::Scattered, Claim::Changing] {
        check(Lie::FlipsBit, claim, Some("sent bytes that do not match")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_files_and_has_none_costs_little_time() {
    for claim in [Claim::All, Claim::Beyond, Claim::Scattered, Claim::Changing] {
        check(Lie::HasNothing, claim, Some("does not have it")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_claims_files_and_hangs_costs_little_time() {
    for claim in [Claim::All, Claim::Beyond, Claim::Scattered, Claim::Changing] {
        check(Lie::Hangs, claim, None).await;
    }
}
