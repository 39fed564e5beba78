//! What strangers asked this node to remember: who provides which key.
//!
//! Owns: every stranger's record, in memory, within fixed limits.  Hears: checked announcements, the time.
//! Tells: a fair sample of the providers of a key, and what is to be kept on disk.
//! Nothing here can refuse our own keys: they are not here.
//!
//! The sender is the network that delivered an announcement, and quotas count senders, because identities cost nothing
//! and addresses do. Under pressure the sender that holds most loses first, so that one who fills the store cannot push
//! out those who hold little. It loses what lies farthest from us: other nodes are nearer to that, and they would lose
//! something else.

mod keeping;
mod proof;
mod sender;

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;

use crate::position::Position;
use crate::scope::Group;
use crate::wire::Receipt;
pub(crate) use keeping::{Kept, KeptChange};
use proof::Proofs;
pub(crate) use proof::{Handable, Name};
pub(crate) use sender::Sender;

/// How long a record may live. A stranger's clock or claim must not make us remember for ever.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(48 * 60 * 60);

/// Providers of one group of addresses in an answer. Whoever owns a network has its addresses for nothing, and
/// must not fill an answer with them.
const MAX_PER_GROUP: usize = 2;

/// A newcomer to a full list gets the chance to be in it that all have who ever came, whenever that was: taken for certain,
/// it would push out one of the others, and a flood that came after a provider would hide it soon. But the chance is never
/// less than one in this many, or whoever came often enough would close the list for good.
const LONGEST_ODDS: usize = 8;

/// Strangers' records.
#[derive(Debug)]
pub(crate) struct RecordStore {
    /// Where we are ourselves.
    position: Position,
    max_records: usize,
    max_providers: usize,
    by_key: HashMap<ProviderKey, Vec<Record>>,
    /// How many newcomers a full list has had since it was found with room.
    newcomers: HashMap<ProviderKey, usize>,
    by_sender: HashMap<Sender, BTreeSet<Ranked>>,
    /// The senders by how much they hold, so that finding the largest is not a walk over all of them.
    by_size: BTreeSet<(usize, Sender)>,
    len: usize,
    proofs: Proofs,
    /// Where the next sample starts in a key's list; it moves, so that every provider has its turn.
    turn: Cell<usize>,
    /// Records that are not on disk as they are here.
    unsaved: BTreeSet<Pair>,
    /// Records that are on disk and no longer here.
    gone: BTreeSet<Pair>,
    /// Whether what is on disk has been read, so that nothing older can come back.
    is_loaded: bool,
    /// Decides between equals, how often it did.
    lots: RandomState,
    drawn: u64,
    /// Whether who holds most makes room, and providers take turns. Otherwise whoever came first stays.
    is_fair: bool,
}

/// What tells records apart: the key, and who provides it.
type Pair = (ProviderKey, PeerId);

/// A record, and before it how far its key is from us, in units of 2⁻³² of the key space.
type Ranked = (u32, Pair);

/// One announcement as it was taken: who provides, where, and for how long.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) provider: PeerId,
    pub(crate) sender: Sender,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) sequence: u64,
    pub(crate) received: Instant,
    /// None withdraws what the provider announced before.
    pub(crate) ttl: Option<Duration>,
}

#[derive(Debug)]
struct Record {
    offer: Arc<Offer>,
    expires: Instant,
    /// When its last announcement can no longer be replayed. Until then a record that was withdrawn or
    /// shortened stays, unseen, as the memory of its sequence number.
    forget: Instant,
    /// Whether there is a row of it on disk, perhaps an older one.
    on_disk: bool,
}

impl RecordStore {
    pub(crate) fn new(position: Position, max_records: usize, max_providers: usize) -> Self {
        Self {
            position,
            max_records,
            max_providers,
            by_key: HashMap::new(),
            newcomers: HashMap::new(),
            by_sender: HashMap::new(),
            by_size: BTreeSet::new(),
            len: 0,
            proofs: Proofs::default(),
            turn: Cell::new(0),
            unsaved: BTreeSet::new(),
            gone: BTreeSet::new(),
            is_loaded: true,
            lots: RandomState::new(),
            drawn: 0,
            is_fair: true,
        }
    }

    /// Lets whoever came first keep its place and stand first in every answer, as the simplest store would.
    pub(crate) fn favour_the_first(&mut self) {
        self.is_fair = false;
    }

    /// Stores, renews or withdraws the offer's record of each key.
    pub(crate) fn apply<'a>(
        &mut self,
        offer: Offer,
        keys: impl IntoIterator<Item = &'a ProviderKey>,
    ) -> Receipt {
        let offer = Arc::new(offer);
        let mut receipt = Receipt::default();
        for key in keys {
            let count = if self.apply_one(&offer, key) { &mut receipt.stored } else { &mut receipt.refused };
            *count = count.saturating_add(1);
        }
        receipt
    }

    /// Up to `max` live providers of a key with their addresses; others each time, when there are more.
    ///
    /// Those that are believed to be `absent` come last, and only so many of one group of addresses are told.
    pub(crate) fn sample(
        &self,
        key: &ProviderKey,
        max: usize,
        absent: impl Fn(&PeerId) -> bool,
        now: Instant,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let live: Vec<_> =
            self.by_key.get(key).into_iter().flatten().filter(|record| record.expires > now).collect();
        if !self.is_fair {
            let offers = live.into_iter().map(|record| &record.offer);
            return offers.take(max).map(|offer| (offer.provider, offer.addresses.clone())).collect();
        }
        let start = self.turn.get();
        self.turn.set(start.wrapping_add(max));
        let (before, after) = live.split_at(start.checked_rem(live.len()).unwrap_or(0));
        let in_turn = after.iter().chain(before).map(|record| &record.offer);
        let (last, first): (Vec<_>, Vec<_>) = in_turn.partition(|offer| absent(&offer.provider));
        let mut told: HashMap<Group, usize> = HashMap::new();
        let is_fair = |offer: &&Arc<Offer>| {
            let count =
                offer.addresses.iter().find_map(Group::of).map(|group| told.entry(group).or_default());
            count.is_none_or(|count| {
                *count += 1;
                *count <= MAX_PER_GROUP
            })
        };
        let fair = first.into_iter().chain(last).filter(is_fair);
        fair.take(max).map(|offer| (offer.provider, offer.addresses.clone())).collect()
    }

    /// Whether there is a live record that a provider has a key.
    pub(crate) fn holds(&self, key: &ProviderKey, provider: &PeerId, now: Instant) -> bool {
        self.find(key, provider).is_some_and(|record| record.expires > now)
    }

    /// Drops every record that nobody needs to remember.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let of_key = |(key, records): (&ProviderKey, &Vec<Record>)| {
            let gone = records.iter().filter(|record| record.forget <= now);
            gone.map(|record| (*key, record.offer.provider)).collect::<Vec<_>>()
        };
        let gone: Vec<_> = self.by_key.iter().flat_map(of_key).collect();
        for (key, provider) in gone {
            self.remove(&key, &provider);
        }
        let Self { newcomers, by_key, max_providers, .. } = self;
        newcomers.retain(|key, _| by_key.get(key).is_some_and(|records| records.len() >= *max_providers));
    }

    /// How many records are held.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn apply_one(&mut self, offer: &Arc<Offer>, key: &ProviderKey) -> bool {
        let now = offer.received;
        let old = self.find(key, &offer.provider).filter(|record| record.forget > now);
        let seen_until = old.map(|record| record.forget);
        match old.map(|record| record.offer.sequence) {
            Some(sequence) if sequence > offer.sequence => return false,
            Some(sequence) if sequence == offer.sequence => return true,
            // Before the disk has been read, a withdrawal may be of a record that is still there: it stays
            // here, void, until the next sweep.
            None if offer.ttl.is_none() && self.is_loaded => return true,
            _ => {}
        }
        self.remove(key, &offer.provider);
        if seen_until.is_none() && !self.draw(key, offer) {
            // As if it had been taken, and the next one had pushed it out: the key is found all the same.
            return true;
        }
        if seen_until.is_none() && !self.make_room(key, &offer.sender) {
            return false;
        }
        let expires = now + offer.ttl.unwrap_or_default().min(MAX_AGE);
        let forget = seen_until.map_or(expires, |seen_until| seen_until.max(expires));
        self.insert(*key, Record { offer: offer.clone(), expires, forget, on_disk: false });
        true
    }

    /// Makes a place in a full list of providers; false when the newcomer has drawn none.
    fn draw(&mut self, key: &ProviderKey, newcomer: &Offer) -> bool {
        let Some(records) = self.by_key.get(key).filter(|records| records.len() >= self.max_providers) else {
            return true;
        };
        if !self.is_fair {
            return true;
        }
        // Whoever is here already makes room for itself.
        let mut shares = HashMap::from([(newcomer.sender, 1)]);
        for record in records {
            *shares.entry(record.offer.sender).or_default() += 1;
        }
        self.drawn += 1;
        // By lot among equals: whoever could tell which one goes would come as often as it takes.
        let loses = |record: &&Record| {
            let share = shares.get(&record.offer.sender).copied();
            let lot = self.lots.hash_one((key, record.offer.provider, self.drawn));
            (record.expires <= newcomer.received, share, lot)
        };
        let Some(loser) = records.iter().max_by_key(loses) else { return true };
        let provider = loser.offer.provider;
        let is_equal = loser.expires > newcomer.received && shares.get(&loser.offer.sender) == Some(&1);
        // What withdraws is the memory of its sequence number, and must be here.
        if is_equal && newcomer.ttl.is_some() {
            let newcomers = self.newcomers.entry(*key).or_default();
            // All who ever came, each with the same chance to be among those who are here.
            let all = self.max_providers.saturating_add(*newcomers);
            let odds = all.min(self.max_providers.saturating_mul(LONGEST_ODDS)).max(1);
            *newcomers = newcomers.saturating_add(1);
            let lot = usize::try_from(self.lots.hash_one((key, self.drawn)) >> u32::BITS).unwrap_or(0);
            if lot % odds >= self.max_providers {
                return false;
            }
        }
        self.remove(key, &provider);
        true
    }

    /// Pushes out one record where a limit is reached; false when the newcomer should lose instead.
    fn make_room(&mut self, key: &ProviderKey, sender: &Sender) -> bool {
        if !self.is_fair {
            let of_key = self.by_key.get(key).map_or(0, Vec::len);
            return of_key < self.max_providers && self.len < self.max_records;
        }
        if self.len < self.max_records {
            return true;
        }
        let held = self.by_sender.get(sender).map_or(0, BTreeSet::len);
        let Some((most, largest)) = self.by_size.last().copied() else {
            return false;
        };
        // Strictly more even afterwards: otherwise two equals would push each other out in turn.
        let holds_more = most > held + 1;
        let loser = if holds_more || held == 0 { largest } else { *sender };
        let farthest = self.by_sender.get(&loser).and_then(BTreeSet::last).copied();
        let Some((distance, (farthest, provider))) = farthest else { return false };
        // Whoever holds most can only trade for what is nearer to us, and so can one who comes when everybody holds as
        // little as can be.
        if !holds_more && distance <= self.distance(key) {
            return false;
        }
        self.remove(&farthest, &provider);
        true
    }

    fn distance(&self, key: &ProviderKey) -> u32 {
        self.position.place().apart(Position::of_key(key).place())
    }

    fn find(&self, key: &ProviderKey, provider: &PeerId) -> Option<&Record> {
        self.by_key.get(key)?.iter().find(|record| record.offer.provider == *provider)
    }

    /// Adds a record that is not on disk as it is.
    fn insert(&mut self, key: ProviderKey, mut record: Record) {
        let pair = (key, record.offer.provider);
        record.on_disk = self.gone.remove(&pair);
        self.unsaved.insert(pair);
        self.place(key, record);
    }

    fn place(&mut self, key: ProviderKey, record: Record) {
        let (sender, provider) = (record.offer.sender, record.offer.provider);
        let ranked = (self.distance(&key), (key, provider));
        self.proofs.placed(&record.offer);
        self.by_key.entry(key).or_default().push(record);
        self.len += 1;
        self.account(sender, |held| held.insert(ranked));
    }

    fn remove(&mut self, key: &ProviderKey, provider: &PeerId) {
        let Some(records) = self.by_key.get_mut(key) else {
            return;
        };
        let Some(at) = records.iter().position(|record| record.offer.provider == *provider) else {
            return;
        };
        let record = records.remove(at);
        let pair = (*key, *provider);
        self.len -= 1;
        self.unsaved.remove(&pair);
        if record.on_disk {
            self.gone.insert(pair);
        }
        if records.is_empty() {
            self.by_key.remove(key);
            self.newcomers.remove(key);
        }
        self.proofs.removed(&record.offer);
        let ranked = (self.distance(key), pair);
        self.account(record.offer.sender, |held| held.remove(&ranked));
    }

    /// Changes what a sender holds and keeps its size in step.
    fn account(&mut self, sender: Sender, change: impl FnOnce(&mut BTreeSet<Ranked>) -> bool) {
        let held = self.by_sender.entry(sender).or_default();
        self.by_size.remove(&(held.len(), sender));
        change(held);
        if held.is_empty() {
            self.by_sender.remove(&sender);
        } else {
            self.by_size.insert((held.len(), sender));
        }
    }
}

#[cfg(test)]
mod tests;
