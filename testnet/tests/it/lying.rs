//! Peers that lie cost time, and never a wrong byte.

use std::{fs, path::PathBuf, time::Duration};

use shoal_node::{Cid, Digest, ErrorKind, Fetched, GetError, GetRequest, PeerId};
use shoal_testnet::{Cluster, Liar, Lie, Shape, sample, wait};

use crate::stage::{assert_same, publish, watch};

/// The size of the content: many groups, and not a whole number of them.
const SIZE: usize = 1_500_000;

/// A network of which one node wants a content that nobody has yet.
struct Scene {
    cluster: Cluster,
    original: PathBuf,
    content: Vec<u8>,
}

impl Scene {
    async fn set() -> Self {
        let cluster = Cluster::start(3, Shape::Star).await.unwrap();
        cluster.converged().await.unwrap();
        let (original, content) = (cluster.dir().join("original"), sample::bytes(1, SIZE));
        fs::write(&original, &content).unwrap();
        Self { cluster, original, content }
    }

    async fn liar(&self, lie: Lie) -> Liar {
        let hub = self.cluster.address(0).unwrap();
        Liar::join(self.cluster.network(), &hub, lie, &self.content).await.unwrap()
    }

    /// Publishes the content on an honest node.
    async fn publish(&self) -> PeerId {
        publish(self.cluster.node(1), &self.original).await;
        self.cluster.node(1).peer_id()
    }

    fn target(&self) -> PathBuf {
        self.cluster.dir().join("got")
    }

    fn get(&self) -> GetRequest {
        self.cluster.node(2).get(Cid::file(Digest::of(&self.content))).to(self.target())
    }

    async fn get_right(&self) -> Fetched {
        let fetched = self.get().await.unwrap();
        assert_same(&self.original, &self.target());
        fetched
    }
}

/// Why `peer` was dropped, if it was.
fn reason(fetched: &Fetched, peer: PeerId) -> Option<&str> {
    fetched.dropped.iter().find(|dropped| dropped.peer == peer).map(|dropped| dropped.reason.as_str())
}

/// How long a get waits for a peer that is silent, and for one that may come back.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);

/// Gets from nobody but one liar, with the expected kind of failure.
async fn check_alone(lie: Lie, patience: Duration, expected: Result<(), ErrorKind>) {
    let scene = Scene::set().await;
    let liar = scene.liar(lie).await;
    let result = scene.get().timeout(patience).await;
    assert!(liar.told() > 0, "{lie:?} was not told");
    assert_eq!(liar.learnt(), 0, "{lie:?} was told the name of what it seemed to have");
    match &result {
        Ok(_) => assert_same(&scene.original, &scene.target()),
        Err(_) => assert!(!scene.target().exists(), "{lie:?} put something under the final name"),
    }
    assert_eq!(result.as_ref().map(|_| ()).map_err(GetError::kind), expected, "{lie:?}: {result:?}");
    scene.cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_alone_is_found_out() {
    futures::join!(
        check_alone(Lie::FlipsBit, LONG, Err(ErrorKind::Mismatch)),
        check_alone(Lie::ClaimsSize(0), LONG, Err(ErrorKind::Mismatch)),
        check_alone(Lie::ClaimsSize(SIZE as u64 - 1), LONG, Err(ErrorKind::Mismatch)),
        check_alone(Lie::ClaimsSize(u64::MAX / 2), LONG, Err(ErrorKind::Mismatch)),
        check_alone(Lie::NeverEnds, LONG, Err(ErrorKind::Mismatch)),
        check_alone(Lie::HasNothing, LONG, Err(ErrorKind::NotFound)),
        check_alone(Lie::Hangs, SHORT, Err(ErrorKind::TimedOut)),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_peer_that_tells_the_truth_is_good_enough() {
    check_alone(Lie::Trickles(1_000_000), LONG, Ok(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_named_is_asked_for_content_before_it_has_said_that_it_has_it() {
    let scene = Scene::set().await;
    let provider = scene.liar(Lie::AnswersNoQuestion).await;
    let fetched = scene.get().peer(provider.address().clone()).timeout(LONG).await.unwrap();
    assert_same(&scene.original, &scene.target());
    assert!(fetched.sources.iter().all(|source| source.peer == provider.peer_id()), "{fetched:?}");
    assert_eq!(provider.learnt(), 0);
    scene.cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_honest_provider_is_enough() {
    let scene = Scene::set().await;
    let liars = [
        scene.liar(Lie::FlipsBit).await,
        scene.liar(Lie::ClaimsSize(SIZE as u64 + 1)).await,
        scene.liar(Lie::HasNothing).await,
        scene.liar(Lie::Hangs).await,
    ];
    let honest = scene.publish().await;
    let fetched = scene.get_right().await;
    assert!(liars.iter().any(|liar| liar.told() > 0), "nobody was lied to");
    assert!(fetched.sources.iter().any(|source| source.peer == honest), "{:?}", fetched.sources);
    assert_eq!(reason(&fetched, honest), None, "{:?}", fetched.dropped);
    scene.cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_names_who_was_dropped_and_why() {
    let scene = Scene::set().await;
    let liars = [
        scene.liar(Lie::FlipsBit).await,
        scene.liar(Lie::ClaimsSize(SIZE as u64 + 20_000)).await,
        scene.liar(Lie::Hangs).await,
    ];
    let mut get = scene.get().start();
    let all_dropped = watch(&mut get, |progress| progress.dropped.len() == liars.len()).await;
    assert!(all_dropped.is_some(), "the get ended before all were dropped: {:?}", get.await);
    let honest = scene.publish().await;
    let fetched = wait::within("the get", get).await.unwrap().unwrap();
    assert_same(&scene.original, &scene.target());
    let reasons = liars.each_ref().map(|liar| reason(&fetched, liar.peer_id()).unwrap_or("not dropped"));
    let wrong_bytes = "sent bytes that do not match";
    assert_eq!(reasons, [wrong_bytes, wrong_bytes, "stopped sending"], "{:?}", fetched.dropped);
    assert_eq!(fetched.sources.iter().map(|source| source.peer).collect::<Vec<_>>(), [honest]);
    assert!(liars.iter().all(|liar| liar.told() > 0), "a liar was dropped before it lied");
    scene.cluster.stop().await.unwrap();
}
