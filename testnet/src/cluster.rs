//! Many nodes in one process, connected by memory.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use libp2p::Multiaddr;
use shoal_node::{Limits, NetworkName, Node, Scope, Transport};
use tempfile::TempDir;

use crate::wait::eventually;

/// Tells the networks of one process apart, so that tests that run at the same time never meet.
static NETWORKS: AtomicU64 = AtomicU64::new(0);

/// Whom each node is told of at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All are told of the first.
    Star,
    /// Each is told of the one before it.
    Chain,
}

/// Nodes with a home each, in a network of their own. Dropping it stops them all without farewell.
///
/// ```no_run
/// # async fn run() -> anyhow::Result<()> {
/// use shoal_testnet::{Cluster, Shape};
///
/// let cluster = Cluster::start(12, Shape::Chain).await?;
/// let shared = cluster.node(0).publish("photos/").await?;
/// cluster.node(11).get(shared.cid()).to("out/").await?;
/// cluster.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Cluster {
    network: NetworkName,
    shape: Shape,
    nodes: Vec<Option<Node>>,
    dir: TempDir,
}

impl Cluster {
    /// Starts `count` nodes.
    ///
    /// # Errors
    ///
    /// A node does not start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the nodes that were started.
    pub async fn start(count: usize, shape: Shape) -> Result<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = format!("cluster-{number}").parse()?;
        let mut cluster = Self { network, shape, nodes: Vec::new(), dir: tempfile::tempdir()? };
        for index in 0..count {
            cluster.nodes.push(None);
            cluster.start_node(index).await?;
        }
        Ok(cluster)
    }

    /// The network that the nodes are in.
    pub fn network(&self) -> &NetworkName {
        &self.network
    }

    /// A folder for the files of the scenario, gone with the cluster.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the node at `index` has its home.
    pub fn home(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("home-{index}"))
    }

    /// The node at `index`.
    #[expect(clippy::panic, reason = "a scenario that uses a node which it stopped is wrong itself")]
    pub fn node(&self, index: usize) -> &Node {
        match self.nodes.get(index) {
            Some(Some(node)) => node,
            _ => panic!("node {index} is not running"),
        }
    }

    /// An address of the node at `index`.
    ///
    /// # Errors
    ///
    /// It listens nowhere.
    pub fn address(&self, index: usize) -> Result<Multiaddr> {
        let node = self.node(index);
        let address = node.addresses().into_iter().next();
        let address = address.with_context(|| format!("node {index} listens nowhere"))?;
        Ok(address.with_p2p(node.peer_id()).unwrap_or_else(|named| named))
    }

    /// Starts the node at `index`, on the home that it had before if it was stopped.
    ///
    /// # Errors
    ///
    /// The node does not start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the node stopped.
    pub async fn start_node(&mut self, index: usize) -> Result<()> {
        // What is resident is this process, with all its nodes and whoever attacks others from it.
        let mut limits = Limits::default();
        limits.memory = usize::MAX;
        let builder = Node::builder()
            .limits(limits)
            .home(self.home(index))
            .network(self.network.clone())
            .transport(Transport::Memory)
            .mdns(false)
            .listen("/memory/0".parse()?);
        let known = match (self.shape, index) {
            (_, 0) => None,
            (Shape::Star, _) => Some(self.address(0)?),
            (Shape::Chain, _) => Some(self.address(index - 1)?),
        };
        let node = known.into_iter().fold(builder, shoal_node::Builder::peer).start().await;
        self.nodes[index] = Some(node.with_context(|| format!("node {index}"))?);
        Ok(())
    }

    /// Stops the node at `index` and keeps its home.
    ///
    /// # Errors
    ///
    /// It does not stop in time.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a node that is stopped half way is of no use.
    pub async fn stop_node(&mut self, index: usize) -> Result<()> {
        match self.nodes.get_mut(index).and_then(Option::take) {
            Some(node) => Ok(node.stop().await?),
            None => Ok(()),
        }
    }

    /// Waits until every running node has another one in its routing table.
    ///
    /// # Errors
    ///
    /// Some node stays alone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn converged(&self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            eventually("every node knows another", async || {
                let tables = node.status().await.tables;
                let known =
                    tables.iter().find(|(scope, _)| *scope == Scope::Lan).map_or(0, |(_, peers)| *peers);
                if known > 0 { Ok(()) } else { Err(format!("node {index} is alone")) }
            })
            .await?;
        }
        Ok(())
    }

    /// Stops every node.
    ///
    /// # Errors
    ///
    /// One of them does not stop in time.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: some nodes stay running until the future's rest is dropped.
    pub async fn stop(mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            self.stop_node(index).await?;
        }
        Ok(())
    }
}
