//! The peers known from earlier runs, so that a restarted node finds its network without a bootstrap peer.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::home::replace;

/// Peers kept. Enough to survive most of them being gone; more would only slow the first minute down.
const MAX_PEERS: usize = 500;
/// Addresses kept of one peer, which is free to claim any number of them.
const MAX_ADDRESSES: usize = 8;
/// A peer not seen for this long is forgotten.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// A book of [`MAX_PEERS`] peers is far smaller; a larger file is not ours.
const MAX_FILE_LEN: u64 = 4 << 20;
const VERSION: u8 = 1;

/// On disk: a version, then for each peer its id, its addresses and when it was last seen, in Unix seconds.
#[derive(Serialize, Deserialize)]
struct Page(u8, Vec<(ByteBuf, Vec<ByteBuf>, u64)>);

#[derive(Debug, Clone)]
struct Known {
    addresses: Vec<Multiaddr>,
    seen: u64,
}

/// A peer as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    /// How long ago that was.
    pub(crate) age: Duration,
}

/// Peers that were connected and spoke our protocols, with the addresses at which they can be dialled.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    peers: HashMap<PeerId, Known>,
    changed: bool,
}

impl Book {
    /// Reads the book; an unreadable one is as good as none, since it can be learnt again.
    pub(crate) fn open(path: PathBuf, now: SystemTime) -> Self {
        let peers = read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "the list of known peers cannot be read; starting a new one");
            }
            HashMap::new()
        });
        let oldest = seconds(now).saturating_sub(MAX_AGE.as_secs());
        let peers = peers.into_iter().filter(|(_, known)| known.seen >= oldest).collect();
        Self { path, peers, changed: false }
    }

    /// Records that `peer` was seen at `addresses`.
    pub(crate) fn saw(&mut self, peer: PeerId, addresses: &[Multiaddr], now: SystemTime) {
        if addresses.is_empty() {
            return;
        }
        let addresses = addresses.iter().take(MAX_ADDRESSES).cloned().collect();
        self.peers.insert(peer, Known { addresses, seen: seconds(now) });
        self.changed = true;
        if self.peers.len() > MAX_PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, known)| known.seen).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.peers.remove(&oldest);
            }
        }
    }

    /// Every known peer, the most recently seen first.
    pub(crate) fn recent(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut peers: Vec<_> = self.peers.iter().collect();
        peers.sort_by_key(|(peer, known)| (std::cmp::Reverse(known.seen), **peer));
        peers.into_iter().map(|(peer, known)| (*peer, known.addresses.clone())).collect()
    }

    /// Every known peer with when it was seen, the most recently seen first.
    pub(crate) fn sightings(&self, now: SystemTime) -> Vec<Sighting> {
        let sighting = |(peer, addresses): (PeerId, Vec<Multiaddr>)| {
            let seen = self.peers.get(&peer).map_or(0, |known| known.seen);
            Sighting { peer, addresses, age: Duration::from_secs(seconds(now).saturating_sub(seen)) }
        };
        self.recent().into_iter().map(sighting).collect()
    }

    /// What is to be written now, if anything changed since the last call.
    pub(crate) fn take_draft(&mut self) -> Option<Draft> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let rows = self
            .peers
            .iter()
            .map(|(peer, known)| {
                let addresses =
                    known.addresses.iter().map(|address| ByteBuf::from(address.to_vec())).collect();
                (ByteBuf::from(peer.to_bytes()), addresses, known.seen)
            })
            .collect();
        Some(Draft { path: self.path.clone(), page: Page(VERSION, rows) })
    }
}

/// A book on its way to the disk.
pub(crate) struct Draft {
    path: PathBuf,
    page: Page,
}

impl Draft {
    /// Replaces the file in one step. Blocking.
    pub(crate) fn write(self) -> io::Result<()> {
        replace(&self.path, &self.page)
    }
}

fn read(path: &Path) -> io::Result<HashMap<PeerId, Known>> {
    if fs::metadata(path)?.len() > MAX_FILE_LEN {
        return Err(io::Error::other("the file is too large"));
    }
    let Page(version, rows) = serde_ipld_dagcbor::from_slice(&fs::read(path)?).map_err(io::Error::other)?;
    if version != VERSION {
        return Err(io::Error::other(format!("version {version} is not known")));
    }
    let known = rows.into_iter().take(MAX_PEERS).filter_map(|(peer, addresses, seen)| {
        let peer = PeerId::from_bytes(&peer).ok()?;
        let addresses = addresses.into_iter().filter_map(|bytes| Multiaddr::try_from(bytes.into_vec()).ok());
        Some((peer, Known { addresses: addresses.take(MAX_ADDRESSES).collect(), seen }))
    });
    Ok(known.collect())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
