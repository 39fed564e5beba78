//! Who is in the routing table of an overlay: nodes by how many leading bits of their position they share with ours.
//!
//! Owns: the nodes, their addresses, and who waits for the place of whom.  Hears: whom we met, who came and went, the
//! time. Tells: who is near to what, and whom to dial before its place is given away.
//! Invariant: whoever can be reached keeps its place. One who has been there for long will probably stay, and nobody
//! pushes others out by inventing nodes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::position::{Distance, K, Node, Position};
use crate::scope::Group;

/// How long a full bucket waits for its least recently seen node to answer a dial before it takes another node in
/// its place: longer than a dial may take.
const CHECK: Duration = Duration::from_secs(15);

/// The buckets that hold anybody.
#[derive(Debug)]
pub(crate) struct Table {
    /// Where we are ourselves.
    position: Position,
    /// By the number of bits shared with us.
    buckets: BTreeMap<u32, Bucket>,
    len: usize,
}

/// A node in the table.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) peer: PeerId,
    pub(crate) position: Position,
    pub(crate) addresses: Vec<Multiaddr>,
    is_connected: bool,
}

/// Nodes that share equally many bits with us.
#[derive(Debug, Default)]
struct Bucket {
    /// Who was seen least recently first; those that are connected are seen now.
    members: Vec<Member>,
    candidate: Option<Box<Candidate>>,
}

/// Who takes the place of the first member, unless that one answers in time.
#[derive(Debug)]
struct Candidate {
    member: Member,
    until: Instant,
}

/// What became of a node that was offered to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is there now.
    Entered,
    /// It was there, at other addresses.
    Moved,
    /// It was there as it is.
    Known,
    /// It takes the place of this one, which is to be dialled now, unless that one answers.
    Waits(Node),
    /// There is no place for it.
    Refused,
}

/// Somebody took a place that had become free, or that another one lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) gone: Option<PeerId>,
}

impl Table {
    pub(crate) fn new(position: Position) -> Self {
        Self { position, buckets: BTreeMap::new(), len: 0 }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Everybody.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.buckets.values().flat_map(|bucket| &bucket.members)
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.member(peer).is_some()
    }

    /// Where a node of the table is; nowhere, when it is not in the table.
    pub(crate) fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        self.member(peer).map_or(&[], |member| &member.addresses)
    }

    /// Whether the bucket that a peer belongs to is full.
    pub(crate) fn is_full(&self, peer: &PeerId) -> bool {
        self.buckets.get(&self.bits(peer)).is_some_and(|bucket| bucket.members.len() >= K)
    }

    /// How far everybody is from a position.
    pub(crate) fn distances(&self, target: Position) -> Vec<(Distance, PeerId)> {
        self.iter().map(|member| (member.position.distance(target), member.peer)).collect()
    }

    /// The nodes nearest to a position, nearest first, of those that are wanted.
    pub(crate) fn nearest(
        &self,
        target: Position,
        count: usize,
        wanted: impl Fn(&PeerId) -> bool,
    ) -> Vec<Node> {
        let apart = |member: &Member| member.position.distance(target);
        let mut near: Vec<_> = self.iter().filter(|member| wanted(&member.peer)).collect();
        if count > 0 && near.len() > count {
            near.select_nth_unstable_by_key(count - 1, |member| apart(member));
        }
        near.truncate(count);
        near.sort_unstable_by_key(|member| apart(member));
        near.into_iter()
            .map(|member| Node { peer: member.peer, addresses: member.addresses.clone() })
            .collect()
    }

    /// How many members live in one of these blocks of addresses: in the table, and in the bucket of a peer.
    pub(crate) fn count_groups(&self, groups: &[Group], peer: &PeerId) -> (usize, usize) {
        let lives_there = |member: &&Member| {
            member.addresses.iter().filter_map(Group::of).any(|group| groups.contains(&group))
        };
        let in_bucket = self.buckets.get(&self.bits(peer)).into_iter().flat_map(|bucket| &bucket.members);
        (self.iter().filter(lives_there).count(), in_bucket.filter(lives_there).count())
    }

    /// Offers a peer at these addresses, which are all that count from now on. Only one who is connected may wait for
    /// the place of another.
    pub(crate) fn offer(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        link: Link,
        now: Instant,
    ) -> Offered {
        let position = Position::of_peer(&peer);
        if position == self.position || addresses.is_empty() {
            return Offered::Refused;
        }
        let is_connected = link == Link::Connected;
        let bucket = self.buckets.entry(self.position.shared_bits(position)).or_default();
        if let Some(member) = bucket.member_mut(&peer) {
            let has_moved = member.addresses != addresses;
            member.addresses = addresses;
            return if has_moved { Offered::Moved } else { Offered::Known };
        }
        let member = Member { peer, position, addresses, is_connected };
        if bucket.members.len() < K {
            bucket.place(member);
            self.len += 1;
            return Offered::Entered;
        }
        match (&mut bucket.candidate, bucket.members.first()) {
            (Some(candidate), _) if candidate.member.peer == peer => {
                candidate.member = member;
                Offered::Known
            }
            (None, Some(first)) if is_connected && !first.is_connected => {
                let first = Node { peer: first.peer, addresses: first.addresses.clone() };
                bucket.candidate = Some(Box::new(Candidate { member, until: now + CHECK }));
                Offered::Waits(first)
            }
            _ => Offered::Refused,
        }
    }

    /// Notes that a peer is connected, or no longer.
    pub(crate) fn linked(&mut self, peer: &PeerId, link: Link) {
        let bits = self.bits(peer);
        let Some(bucket) = self.buckets.get_mut(&bits) else { return };
        let is_connected = link == Link::Connected;
        if let Some(candidate) = &mut bucket.candidate
            && candidate.member.peer == *peer
        {
            candidate.member.is_connected = is_connected;
        }
        let Some(at) = bucket.members.iter().position(|member| member.peer == *peer) else { return };
        if at == 0 && is_connected {
            bucket.candidate = None;
        }
        if bucket.members.get(at).is_some_and(|member| member.is_connected != is_connected) {
            let member = bucket.members.remove(at);
            bucket.place(Member { is_connected, ..member });
        }
    }

    /// Removes a peer. Whether it was a member.
    pub(crate) fn remove(&mut self, peer: &PeerId) -> bool {
        let bits = self.bits(peer);
        let Some(bucket) = self.buckets.get_mut(&bits) else { return false };
        bucket.candidate.take_if(|candidate| candidate.member.peer == *peer);
        let at = bucket.members.iter().position(|member| member.peer == *peer);
        if let Some(at) = at {
            bucket.members.remove(at);
            self.len -= 1;
        }
        if bucket.members.is_empty() && bucket.candidate.is_none() {
            self.buckets.remove(&bits);
        }
        at.is_some()
    }

    /// Forgets an address at which a member was not found, unless it is the only one: a network that is down for a
    /// while must not empty the table.
    pub(crate) fn remove_address(&mut self, peer: &PeerId, address: &Multiaddr) {
        let bits = self.bits(peer);
        let member = self.buckets.get_mut(&bits).and_then(|bucket| bucket.member_mut(peer));
        if let Some(member) = member
            && member.addresses.len() > 1
        {
            member.addresses.retain(|known| known != address);
        }
    }

    /// Lets those in who waited for a place that is free now, or whose member has not answered.
    pub(crate) fn replace(&mut self, now: Instant) -> Vec<Replaced> {
        let mut replaced = Vec::new();
        for bucket in self.buckets.values_mut() {
            let has_room = bucket.members.len() < K;
            let is_due = |candidate: &mut Box<Candidate>| has_room || candidate.until <= now;
            let Some(candidate) = bucket.candidate.take_if(is_due) else { continue };
            let first = bucket.members.first();
            if !has_room && first.is_none_or(|first| first.is_connected) {
                continue;
            }
            let gone = (!has_room).then(|| bucket.members.remove(0).peer);
            self.len += usize::from(has_room);
            bucket.place(candidate.member);
            replaced.push(Replaced { gone });
        }
        replaced
    }

    fn bits(&self, peer: &PeerId) -> u32 {
        self.position.shared_bits(Position::of_peer(peer))
    }

    fn member(&self, peer: &PeerId) -> Option<&Member> {
        self.buckets.get(&self.bits(peer))?.members.iter().find(|member| member.peer == *peer)
    }
}

/// Whether there is a connection to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Connected,
    Disconnected,
}

impl Bucket {
    fn member_mut(&mut self, peer: &PeerId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.peer == *peer)
    }

    /// Puts a member after those that were seen less recently.
    fn place(&mut self, member: Member) {
        let connected = self.members.iter().position(|other| other.is_connected);
        let at = connected.filter(|_| !member.is_connected).unwrap_or(self.members.len());
        // Most buckets hold a few nodes, and some of them twenty: growing in powers of two would waste a third.
        self.members.reserve_exact(1);
        self.members.insert(at, member);
    }
}

#[cfg(test)]
mod tests;
