//! A node that makes few dials at once tells those of its keys who are nearest to them, right after it joined.

use super::*;
use crate::sim::member::shoal;

/// Nodes there are before it comes.
const OTHERS: usize = 60;

/// Of the twenty nodes nearest to a key, how many should hold it on average.
const NEAR: f64 = 17.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walks_that_want_more_dials_than_the_node_makes_end_where_they_go_all_the_same() {
    let way = Way { one_way: Duration::from_millis(5), handshake: 2 };
    let mut network = Network::settled::<Shoal>(Seed(1), way, Region::Internet, OTHERS).await.unwrap();
    let mut connections = shoal_node::Limits::default();
    connections.pending = 8;
    let few = shoal::Options {
        limits: shoal_dht::Limits { dials: 6, ..Default::default() },
        connections,
        ..Default::default()
    };
    let made = |key: &_, address: &_| Shoal::with(key, address, &few);
    let owner = network.join_with(Region::Internet, made).await.unwrap();
    let keys: Vec<_> = (0..400).map(|number| network.seed.key("item", number)).collect();
    owner.announce_to_the_last(keys.clone()).await.unwrap();
    let (copies, near) = copies(&network.members, &owner, &keys.into()).await.unwrap();
    assert!(near.mean() >= NEAR, "{:.1} of the nearest, {:.1} in all", near.mean(), copies.mean());
}
