//! Reads and writes announcements on a substream.
//!
//! Signatures are checked here, in the task of the connection that brought them, so that a flood of
//! announcements does not stop the task that runs the swarm.

mod find;
pub(crate) mod kad;

use std::io;
use std::sync::Arc;

use futures::prelude::*;
use libp2p::StreamProtocol;
use libp2p::core::upgrade::NegotiationError;
use libp2p::request_response::{self, OutboundFailure};
use shoal_content::NetworkName;

use crate::config::{Defence, Defences};
use crate::scope::Scope;
use crate::wire::{MAX_RECEIPT_LEN, MAX_REQUEST_LEN, Receipt, Sealed};
pub(crate) use find::FindCodec;

/// Whether a question failed because the peer does not speak its protocol. Where a question goes out together with
/// the proposal of its protocol, the refusal is what the asker reads instead of an answer.
pub fn is_unsupported(error: &OutboundFailure) -> bool {
    match error {
        OutboundFailure::UnsupportedProtocols => true,
        OutboundFailure::Io(error) => {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<NegotiationError>());
            matches!(cause, Some(NegotiationError::Failed))
        }
        _ => false,
    }
}

/// The codec of the announce protocol of one scope.
#[derive(Clone)]
pub struct Codec {
    network: NetworkName,
    scope: Scope,
    defences: Defences,
}

impl Codec {
    pub(crate) fn new(network: NetworkName, scope: Scope, defences: Defences) -> Self {
        Self { network, scope, defences }
    }
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Arc<Sealed>;
    type Response = Receipt;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Arc<Sealed>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read_all(io, MAX_REQUEST_LEN).await?;
        let sealed = if self.defences.include(Defence::Signatures) {
            Sealed::open(bytes, &self.network, self.scope)
        } else {
            Sealed::believe(bytes, self.scope)
        };
        sealed.map(Arc::new).map_err(invalid)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Receipt>
    where
        T: AsyncRead + Unpin + Send,
    {
        Receipt::decode(&read_all(io, MAX_RECEIPT_LEN).await?).map_err(invalid)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        sealed: Arc<Sealed>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(sealed.as_bytes()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, receipt: Receipt) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&receipt.encode()).await
    }
}

/// Reads to the end of the stream; more than `max` bytes are an error. Memory grows with what arrived.
async fn read_all(io: &mut (impl AsyncRead + Unpin), max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let one_too_many = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    io.take(one_too_many).read_to_end(&mut bytes).await?;
    if bytes.len() > max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    Ok(bytes)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
