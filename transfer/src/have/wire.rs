//! The messages of `have` as arrays of canonical DAG-CBOR.
//!
//! A request is `[0, key, 0]` or `[1, key, group]`. A response is `[0, holding or null, others]` or
//! `[1, null, []]`, where a holding is `[size, [[start, length], …], complete, name or null, [[first, count], …] or
//! null]` and each of the others is `[peer id, [address, …]]`.

use libp2p::{Multiaddr, PeerId};
use serde_bytes::{ByteArray, ByteBuf};
use shoal_content::{GroupRanges, MAX_RANGE_PAIRS, ProviderKey, Tree};

use super::{
    Answer, Have, Holder, Holding, MAX_ADDRESS_LEN, MAX_ADDRESSES, MAX_NAME_LEN, MAX_OTHERS, Request,
    Response,
};
use crate::wire::{Bounded, Pairs, WireError, decode};

pub(super) type RequestWire = (u64, ByteArray<32>, u64);
pub(super) type ResponseWire = (u64, Option<HoldingWire>, Bounded<HolderWire, MAX_OTHERS>);
type HoldingWire = (u64, Pairs, bool, Option<String>, Option<Pairs>);
type HolderWire = (ByteBuf, Bounded<ByteBuf, MAX_ADDRESSES>);

pub(super) fn encode_request(request: &Request) -> RequestWire {
    match request {
        Request::Have(Have { key }) => (0, ByteArray::new(*key.as_bytes()), 0),
        Request::BadGroup { key, group } => (1, ByteArray::new(*key.as_bytes()), *group),
    }
}

pub(super) fn decode_request(bytes: &[u8]) -> Result<Request, WireError> {
    let (what, key, group) = decode::<RequestWire>(bytes)?;
    let key = ProviderKey::from_bytes(key.into_array());
    match (what, group) {
        (0, 0) => Ok(Request::Have(Have { key })),
        (1, group) => Ok(Request::BadGroup { key, group }),
        _ => Err(WireError::Malformed("question")),
    }
}

pub(super) fn encode_response(response: &Response) -> ResponseWire {
    match response {
        Response::Ack => (1, None, Bounded::default()),
        Response::Answer(answer) => {
            let others = answer.others.iter().take(MAX_OTHERS).map(encode_holder).collect();
            (0, answer.holding.as_ref().map(encode_holding), Bounded(others))
        }
    }
}

pub(super) fn decode_response(bytes: &[u8]) -> Result<Response, WireError> {
    match decode::<ResponseWire>(bytes)? {
        (0, holding, Bounded(others)) => Ok(Response::Answer(Answer {
            holding: holding.map(decode_holding).transpose()?,
            others: others.into_iter().map(decode_holder).collect::<Result<_, _>>()?,
        })),
        (1, None, Bounded(others)) if others.is_empty() => Ok(Response::Ack),
        _ => Err(WireError::Malformed("answer")),
    }
}

fn encode_holding(holding: &Holding) -> HoldingWire {
    let first = |ranges: &GroupRanges| Pairs(ranges.iter().take(MAX_RANGE_PAIRS).collect());
    let name = holding.name.clone().filter(|name| name.len() <= MAX_NAME_LEN);
    (holding.size, first(&holding.ranges), holding.complete, name, holding.files.as_ref().map(first))
}

fn decode_holding((size, Pairs(ranges), complete, name, files): HoldingWire) -> Result<Holding, WireError> {
    let all = GroupRanges::all(Tree::new(size).groups());
    if complete != (ranges == all) || !ranges.difference(&all).is_empty() {
        return Err(WireError::Malformed("holding"));
    }
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME_LEN) {
        return Err(WireError::Malformed("name"));
    }
    Ok(Holding { size, ranges, complete, name, files: files.map(|Pairs(files)| files) })
}

fn encode_holder(holder: &Holder) -> HolderWire {
    let addresses =
        holder.addresses.iter().map(Multiaddr::to_vec).filter(|bytes| bytes.len() <= MAX_ADDRESS_LEN);
    let addresses = addresses.take(MAX_ADDRESSES).map(ByteBuf::from).collect();
    (ByteBuf::from(holder.peer.to_bytes()), Bounded(addresses))
}

fn decode_holder((peer, Bounded(addresses)): HolderWire) -> Result<Holder, WireError> {
    let peer = PeerId::from_bytes(&peer).map_err(|_| WireError::Malformed("peer"))?;
    let address = |bytes: ByteBuf| {
        if bytes.len() > MAX_ADDRESS_LEN {
            return Err(WireError::Malformed("address"));
        }
        Multiaddr::try_from(bytes.into_vec()).map_err(|_| WireError::Malformed("address"))
    };
    Ok(Holder { peer, addresses: addresses.into_iter().map(address).collect::<Result<_, _>>()? })
}
