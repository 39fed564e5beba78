//! How far a get has got, gathered from all the files that it fetches at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use libp2p::PeerId;
use tokio::sync::watch;

use super::others::Awaited;
use crate::hint::Unreached;

/// What a get is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Stage {
    /// Looking for somebody who has it.
    #[default]
    Finding,
    /// Another get is receiving the same content, whose copy will do, or is saving to the same target.
    Waiting,
    /// Bytes are coming in.
    Fetching,
    /// All bytes are verified; they are being put in place.
    Finishing,
}

impl Stage {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Waiting => "waiting",
            Self::Fetching => "fetching",
            Self::Finishing => "finishing",
        }
    }
}

/// One peer's part in a get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStat {
    /// The peer.
    pub peer: PeerId,
    /// Bytes of content that it sent and that were verified.
    pub bytes: u64,
}

/// A peer that is not asked for this content any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The peer.
    pub peer: PeerId,
    /// Why, in words.
    pub reason: String,
}

/// How far a get has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GetProgress {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes of content that are on disk and verified, those of earlier tries included.
    pub verified: u64,
    /// All bytes. Of a file this is its holders' claim until its last group is verified.
    pub total: Option<u64>,
    /// Files that are whole.
    pub files_done: u64,
    /// All files, once the manifest is known.
    pub files_total: Option<u64>,
    /// Everyone who sent something.
    pub sources: Vec<SourceStat>,
    /// Everyone who was dropped.
    pub dropped: Vec<Dropped>,
    /// Everyone who was asked for something of a blob that is whole now, and sent nothing of it.
    pub(crate) silent: Vec<PeerId>,
    /// Peers that the caller named and that cannot be used.
    pub unreached: Vec<Unreached>,
    /// Whoever else is saving to the same target, and was waited for.
    pub awaited: Vec<Awaited>,
}

impl GetProgress {
    /// Bytes that came over the network.
    pub(crate) fn received(&self) -> u64 {
        self.sources.iter().map(|source| source.bytes).sum()
    }

    /// Everyone who was asked for something, and neither sent any of it nor was dropped.
    pub(crate) fn silent(&self) -> Vec<PeerId> {
        self.silent.iter().filter(|peer| !self.acted(peer)).copied().collect()
    }

    /// Whether the report tells of this peer.
    pub(crate) fn mentions(&self, peer: &PeerId) -> bool {
        self.acted(peer) || self.silent.contains(peer)
    }

    fn acted(&self, peer: &PeerId) -> bool {
        self.sources.iter().any(|source| source.peer == *peer)
            || self.dropped.iter().any(|dropped| dropped.peer == *peer)
    }
}

/// The writing side, shared by the files of one get.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    progress: watch::Sender<GetProgress>,
    received: Arc<AtomicU64>,
}

impl Reporter {
    pub(crate) fn new(progress: watch::Sender<GetProgress>, received: Arc<AtomicU64>) -> Self {
        Self { progress, received }
    }

    /// Tells nobody.
    pub(crate) fn silent() -> Self {
        Self::new(watch::Sender::default(), Arc::default())
    }

    pub(crate) fn snapshot(&self) -> GetProgress {
        self.progress.borrow().clone()
    }

    pub(crate) fn stage(&self, stage: Stage) {
        self.progress.send_modify(|progress| progress.stage = stage);
    }

    /// Sets the number of files.
    pub(crate) fn files(&self, files: u64) {
        self.progress.send_modify(|progress| progress.files_total = Some(files));
    }

    /// Sets the size of the whole, of which a manifest is the proof.
    pub(crate) fn total(&self, bytes: u64) {
        self.progress.send_modify(|progress| progress.total = Some(bytes));
    }

    /// Counts what was here of one file before, and takes its size for the whole where no manifest says another.
    pub(crate) fn size(&self, size: u64, received: u64) {
        self.progress.send_modify(|progress| {
            progress.total.get_or_insert(size);
            progress.verified += received;
        });
    }

    /// Counts bytes that were on disk and verified before.
    pub(crate) fn had(&self, bytes: u64) {
        self.progress.send_modify(|progress| progress.verified += bytes);
    }

    /// Takes back what was counted as had.
    pub(crate) fn had_not(&self, bytes: u64) {
        self.progress.send_modify(|progress| progress.verified = progress.verified.saturating_sub(bytes));
    }

    /// Counts bytes that `peer` sent and that were verified.
    pub(crate) fn verified(&self, peer: PeerId, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.progress.send_modify(|progress| {
            progress.stage = Stage::Fetching;
            progress.verified += bytes;
            progress.credit(peer, bytes);
        });
    }

    pub(crate) fn dropped(&self, peer: PeerId, reason: String) {
        self.progress.send_modify(|progress| {
            let dropped = Dropped { peer, reason };
            if !progress.dropped.contains(&dropped) {
                progress.dropped.push(dropped);
            }
        });
    }

    pub(crate) fn unreached(&self, peer: Unreached) {
        self.progress.send_modify(|progress| progress.unreached.push(peer));
    }

    /// Names somebody else who is saving to the same target.
    pub(crate) fn awaited(&self, other: Awaited) {
        self.progress.send_modify(|progress| {
            progress.stage = Stage::Waiting;
            progress.awaited.push(other);
        });
    }

    pub(crate) fn silent_ones(&self, peers: &[PeerId]) {
        self.progress.send_if_modified(|progress| {
            let before = progress.silent.len();
            for peer in peers {
                if !progress.silent.contains(peer) {
                    progress.silent.push(*peer);
                }
            }
            progress.silent.len() > before
        });
    }

    pub(crate) fn files_done(&self, files: u64) {
        self.progress.send_modify(|progress| progress.files_done += files);
    }

    /// A reporter for what is fetched on the way and is not part of the content itself, such as a manifest: its
    /// sources count, its bytes do not.
    pub(crate) fn aside(&self) -> Self {
        Self { progress: watch::Sender::default(), received: self.received.clone() }
    }

    /// Takes over what was learnt of peers on the way.
    pub(crate) fn adopt(&self, aside: &Self) {
        let learnt = aside.snapshot();
        for Dropped { peer, reason } in learnt.dropped {
            self.dropped(peer, reason);
        }
        self.silent_ones(&learnt.silent);
    }
}

impl GetProgress {
    fn credit(&mut self, peer: PeerId, bytes: u64) {
        match self.sources.iter_mut().find(|source| source.peer == peer) {
            Some(source) => source.bytes += bytes,
            None => self.sources.push(SourceStat { peer, bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn totals(progress: &GetProgress) -> HashMap<PeerId, u64> {
        progress.sources.iter().map(|source| (source.peer, source.bytes)).collect()
    }

    #[test]
    fn bytes_are_credited_to_who_sent_them() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let reporter = Reporter::silent();
        reporter.had(5);
        reporter.verified(a, 10);
        reporter.verified(b, 1);
        reporter.verified(a, 10);
        let seen = reporter.snapshot();
        assert_eq!(seen.verified, 26);
        assert_eq!(seen.received(), 21);
        assert_eq!(totals(&seen), HashMap::from([(a, 20), (b, 1)]));
    }

    #[test]
    fn whoever_sent_nothing_is_named_once() {
        let peers = [PeerId::random(), PeerId::random(), PeerId::random()];
        let [sent, dropped, silent] = peers;
        let reporter = Reporter::silent();
        reporter.silent_ones(&peers);
        reporter.verified(sent, 1);
        reporter.dropped(dropped, "its file changed".into());
        let aside = reporter.aside();
        aside.silent_ones(&[silent]);
        reporter.adopt(&aside);
        assert_eq!(reporter.snapshot().silent(), [silent]);
    }
}
