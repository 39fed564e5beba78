//! Lets two upgrades meet over a pipe and says how it went on each end.

use std::io;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_rustls::TlsStream;
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    tls,
};
use rustls::{CipherSuite, HandshakeKind, NamedGroup};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::super::PROTOCOL;

/// A handshake does not fit into it, so both ends wait for each other on the way.
pub(super) const PIPE: usize = 1024;
const GREETING: &[u8] = b"hello";

pub(super) type Socket = Compat<DuplexStream>;
type Secured = (PeerId, TlsStream<Socket>);

/// What one end knows of the other.
#[derive(Debug, PartialEq)]
pub(super) struct Met {
    pub(super) peer: PeerId,
    pub(super) suite: CipherSuite,
    pub(super) group: NamedGroup,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) handshake: HandshakeKind,
}

/// Why a handshake failed, in the TLS library's words: the stock upgrade hides them behind a sentence of its own.
pub(super) trait Cause {
    fn cause(self) -> String;
}

impl Cause for io::Error {
    fn cause(self) -> String {
        self.to_string()
    }
}

impl Cause for tls::UpgradeError {
    fn cause(self) -> String {
        match self {
            Self::ServerUpgrade(error) | Self::ClientUpgrade(error) => error.cause(),
            other => other.to_string(),
        }
    }
}

/// Shakes hands and greets; returns what the server saw and what the client saw.
pub(super) async fn meet<S, C>(server: S, client: C) -> (Result<Met, String>, Result<Met, String>)
where
    S: InboundConnectionUpgrade<Socket, Info = &'static str, Output = Secured, Error: Cause>,
    C: OutboundConnectionUpgrade<Socket, Info = &'static str, Output = Secured, Error: Cause>,
{
    let (near, far) = tokio::io::duplex(PIPE);
    let accepts =
        async { greet(server.upgrade_inbound(near.compat(), PROTOCOL).await.map_err(Cause::cause)?).await };
    let dials =
        async { greet(client.upgrade_outbound(far.compat(), PROTOCOL).await.map_err(Cause::cause)?).await };
    tokio::join!(accepts, dials)
}

/// A client is done before the server has looked at its certificate, so only an answer shows that it was let in.
async fn greet((peer, mut stream): Secured) -> Result<Met, String> {
    let mut answer = [0; GREETING.len()];
    let io = async {
        stream.write_all(GREETING).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    io.await.map_err(Cause::cause)?;
    assert_eq!(answer, GREETING);
    let state = stream.get_ref().1;
    Ok(Met {
        peer,
        suite: state.negotiated_cipher_suite().unwrap().suite(),
        group: state.negotiated_key_exchange_group().unwrap().name(),
        alpn: state.alpn_protocol().map(<[u8]>::to_vec),
        handshake: state.handshake_kind().unwrap(),
    })
}
