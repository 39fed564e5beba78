//! What we answer to those who ask us, whichever protocol they use.

use std::time::Instant;

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use shoal_content::ProviderKey;

use super::Overlay;
use crate::kademlia::Asked;
use crate::position::{Node, Position};
use crate::provide::own::State;
use crate::wire::find::{MAX_ADDRESSES_TOLD, MAX_CLOSER, MAX_PROVIDERS, Question, Reply};
use crate::wire::kad::{self, Subject};

impl Overlay {
    /// Answers a stranger's question with what the table and the records say; none when it asks too much.
    pub(super) fn answer(
        &mut self,
        asker: &PeerId,
        connection: ConnectionId,
        question: Question,
        now: Instant,
    ) -> Option<Reply> {
        let remote = self.connections.get(&connection)?;
        if !self.purses.may_ask(remote.sender, now) {
            return None;
        }
        let (scope, over) = (self.scope, remote.class);
        let told = |mut node: Node| {
            node.addresses = scope.usable(&node.addresses, over);
            node.addresses.truncate(MAX_ADDRESSES_TOLD);
            (!node.addresses.is_empty()).then_some(node)
        };
        // One more, in case the asker is among them.
        let nearest = self.nearest(question.target, MAX_CLOSER + 1, now);
        let others = nearest.into_iter().filter(|node| node.peer != *asker);
        let closer = others.filter_map(told).take(MAX_CLOSER).collect();
        let known = question.key.map(|key| self.known(&key, MAX_PROVIDERS, now)).unwrap_or_default();
        let providers = known.into_iter().filter_map(told).take(MAX_PROVIDERS).collect();
        Some(Reply { closer, providers })
    }

    /// Answers a question of the standard protocol. Values we have none.
    pub(super) fn on_asked(&mut self, asked: Asked, now: Instant) {
        let Asked { peer, connection, subject, key, answer } = asked;
        let target = Position::of_bytes(&key);
        let key = (subject == Subject::Providers).then_some(key);
        let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok()).map(ProviderKey::from_bytes);
        // Dropping the sender tells a peer that asks too much that it gets no answer.
        let Some(reply) = self.answer(&peer, connection, Question { target, key }, now) else { return };
        let find = &self.protocols.find;
        // It fails when the connection is gone, and then there is nobody to tell.
        let _ = answer.send(kad::answer(subject, &reply, |peer| find.is_connected(peer)));
    }

    /// Up to `max` providers of a key, ourselves first and those believed to be absent last.
    pub(super) fn known(&self, key: &ProviderKey, max: usize, now: Instant) -> Vec<Node> {
        // Whoever finds us with no address cannot come.
        let is_own =
            !self.own_addresses.is_empty() && self.keys.lock().state(self.scope, key) != State::Foreign;
        let own = is_own.then(|| Node { peer: self.local, addresses: self.own_addresses.clone() });
        let strangers = self.records.sample(key, max, |peer| self.absent.contains(peer, now), now);
        let node = |(peer, addresses)| Node { peer, addresses };
        own.into_iter().chain(strangers.into_iter().map(node)).take(max).collect()
    }
}
