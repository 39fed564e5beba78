//! What an attacker says, as bytes: announcements that it may sign, answers that need no signature.

use std::time::{SystemTime, UNIX_EPOCH};

use libp2p::{
    Multiaddr, PeerId,
    identity::{Keypair, PublicKey},
    kad::KBucketKey,
};
use serde::Serialize;
use serde_bytes::{ByteBuf, Bytes};
use shoal_content::{NetworkName, ProviderKey};

/// Nodes in an answer, addresses of each, and providers: more is not read.
const NEAR: usize = 20;
const ADDRESSES: usize = 4;
const PROVIDERS: usize = 32;

/// For how long announcements hold, in seconds: as long as a node lets them.
const TERM: u64 = 48 * 3600;

/// Of an announcement that takes back those before it.
const WITHDRAWN: u64 = 0;

/// Somebody, and where by an attacker's word.
pub(crate) type Named = (PeerId, Vec<Multiaddr>);

/// Where something lies in the overlay: the hash of its bytes.
pub(crate) fn position(bytes: &[u8]) -> [u8; 32] {
    let mut position = [0; 32];
    for (to, from) in position.iter_mut().zip(KBucketKey::new(bytes).hashed_bytes()) {
        *to = *from;
    }
    position
}

/// Signs an announcement of keys.
pub(crate) fn announcement(signer: &Keypair, addresses: &[Multiaddr], keys: &[ProviderKey]) -> Vec<u8> {
    statement(signer, &signer.public(), TERM, addresses, keys)
}

/// Signs that a provider has keys no more: somebody else, whose key is on every announcement of theirs.
pub(crate) fn forgery(signer: &Keypair, provider: &PublicKey, keys: &[ProviderKey]) -> Vec<u8> {
    statement(signer, provider, WITHDRAWN, &[], keys)
}

fn statement(
    signer: &Keypair,
    provider: &PublicKey,
    term: u64,
    addresses: &[Multiaddr],
    keys: &[ProviderKey],
) -> Vec<u8> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut keys: Vec<_> = keys.iter().map(ProviderKey::as_bytes).collect();
    keys.sort_unstable();
    let body = encode(&(
        1_u8,
        "wan",
        ByteBuf::from(provider.encode_protobuf()),
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
        if term == WITHDRAWN { 0 } else { since_epoch.as_secs() + term },
        addresses.iter().take(ADDRESSES).map(|address| ByteBuf::from(address.to_vec())).collect::<Vec<_>>(),
        ByteBuf::from(keys.into_iter().flatten().copied().collect::<Vec<u8>>()),
    ));
    let network = NetworkName::default();
    let signed = encode(&(Bytes::new(b"shoal announcement v1"), network.as_str(), Bytes::new(&body)));
    let signature = signer.sign(&signed).unwrap_or_default();
    encode(&(ByteBuf::from(body), ByteBuf::from(signature)))
}

/// That an announcement is kept.
pub(crate) fn receipt() -> Vec<u8> {
    encode(&(1_u8, 1_u32, 0_u32))
}

/// Whether a receipt says that all is kept.
pub(crate) fn is_kept(receipt: &[u8]) -> bool {
    let receipt: Result<(u8, u32, u32), _> = serde_ipld_dagcbor::from_slice(receipt);
    receipt.is_ok_and(|(_, _, refused)| refused == 0)
}

/// Asks who provides a key.
pub(crate) fn question(key: &ProviderKey) -> Vec<u8> {
    let place = position(key.as_bytes());
    encode(&(1_u8, Bytes::new(&place), Some(Bytes::new(key.as_bytes()))))
}

/// Names some who are near, and some who provide.
pub(crate) fn reply(near: &[Named], providers: &[Named]) -> Vec<u8> {
    let rows = |named: &[Named], most| {
        let row = |(peer, addresses): &Named| {
            let addresses = addresses.iter().take(ADDRESSES).map(|address| ByteBuf::from(address.to_vec()));
            (ByteBuf::from(peer.to_bytes()), addresses.collect::<Vec<_>>())
        };
        named.iter().take(most).map(row).collect::<Vec<_>>()
    };
    encode(&(1_u8, rows(near, NEAR), rows(providers, PROVIDERS)))
}

/// Whom an answer calls providers.
pub(crate) fn providers(reply: &[u8]) -> Vec<PeerId> {
    type Rows = Vec<(ByteBuf, Vec<ByteBuf>)>;
    let reply: Result<(u8, Rows, Rows), _> = serde_ipld_dagcbor::from_slice(reply);
    let rows = reply.map(|(_, _, providers)| providers).unwrap_or_default();
    rows.iter().filter_map(|(peer, _)| PeerId::from_bytes(peer).ok()).collect()
}

#[expect(clippy::expect_used, reason = "numbers, texts and byte strings always have a dag-cbor form")]
fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(value).expect("plain data is encodable")
}
