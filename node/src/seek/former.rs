//! Who had content when it was last looked for, so that a get that is continued finds them although their
//! announcements are gone.
//!
//! Owns: the last holders of the contents that were looked for last, and the file that keeps them, which is written
//! when there is news, but not too often, and when the node ends.
//! Invariant: however much is looked for, memory, file and writing are bounded.

use std::{
    collections::VecDeque,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shoal_content::ProviderKey;

use crate::{home::replace, tasks::Tasks};

/// Contents remembered. What was not looked for since is forgotten first.
const MAX_CONTENTS: usize = 256;
/// Holders remembered of one content, the latest last, and addresses of each.
const MAX_HOLDERS: usize = 4;
const MAX_ADDRESSES: usize = 4;
/// A file of all that is far smaller; a larger one is not ours.
const MAX_FILE_LEN: u64 = 1 << 20;
/// The pause between two writes: a script may get any number of contents one after the other.
const PAUSE: Duration = Duration::from_secs(1);
const VERSION: u8 = 1;

/// A peer and where it was.
type Place = (PeerId, Vec<Multiaddr>);

/// On disk: a version, then each content by its key, with its holders.
#[derive(Serialize, Deserialize)]
struct Page(u8, Vec<(ByteBuf, Vec<PlaceRow>)>);

/// The id of a peer and its addresses.
type PlaceRow = (ByteBuf, Vec<ByteBuf>);

/// Holders of earlier searches. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Former {
    state: Arc<Mutex<State>>,
    /// Held while the file is replaced, so that the last who does so writes the latest.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct State {
    path: PathBuf,
    contents: VecDeque<(ProviderKey, Vec<Place>)>,
    written: Option<Instant>,
    /// Whether anything was noted that is not in the file.
    is_unwritten: bool,
}

impl Former {
    /// Reads what an earlier run kept; what cannot be read is as good as nothing. Blocking.
    pub(crate) fn open(path: PathBuf) -> Self {
        let contents = fs::metadata(&path).ok().filter(|metadata| metadata.len() <= MAX_FILE_LEN);
        let contents = contents.and_then(|_| decode(&fs::read(&path).ok()?)).unwrap_or_default();
        let state = State { path, contents, written: None, is_unwritten: false };
        Self { state: Arc::new(Mutex::new(state)), writing: Arc::default() }
    }

    /// Who had the content behind `key`, the latest first.
    pub(crate) fn holders(&self, key: &ProviderKey) -> Vec<Place> {
        let state = self.lock();
        let known = state.contents.iter().find(|(known, _)| known == key);
        known.map(|(_, holders)| holders.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// The one of these peers that most likely has the content behind `key`: who had it last, or else who last had
    /// anything that was looked for.
    pub(crate) fn likeliest(&self, key: &ProviderKey, among: &[PeerId]) -> Option<PeerId> {
        let state = self.lock();
        let this = state.contents.iter().filter(|(known, _)| known == key);
        let mut latest_first =
            this.chain(state.contents.iter().rev()).flat_map(|(_, holders)| holders.iter().rev());
        latest_first.find(|(peer, _)| among.contains(peer)).map(|(peer, _)| *peer)
    }

    /// Notes that a peer has the content behind `key`. True when [`Former::write`] is to be called.
    pub(crate) fn note(&self, key: ProviderKey, peer: PeerId, addresses: &[Multiaddr], now: Instant) -> bool {
        let mut state = self.lock();
        state.is_unwritten = true;
        let known = state.contents.iter().position(|(known, _)| *known == key);
        let mut holders =
            known.and_then(|at| state.contents.remove(at)).map(|(_, holders)| holders).unwrap_or_default();
        let is_new = !holders.iter().any(|(known, _)| *known == peer);
        holders.retain(|(known, _)| *known != peer);
        holders.push((peer, addresses.iter().take(MAX_ADDRESSES).cloned().collect()));
        holders.drain(..holders.len().saturating_sub(MAX_HOLDERS));
        state.contents.push_back((key, holders));
        if state.contents.len() > MAX_CONTENTS {
            state.contents.pop_front();
        }
        let is_due =
            is_new && state.written.is_none_or(|written| now.saturating_duration_since(written) >= PAUSE);
        if is_due {
            state.written = Some(now);
        }
        is_due
    }

    /// Replaces the file in one step, unless it has everything. Blocking.
    pub(crate) fn write(&self) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, page) = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.is_unwritten) {
                return Ok(());
            }
            (state.path.clone(), encode(&state.contents))
        };
        replace(&path, &page).inspect_err(|_| self.lock().is_unwritten = true)
    }

    /// Writes once more when the node ends: what came right after the last write.
    pub(crate) async fn write_at_the_end(self, tasks: Tasks) {
        tasks.stopping().cancelled().await;
        self.write_on(&tasks).await;
    }

    /// Writes on a thread that may block.
    pub(crate) async fn write_on(self, tasks: &Tasks) {
        if let Some(Err(error)) = tasks.blocking(move || self.write()).await {
            tracing::warn!(%error, "it could not be noted who has what was looked for");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(contents: &VecDeque<(ProviderKey, Vec<Place>)>) -> Page {
    let place = |(peer, addresses): &Place| {
        let addresses = addresses.iter().map(|address| ByteBuf::from(address.to_vec())).collect();
        (ByteBuf::from(peer.to_bytes()), addresses)
    };
    let row = |(key, holders): &(ProviderKey, Vec<Place>)| {
        (ByteBuf::from(key.as_bytes().to_vec()), holders.iter().map(place).collect())
    };
    Page(VERSION, contents.iter().map(row).collect())
}

fn decode(bytes: &[u8]) -> Option<VecDeque<(ProviderKey, Vec<Place>)>> {
    let Page(version, rows) = serde_ipld_dagcbor::from_slice(bytes).ok()?;
    let place = |(peer, addresses): PlaceRow| {
        let addresses = addresses.into_iter().filter_map(|bytes| Multiaddr::try_from(bytes.into_vec()).ok());
        Some((PeerId::from_bytes(&peer).ok()?, addresses.take(MAX_ADDRESSES).collect()))
    };
    let row = |(key, holders): (ByteBuf, Vec<_>)| {
        let key = ProviderKey::from_bytes(key.as_slice().try_into().ok()?);
        Some((key, holders.into_iter().filter_map(place).take(MAX_HOLDERS).collect()))
    };
    (version == VERSION).then(|| rows.into_iter().filter_map(row).take(MAX_CONTENTS).collect())
}

#[cfg(test)]
mod tests;
