//! A stranger's record as a row on disk, byte for byte.
//!
//! The key is the scope, the provider key and the provider's id. The row is the DAG-CBOR array
//! `[1, sender, sequence, received, expires, forget, [address, …]]`, the times in seconds since the Unix epoch and
//! the sender a byte string that begins with its kind. A row that does not decode is no record, and nothing worse:
//! disks rot, and somebody may have put another file there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shoal_content::ProviderKey;

use crate::record_store::{Kept, KeptChange, Sender};
use crate::scope::{AddressClass, Scope};

/// Version of the form of a row.
const VERSION: u8 = 1;

const KEY_LEN: usize = 32;

/// Bytes of addresses in a row: twice what real ones take. A hundred thousand rows as long as an announcement
/// may be would not fit into the file.
const MAX_ADDRESS_BYTES: usize = 256;

/// What to do with one row on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// Which row.
    pub key: Vec<u8>,
    /// Its bytes; none removes it.
    pub row: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Row(u8, ByteBuf, u64, u64, u64, u64, Vec<ByteBuf>);

impl RecordChange {
    pub(crate) fn encode(scope: Scope, change: KeptChange, now: SystemTime) -> Self {
        match change {
            KeptChange::Remove(key, provider) => Self { key: row_key(scope, &key, &provider), row: None },
            KeptChange::Put(kept) => {
                let key = row_key(scope, &kept.key, &kept.provider);
                Self { key, row: Some(encode_row(&kept, now)) }
            }
        }
    }
}

/// Reads a row back, if it is one.
pub(crate) fn decode(key: &[u8], row: &[u8], now: SystemTime) -> Option<(Scope, Kept)> {
    let (scope, rest) = key.split_first()?;
    let scope = match scope {
        0 => Scope::Lan,
        1 => Scope::Wan,
        _ => return None,
    };
    let (provider_key, provider) = rest.split_first_chunk::<KEY_LEN>()?;
    let provider = PeerId::from_bytes(provider).ok()?;
    let Row(version, sender, sequence, received, expires, forget, addresses) =
        serde_ipld_dagcbor::from_slice(row).ok()?;
    if version != VERSION {
        return None;
    }
    let addresses = addresses.into_iter().map(|bytes| Multiaddr::try_from(bytes.into_vec()));
    let addresses: Vec<_> = addresses.collect::<Result<_, _>>().ok()?;
    let now = seconds(now);
    let left = |until: u64| Duration::from_secs(until.saturating_sub(now));
    let kept = Kept {
        key: ProviderKey::from_bytes(*provider_key),
        provider,
        sender: Sender::from_bytes(&sender)?,
        // What may be kept now is decided now.
        addresses: scope.usable(&addresses, AddressClass::Loopback),
        sequence,
        age: Duration::from_secs(now.saturating_sub(received)),
        life: left(expires),
        memory: left(forget),
    };
    Some((scope, kept))
}

fn row_key(scope: Scope, key: &ProviderKey, provider: &PeerId) -> Vec<u8> {
    let scope = match scope {
        Scope::Lan => 0,
        Scope::Wan => 1,
    };
    [&[scope], key.as_bytes().as_slice(), &provider.to_bytes()].concat()
}

#[expect(clippy::expect_used, reason = "numbers and byte strings always have a dag-cbor form")]
fn encode_row(kept: &Kept, now: SystemTime) -> Vec<u8> {
    let mut room = MAX_ADDRESS_BYTES;
    let fitting = kept.addresses.iter().map_while(|address| {
        room = room.checked_sub(address.len())?;
        Some(ByteBuf::from(address.to_vec()))
    });
    let addresses = fitting.collect();
    let now = seconds(now);
    let until = |left: Duration| now.saturating_add(left.as_secs());
    let row = Row(
        VERSION,
        ByteBuf::from(kept.sender.to_bytes()),
        kept.sequence,
        now.saturating_sub(kept.age.as_secs()),
        until(kept.life),
        until(kept.memory),
        addresses,
    );
    serde_ipld_dagcbor::to_vec(&row).expect("plain data is encodable")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
