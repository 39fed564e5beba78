//! What a node remembers for others outlives its restart, and costs it nothing when it is lost.

use std::{fs, path::Path, time::Duration};

use shoal_node::{Announce, Node, Transport, Via};
use shoal_store::Strangers;

use crate::world::{Place, start_in};

/// Waits until a node holds so many records of others.
async fn holds(node: &Node, records: usize) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while node.status().await.records != records {
        let held = node.status().await.records;
        assert!(tokio::time::Instant::now() < deadline, "it holds {held} records instead of {records}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes three files on a node that another one knows, so that it holds their records; then both are gone.
///
/// The publisher is not stopped politely: it would take its records back.
async fn three_records(home: &Path) {
    let keeper = start_in(home, None).await;
    let publisher = Place::start(Some(&keeper)).await;
    for name in ["one", "two", "three"] {
        fs::write(publisher.path(name), name).unwrap();
        let mut shared = publisher.node.publish(publisher.path(name)).await.unwrap();
        shared.announced().await;
    }
    holds(&keeper, 3).await;
    keeper.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    three_records(&home).await;
    for _ in 0..2 {
        let keeper = start_in(&home, None).await;
        holds(&keeper, 3).await;
        keeper.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_makes_no_sense_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let node = start_in(&home, None).await;
    let records = node.paths().records.clone();
    node.stop().await.unwrap();
    fs::write(&records, b"no database at all").unwrap();
    three_records(&home).await;
    let node = start_in(&home, None).await;
    holds(&node, 3).await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_keep_records_works_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let node = start_in(&home, None).await;
    let records = node.paths().records.clone();
    node.stop().await.unwrap();
    drop(fs::remove_file(&records));
    fs::create_dir(&records).unwrap();
    three_records(&home).await;
    let node = start_in(&home, None).await;
    let named = |problem: &String| problem.contains("restart") && problem.contains("records.redb");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let status = node.status().await;
        assert_eq!(status.panics, 0);
        if status.problems.iter().any(named) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{:?}", status.problems);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await.unwrap();
    assert!(records.is_dir(), "what is not ours stays");

    fs::remove_dir(&records).unwrap();
    three_records(&home).await;
    let node = start_in(&home, None).await;
    holds(&node, 3).await;
    assert!(!node.status().await.problems.iter().any(named), "it can be used again");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_no_records_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    three_records(&home).await;
    let (path, network) = (home.join("records.redb"), "test".parse().unwrap());
    let mut strangers = Strangers::open(&path, &network).unwrap();
    let garbage = [(b"garbage".to_vec(), Some(b"rot".to_vec())), (vec![0; 71], Some(vec![7; 100]))];
    strangers.write(garbage).unwrap();
    assert_eq!(strangers.read(None, 100).unwrap().len(), 5);
    drop(strangers);

    let keeper = start_in(&home, None).await;
    assert_eq!(keeper.paths().records, path);
    holds(&keeper, 3).await;
    keeper.stop().await.unwrap();
    assert_eq!(Strangers::open(&path, &network).unwrap().read(None, 100).unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_had_it_before_is_asked_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Node::builder()
        .home(folder.path().join("provider"))
        .transport(Transport::Memory)
        .announce(Announce::Nothing);
    let provider = provider.network("test".parse().unwrap()).start().await.unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "what is announced nowhere").unwrap();
    let cid = provider.publish(&file).await.unwrap().cid();

    let home = folder.path().join("home");
    let node = start_in(&home, None).await;
    let paths = node.paths().clone();
    let mut get = node.get(cid).to(folder.path().join("first")).seed(false);
    for address in provider.addresses() {
        get = get.peer(address);
    }
    get.await.unwrap();
    node.stop().await.unwrap();
    // Neither from earlier connections nor by an announcement.
    drop(fs::remove_file(&paths.peers));

    let node = start_in(&home, None).await;
    let found = node.find(cid, Vec::new()).await;
    let holders: Vec<_> = found.holders.iter().map(|holder| (holder.peer, holder.via)).collect();
    assert_eq!(holders, [(provider.peer_id(), Via::Former)]);
    node.get(cid).to(folder.path().join("second")).seed(false).await.unwrap();
    node.stop().await.unwrap();

    drop(fs::remove_file(&paths.peers));
    fs::remove_file(&paths.holders).unwrap();
    let node = start_in(&home, None).await;
    assert!(node.find(cid, Vec::new()).await.holders.is_empty(), "there is no other way to it");
}
