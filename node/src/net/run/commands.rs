//! What the node tells the network task to do.

use std::time::Instant;

use rand::seq::IteratorRandom;
use shoal_dht::Scope;

use super::{
    Driver,
    waiting::{self, Ask},
};
use crate::net::{Command, Overlay, SaidBy};

/// Neighbours that a search asks directly, before any walk.
const NEIGHBOURS: usize = 20;

impl Driver {
    /// Begins what a command asks for; its answer goes to whoever sent it.
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { peer, addresses, said_by, reply } => {
                if said_by == SaidBy::User {
                    let mut rules = self.wiring.rules.lock();
                    addresses.iter().for_each(|address| rules.name(address));
                }
                self.dial(peer, addresses, reply);
            }
            Command::Ask { peer, addresses, question, reply } => {
                self.ask(Ask::new(peer, addresses, question, reply));
            }
            Command::Find { key, found, summary } => {
                let id = self.waiting.next_id();
                self.waiting.finds.insert(id, waiting::Find { found, summary });
                self.swarm.behaviour_mut().dht.find(shoal_dht::LookupId(id), key);
            }
            Command::Announce { keys, ttl, reply } => {
                let id = self.waiting.next_id();
                self.waiting.announcements.insert(id, reply);
                self.swarm.behaviour_mut().dht.announce(shoal_dht::AnnounceId(id), &keys, ttl);
            }
            Command::KeepAnnounced { keys, ttl } => {
                self.swarm.behaviour_mut().dht.keep_announced(&keys, ttl);
            }
            Command::AllKept => self.swarm.behaviour_mut().dht.all_kept(),
            Command::WithdrawAll { max, done } => {
                let dht = &mut self.swarm.behaviour_mut().dht;
                if let Some(keys) = dht.own_keys(max) {
                    let id = dht.withdraw(&keys);
                    self.waiting.withdrawals.insert(id, done);
                }
            }
            Command::Withdraw { keys, done } => {
                let id = self.swarm.behaviour_mut().dht.withdraw(&keys);
                self.waiting.withdrawals.insert(id, done);
            }
            Command::Ban { peer } => self.ban(peer),
            Command::Peers { reply } => drop(reply.send(self.peers.list(Instant::now()))),
            Command::Overlay { reply } => drop(reply.send(self.overlay())),
            Command::Records(records) => self.on_records(records),
        }
    }

    /// How the overlays are doing, and some of our neighbours in them.
    fn overlay(&mut self) -> Overlay {
        let dht = &mut self.swarm.behaviour_mut().dht;
        let shoal_dht::Stats { lan_peers, wan_peers, records, own_keys, .. } = dht.stats();
        let stats = dht.diagnose();
        // Not always the same ones, where there are more.
        let lan = dht.table().into_iter().filter(|(scope, ..)| *scope == Scope::Lan);
        let some = lan.sample(&mut rand::rng(), NEIGHBOURS).into_iter();
        let neighbours = some.map(|(_, peer, addresses)| (peer, addresses)).collect();
        Overlay {
            tables: vec![(Scope::Lan, lan_peers), (Scope::Wan, wan_peers)],
            records,
            own_keys,
            stats,
            neighbours,
        }
    }
}
