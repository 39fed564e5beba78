//! What the scenarios have in common: files to publish, and gets to watch.

use std::path::{Path, PathBuf};

use futures::StreamExt;
use shoal_node::{Cid, Get, GetProgress, Node};
use shoal_testnet::{Cluster, Snapshot, sample, wait};

/// A file that takes long enough to be met half way.
pub(crate) const LARGE: u64 = 48 << 20;

/// Writes a file into the cluster's folder.
pub(crate) fn file(cluster: &Cluster, name: &str, seed: u64, size: u64) -> PathBuf {
    let path = cluster.dir().join(name);
    sample::write_file(&path, seed, size).unwrap();
    path
}

/// Publishes `path`, and waits until the network knows.
pub(crate) async fn publish(node: &Node, path: &Path) -> Cid {
    let mut shared = node.publish(path).await.unwrap();
    let announced = wait::within("the announcement", shared.announced()).await.unwrap();
    assert!(announced.acknowledged > 0, "{announced:?}");
    shared.cid()
}

/// Reads the progress of `get` until `enough`; `None` when the get ended before.
pub(crate) async fn watch(get: &mut Get, enough: impl Fn(&GetProgress) -> bool) -> Option<GetProgress> {
    let watching = async {
        while let Some(progress) = get.next().await {
            if enough(&progress) {
                return Some(progress);
            }
        }
        None
    };
    wait::within("progress of the get", watching).await.unwrap()
}

/// Panics where two files or trees are not the same.
pub(crate) fn assert_same(original: &Path, copy: &Path) {
    let (original, copy) = (Snapshot::of(original).unwrap(), Snapshot::of(copy).unwrap());
    assert_eq!(original.difference(&copy), None);
}
