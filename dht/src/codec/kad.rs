//! Reads Kademlia's questions from a substream that may carry several of them, one after the other.

use std::io;

use futures::prelude::*;

use super::invalid;
use crate::wire::kad::{MAX_REQUEST_LEN, Request};

/// Bytes of the longest length that a question may claim.
const MAX_PREFIX_LEN: usize = 2;

/// The next question; none when there is no further one. Memory grows with what arrived.
pub(crate) async fn read_request(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Request>> {
    let mut prefix = Vec::with_capacity(MAX_PREFIX_LEN);
    loop {
        let mut byte = [0];
        if io.read(&mut byte).await? == 0 {
            return if prefix.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        prefix.extend(byte);
        let [byte] = byte;
        if byte & 0x80 == 0 {
            break;
        }
        if prefix.len() == MAX_PREFIX_LEN {
            return Err(invalid("the message is too long"));
        }
    }
    let len = prost::decode_length_delimiter(prefix.as_slice()).map_err(invalid)?;
    if len > MAX_REQUEST_LEN {
        return Err(invalid("the message is too long"));
    }
    let mut bytes = Vec::new();
    io.take(u64::try_from(len).unwrap_or(u64::MAX)).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Request::decode(&bytes).map(Some).map_err(invalid)
}
