//! The one task that owns the Swarm.
//!
//! Owns: the Swarm, every question and lookup under way, what is known of connected peers.
//! Hears: commands of the node, events of the Swarm, answers that local work has finished.
//! Tells: each caller its answer; watchers, when the node may know more peers than before.
//! Ends: when the node stops, after its connections are closed.

mod commands;
mod dials;
mod failure;
mod hearing;
mod peers;
mod questions;
mod records;
mod waiting;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId, Swarm, request_response::ResponseChannel};
use shoal_dht::RecordChange;
use shoal_transfer::have;
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use self::{peers::Peers, waiting::Waiting};
use super::{
    COMMANDS, Command, Net,
    behaviour::Behaviour,
    book::{Book, Draft},
    guard::Rules,
    reseed::Reseed,
};
use crate::{events::Sink, trust::Bans};

/// A turn of the loop that takes longer delays every connection, and says so in the log.
const SLOW_TURN: Duration = Duration::from_millis(50);
/// How long connections get to close when the node stops.
const CLOSING: Duration = Duration::from_secs(1);
/// How often changes of strangers' records are written. A crash loses those of this time.
const RECORDS_PERIOD: Duration = Duration::from_secs(10);
/// How often the book of peers is written, and how far announcing has come. A crash loses what was learnt in this time,
/// and makes the node announce again what it announced in it.
const BOOK_PERIOD: Duration = Duration::from_secs(60);

/// Answers the questions of peers; what it looks up on disk it looks up in a task of its own.
pub(crate) type Answer =
    Arc<dyn Fn(PeerId, have::Request) -> BoxFuture<'static, have::Response> + Send + Sync>;
/// Writes the book of peers on a blocking thread.
pub(crate) type Save = Arc<dyn Fn(Draft) + Send + Sync>;

/// Writes how far announcing has come on a blocking thread.
pub(crate) type SaveProgress = Arc<dyn Fn(Vec<u8>) + Send + Sync>;

/// What the driver needs of the rest of the node.
pub(crate) struct Wiring {
    pub(crate) answer: Answer,
    pub(crate) save: Save,
    pub(crate) save_progress: SaveProgress,
    /// What may be dialled.
    pub(crate) rules: Rules,
    /// Takes the changes of strangers' records, one batch at a time; closed when they are not kept.
    pub(crate) records: mpsc::Sender<Vec<RecordChange>>,
    pub(crate) events: Sink,
    pub(crate) book: Book,
    pub(crate) external: Vec<Multiaddr>,
    /// What a member of this network calls its protocol.
    pub(crate) protocol_version: String,
    pub(crate) stop: CancellationToken,
}

/// Drives the Swarm; [`Driver::run`] is its whole life.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    waiting: Waiting,
    peers: Peers,
    bans: Bans,
    answers: FuturesUnordered<BoxFuture<'static, (ResponseChannel<have::Response>, have::Response)>>,
    changes: watch::Sender<u64>,
    listening: watch::Sender<Vec<Multiaddr>>,
    reseed: Reseed,
    wiring: Wiring,
}

impl Driver {
    /// Takes over a Swarm that is listening already.
    pub(crate) fn new(mut swarm: Swarm<Behaviour>, wiring: Wiring) -> (Self, Net) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (changes, changed) = watch::channel(0);
        let (listening, addresses) = watch::channel(Vec::new());
        for address in &wiring.external {
            swarm.add_external_address(address.clone());
        }
        for (peer, addresses) in wiring.book.recent() {
            swarm.behaviour_mut().dht.add_known_peer(peer, &addresses);
        }
        let driver = Self {
            swarm,
            commands,
            waiting: Waiting::default(),
            peers: Peers::default(),
            bans: Bans::default(),
            answers: FuturesUnordered::new(),
            changes,
            listening,
            reseed: Reseed::default(),
            wiring,
        };
        (driver, Net { commands: sender, changes: changed, listening: addresses })
    }

    /// Runs until the node stops.
    pub(crate) async fn run(mut self) {
        let stop = self.wiring.stop.clone();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = Instant::now();
        let mut kept = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((channel, answer)) = self.answers.next() => {
                    // The asker may have left; then there is nobody to tell.
                    drop(self.swarm.behaviour_mut().have.send_response(channel, answer));
                }
                Some(command) = self.commands.recv() => self.timed("command", |driver| driver.on_command(command)),
                event = self.swarm.select_next_some() => self.timed("event", |driver| driver.on_event(event)),
                _ = second.tick() => {
                    self.end_abandoned_lookups();
                    self.end_bans();
                    self.try_the_lost();
                    if kept.elapsed() >= RECORDS_PERIOD && self.keep_records() {
                        kept = Instant::now();
                    }
                    if saved.elapsed() >= BOOK_PERIOD {
                        saved = Instant::now();
                        self.save_book();
                        self.save_progress();
                    }
                }
            }
        }
        self.wind_down().await;
    }

    fn timed(&mut self, what: &'static str, turn: impl FnOnce(&mut Self)) {
        let start = Instant::now();
        turn(self);
        let took = start.elapsed();
        if took > SLOW_TURN {
            tracing::info!(what, ?took, "the network task was held up");
        }
    }

    fn end_abandoned_lookups(&mut self) {
        for id in self.waiting.abandoned() {
            self.swarm.behaviour_mut().dht.stop_find(shoal_dht::LookupId(id));
        }
        for id in self.waiting.unwatched() {
            self.swarm.behaviour_mut().dht.unwatch(shoal_dht::AnnounceId(id));
        }
    }

    fn bump(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Notes who is connected now, at the addresses that the overlays found usable.
    fn note_connected(&mut self) {
        let now = SystemTime::now();
        for (_, peer, addresses) in self.swarm.behaviour_mut().dht.table() {
            if self.swarm.is_connected(&peer) {
                self.wiring.book.saw(peer, &addresses, now);
            }
        }
    }

    fn save_book(&mut self) {
        self.note_connected();
        if let Some(draft) = self.wiring.book.take_draft() {
            (self.wiring.save)(draft);
        }
    }

    fn save_progress(&mut self) {
        if let Some(progress) = self.swarm.behaviour_mut().dht.take_progress() {
            (self.wiring.save_progress)(progress);
        }
    }

    /// Refuses new work, lets every caller go, and closes the connections.
    async fn wind_down(mut self) {
        self.commands.close();
        // What waits here has a caller, and some of them must go on before the last records are taken.
        while self.commands.try_recv().is_ok() {}
        self.waiting = Waiting::default();
        self.save_book();
        self.save_progress();
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
        self.keep_last_records().await;
    }
}

#[cfg(test)]
mod tests;
