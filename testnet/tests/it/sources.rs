//! A published file that its owner edits, truncates, replaces or deletes, also while it is sent.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use shoal_node::ShareState;
use shoal_testnet::{Cluster, Shape, sample, wait};

use crate::stage::{LARGE, assert_same, file, publish, watch};

/// How long a get waits here for a source that will not come back.
const PATIENCE: Duration = Duration::from_secs(3);

/// Changes a file, to be told apart from what was published.
type Change = fn(&Path);

fn edit(path: &Path) {
    // Near the end, where a get that goes from the front has not been yet.
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"edited", LARGE - 100).unwrap();
}

fn truncate(path: &Path) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(LARGE / 2).unwrap();
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    sample::write_file(&other, 99, LARGE).unwrap();
    fs::rename(other, path).unwrap();
}

fn delete(path: &Path) {
    fs::remove_file(path).unwrap();
}

async fn check(change: Change, expected: ShareState) {
    let cluster = Cluster::start(3, Shape::Star).await.unwrap();
    cluster.converged().await.unwrap();
    let (provider, getter) = (cluster.node(1), cluster.node(2));
    let path = file(&cluster, "original", 1, LARGE);
    let cid = publish(provider, &path).await;
    let copy = cluster.dir().join("copy");
    fs::copy(&path, &copy).unwrap();

    let target = cluster.dir().join("got");
    let mut get = getter.get(cid).to(&target).timeout(PATIENCE).start();
    let seen = watch(&mut get, |progress| progress.verified > 0).await;
    assert!(seen.is_some_and(|progress| progress.verified < LARGE), "the get was over too soon");
    change(&path);
    // What was sent before counts, so the get may end well; but never with other bytes, and never not at all.
    match wait::within("the end of the get", get).await.unwrap() {
        Ok(_) => assert_same(&copy, &target),
        Err(_) => assert!(!target.exists(), "a get that failed left something under the final name"),
    }

    wait::eventually("the share is known to be broken", async || {
        let shares = provider.shares().await.unwrap();
        let state = shares.first().map(|share| share.state);
        if state == Some(expected) { Ok(()) } else { Err(format!("it is {state:?}")) }
    })
    .await
    .unwrap();
    if !target.exists() {
        getter.get(cid).to(cluster.dir().join("later")).timeout(PATIENCE).await.unwrap_err();
    }

    // Publishing what is there now heals it.
    if !path.exists() {
        fs::copy(&copy, &path).unwrap();
    }
    let healed = publish(provider, &path).await;
    let states: Vec<_> =
        provider.shares().await.unwrap().into_iter().map(|share| (share.cid, share.state)).collect();
    assert_eq!(states, [(healed, ShareState::Ok)]);
    let again = cluster.dir().join("again");
    getter.get(healed).to(&again).await.unwrap();
    assert_same(&path, &again);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_edited() {
    check(edit, ShareState::Changed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_truncated() {
    check(truncate, ShareState::Changed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced() {
    check(replace, ShareState::Changed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted() {
    check(delete, ShareState::Missing).await;
}
