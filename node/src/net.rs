//! The network side of a node: one task owns the Swarm, and [`Net`] is how the rest of the node talks to it.
//!
//! Bulk bytes never pass through that task. A range stream is opened or accepted by the Swarm and then belongs to the
//! task that uses it.

mod behaviour;
mod book;
mod dialling;
mod eager;
mod gate;
mod guard;
mod head_start;
mod mux;
mod port;
mod reseed;
mod run;
mod security;
mod shared;
mod socket;
mod tls;

use std::{sync::Arc, time::Duration};

use futures::Stream;
use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;
use shoal_dht::{OverlayStats, OwnKey, Scope};
use shoal_transfer::have;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    config::{Builder, Transport},
    tasks::Tasks,
};

pub use self::guard::{Guard, ruled};
pub(crate) use self::{
    behaviour::{Behaviour, Parts, build, protocol_version},
    book::Book,
    run::{Answer, Driver, SaveProgress, Wiring},
};

/// Commands waiting for the Swarm's task. A caller waits when it is full, which is how the Swarm pushes back.
const COMMANDS: usize = 256;
/// Providers that a lookup has found and its caller has not taken yet.
const FOUND: usize = 64;

/// What the Swarm's task can be asked to do. Each answer goes to a channel; a closed one means that the caller left,
/// and the work for it ends.
pub(crate) enum Command {
    Dial {
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        /// Who says that it is there.
        said_by: SaidBy,
        reply: oneshot::Sender<Result<PeerId, NetError>>,
    },
    Ask {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        question: have::Request,
        reply: oneshot::Sender<Result<have::Response, NetError>>,
    },
    Find {
        key: ProviderKey,
        found: mpsc::Sender<Provider>,
        summary: oneshot::Sender<Walk>,
    },
    Announce {
        keys: Vec<ProviderKey>,
        ttl: Duration,
        reply: watch::Sender<Acknowledged>,
    },
    KeepAnnounced {
        keys: Vec<OwnKey>,
        ttl: Duration,
    },
    /// Everything is announced that an earlier run may have announced.
    AllKept,
    Withdraw {
        keys: Vec<ProviderKey>,
        done: oneshot::Sender<()>,
    },
    /// Withdraws everything, unless that is more than `max` keys.
    WithdrawAll {
        max: usize,
        done: oneshot::Sender<()>,
    },
    Ban {
        peer: PeerId,
    },
    Peers {
        reply: oneshot::Sender<Vec<PeerInfo>>,
    },
    Overlay {
        reply: oneshot::Sender<Overlay>,
    },
    Records(Records),
}

/// Whose word an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SaidBy {
    /// Our own user's: it is tried as often as the user wants.
    User,
    /// Somebody else's.
    Peer,
}

/// What becomes of strangers' records that an earlier run of the node kept.
pub(crate) enum Records {
    /// Takes some of them back; the reply names those of no use.
    Restore { rows: Vec<(Vec<u8>, Vec<u8>)>, reply: oneshot::Sender<Vec<Vec<u8>>> },
    /// There are no more of them.
    Loaded,
    /// They are lost, and all are to be told again.
    Unkept,
}

/// A peer that an overlay names as provider of a key.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// How a lookup ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Walk {
    /// Nodes that answered.
    pub(crate) asked: usize,
    /// Referrals to the first provider, or to the farthest answer.
    pub(crate) hops: u8,
    /// Questions sent.
    pub(crate) messages: u32,
    /// Those of them that were not answered in time.
    pub(crate) timeouts: u32,
}

/// How far an announcement has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Acknowledged {
    /// Nodes that said they hold the record.
    pub(crate) acknowledged: usize,
    /// Nodes that were asked to.
    pub(crate) asked: usize,
    /// Nobody else will be asked.
    pub(crate) last: bool,
}

/// What this node knows of one connected peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer.
    pub peer: PeerId,
    /// The addresses of its connections.
    pub addresses: Vec<Multiaddr>,
    /// What it calls itself; its own words.
    pub agent: String,
    /// Whether this node opened the first connection.
    pub outgoing: bool,
    /// The last measured round trip.
    pub round_trip: Option<Duration>,
    /// Since when it is connected.
    pub connected_for: Duration,
    /// Whether it speaks the protocols of this network.
    pub member: bool,
}

/// The state of the overlay as this node sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    pub(crate) tables: Vec<(Scope, usize)>,
    pub(crate) records: usize,
    pub(crate) own_keys: usize,
    pub(crate) stats: Vec<OverlayStats>,
    pub(crate) neighbours: Vec<(PeerId, Vec<Multiaddr>)>,
}

/// Why the network did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum NetError {
    #[error("{0}")]
    Unreachable(Arc<str>),
    #[error("it is not a node of this network")]
    NotMember,
    #[error("it does not answer")]
    NoAnswer,
    #[error("the node is stopping")]
    Stopping,
}

/// Talks to the task that owns the Swarm. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    commands: mpsc::Sender<Command>,
    /// Rises whenever the node may know more peers than before.
    pub(crate) changes: watch::Receiver<u64>,
    pub(crate) listening: watch::Receiver<Vec<Multiaddr>>,
}

impl Net {
    /// One without a Swarm, what it is asked to do, and what says that the node may know more peers.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> (Self, mpsc::Receiver<Command>, watch::Sender<u64>) {
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (change, changes) = watch::channel(0);
        (Self { commands, changes, listening: watch::channel(Vec::new()).1 }, asked, change)
    }

    /// Connects to `addresses` that our user named, of `peer` if it is known who lives there.
    pub(crate) async fn dial(
        &self,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
    ) -> Result<PeerId, NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Dial { peer, addresses, said_by: SaidBy::User, reply }).await?;
        answer.await.unwrap_or(Err(NetError::Stopping))
    }

    /// Connects to `peer`, unless it is connected.
    pub(crate) async fn meet(&self, peer: PeerId, addresses: Vec<Multiaddr>) -> Result<(), NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Dial { peer: Some(peer), addresses, said_by: SaidBy::Peer, reply }).await?;
        answer.await.unwrap_or(Err(NetError::Stopping)).map(drop)
    }

    /// Asks `peer` one question, connecting first where needed.
    pub(crate) async fn ask(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        question: have::Request,
    ) -> Result<have::Response, NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Ask { peer, addresses, question, reply }).await?;
        answer.await.unwrap_or(Err(NetError::Stopping))
    }

    /// Looks `key` up in the overlay. The stream ends with the walk; dropping it ends the walk.
    pub(crate) async fn find(
        &self,
        key: ProviderKey,
    ) -> (impl Stream<Item = Provider> + Send + use<>, oneshot::Receiver<Walk>) {
        let (found, providers) = mpsc::channel(FOUND);
        let (summary, walk) = oneshot::channel();
        // When the node is stopping, both ends are dropped here and the caller sees an empty walk.
        drop(self.send(Command::Find { key, found, summary }).await);
        let providers = futures::stream::unfold(providers, |mut providers| async move {
            let provider = providers.recv().await?;
            Some((provider, providers))
        });
        (providers, walk)
    }

    /// Announces `keys`; the receiver sees how far that has got.
    pub(crate) async fn announce(
        &self,
        keys: Vec<ProviderKey>,
        ttl: Duration,
    ) -> watch::Receiver<Acknowledged> {
        let (reply, progress) = watch::channel(Acknowledged::default());
        drop(self.send(Command::Announce { keys, ttl, reply }).await);
        progress
    }

    /// Keeps `keys` announced, without haste; those that are announced already are not told before it is time for it.
    pub(crate) async fn keep_announced(&self, keys: Vec<OwnKey>, ttl: Duration) {
        drop(self.send(Command::KeepAnnounced { keys, ttl }).await);
    }

    /// Says that everything is kept announced that an earlier run may have announced.
    pub(crate) async fn all_kept(&self) {
        drop(self.send(Command::AllKept).await);
    }

    /// Tells the nodes that hold records of `keys` to drop them, and returns when they have been told.
    pub(crate) async fn withdraw(&self, keys: Vec<ProviderKey>) {
        let (done, told) = oneshot::channel();
        if self.send(Command::Withdraw { keys, done }).await.is_ok() {
            drop(told.await);
        }
    }

    /// Withdraws everything that is announced, unless that is more than `max` keys.
    pub(crate) async fn withdraw_all(&self, max: usize) {
        let (done, told) = oneshot::channel();
        if self.send(Command::WithdrawAll { max, done }).await.is_ok() {
            drop(told.await);
        }
    }

    /// Ends all connections to `peer` and lets it in no more, for a while.
    pub(crate) async fn ban(&self, peer: PeerId) {
        drop(self.send(Command::Ban { peer }).await);
    }

    pub(crate) async fn peers(&self) -> Vec<PeerInfo> {
        let (reply, answer) = oneshot::channel();
        drop(self.send(Command::Peers { reply }).await);
        answer.await.unwrap_or_default()
    }

    pub(crate) async fn overlay(&self) -> Overlay {
        let (reply, answer) = oneshot::channel();
        drop(self.send(Command::Overlay { reply }).await);
        answer.await.unwrap_or_default()
    }

    /// Hands over rows that an earlier run wrote; returns the keys of those that are of no use any more.
    pub(crate) async fn restore_records(&self, rows: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        drop(self.send(Command::Records(Records::Restore { rows, reply })).await);
        answer.await.unwrap_or_default()
    }

    /// Says that every row has been handed over.
    pub(crate) async fn records_loaded(&self) {
        drop(self.send(Command::Records(Records::Loaded)).await);
    }

    /// Says that nothing is written any more, so that all changes come again.
    pub(crate) async fn records_unkept(&self) {
        drop(self.send(Command::Records(Records::Unkept)).await);
    }

    async fn send(&self, command: Command) -> Result<(), NetError> {
        self.commands.send(command).await.map_err(|_| NetError::Stopping)
    }
}

/// Has a thread that may block do what the first handshake would otherwise wait for.
pub(crate) fn warm_up(config: &Builder, tasks: &Tasks) {
    if config.transport == Transport::Internet {
        tasks.start_blocking(tls::warm_up);
    }
}

/// Writes the book of peers in the node's blocking threads.
pub(crate) fn saver(tasks: Tasks) -> run::Save {
    Arc::new(move |draft| {
        let tasks = tasks.clone();
        tasks.clone().spawn("book", async move {
            if let Some(Err(error)) = tasks.blocking(move || draft.write()).await {
                tracing::warn!(%error, "the list of known peers could not be written");
            }
        });
    })
}
