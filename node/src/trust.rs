//! Who sent bytes that do not match, and for how many contents: whether to go on knowing them.
//!
//! One proven bad group costs a peer that content, which is not this page's business: its file may have changed under
//! it. A peer that does it with several contents is not unlucky.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use shoal_content::Digest;

/// Contents with proven bad bytes that make a peer unwelcome.
const CONTENTS: usize = 3;
/// How long it stays unwelcome.
const BAN: Duration = Duration::from_secs(3600);
/// Peers remembered. New identities are free, so remembering more of them would help only who makes them.
const MAX_PEERS: usize = 1024;

/// What was proven against peers; pure, so that time is an argument.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    proven: HashMap<PeerId, Record>,
}

#[derive(Debug)]
struct Record {
    contents: HashSet<Digest>,
    last: Instant,
}

impl Trust {
    /// Notes a proof; `true` when the peer is unwelcome from now on, for [`BAN`].
    pub(crate) fn proven(&mut self, peer: PeerId, digest: Digest, now: Instant) -> bool {
        self.proven.retain(|_, record| now.saturating_duration_since(record.last) < BAN);
        if self.proven.len() >= MAX_PEERS && !self.proven.contains_key(&peer) {
            return false;
        }
        let record = self.proven.entry(peer).or_insert(Record { contents: HashSet::new(), last: now });
        record.last = now;
        record.contents.insert(digest);
        if record.contents.len() < CONTENTS {
            return false;
        }
        self.proven.remove(&peer);
        true
    }
}

/// Who is unwelcome, and until when; pure as well.
#[derive(Debug, Default)]
pub(crate) struct Bans(HashMap<PeerId, Instant>);

impl Bans {
    pub(crate) fn add(&mut self, peer: PeerId, now: Instant) {
        self.0.insert(peer, now + BAN);
    }

    /// Those whose time is over.
    pub(crate) fn served(&mut self, now: Instant) -> Vec<PeerId> {
        self.0.extract_if(|_, until| *until <= now).map(|(peer, _)| peer).collect()
    }
}

#[cfg(test)]
mod tests;
