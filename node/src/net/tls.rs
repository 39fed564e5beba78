//! Secures TCP connections with libp2p's TLS 1.3, AES first on processors that have it.
//!
//! The protocol, the certificate and the rules are those of libp2p, and the other end may be any of its
//! implementations. Its stock upgrade in Rust asks for ChaCha20 first everywhere, and that costs bulk transfers a
//! third of their speed where AES is an instruction.

mod cipher;
mod stream;
mod verifier;

use std::{io, iter, net::Ipv4Addr, sync::Arc};

use futures::{AsyncRead, AsyncWrite, future::BoxFuture};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::{
    PeerId,
    core::{
        UpgradeInfo,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    },
    identity::Keypair,
    tls::certificate,
};
use rustls::{
    ClientConfig, CommonState, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

pub(super) use self::stream::Stream;
use self::{cipher::Cipher, verifier::Verifier};

/// What libp2p calls this upgrade when the two ends agree on one.
pub(super) const PROTOCOL: &str = "/tls/1.0.0";
/// What libp2p calls itself inside the handshake.
const ALPN: &[u8] = b"libp2p";

/// Upgrades connections of the node whose key it was made with, both those it dials and those it accepts.
///
/// Who dials checks afterwards that the peer is the one it meant, as with every other upgrade: the Swarm does.
#[derive(Clone)]
pub(crate) struct Config {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Why a node cannot have TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("could not make a certificate for this node's key")]
    Certificate(#[from] certificate::GenError),
    #[error("could not set up TLS 1.3")]
    Tls(#[from] rustls::Error),
}

impl Config {
    /// Makes a certificate for this run of the node, signed by `identity`.
    pub(crate) fn new(identity: &Keypair) -> Result<Self, SetupError> {
        Self::preferring(Cipher::of_this_processor(), identity)
    }

    fn preferring(cipher: Cipher, identity: &Keypair) -> Result<Self, SetupError> {
        let suites = cipher.suites();
        let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() });
        let (mut server, client) = configs(&provider, identity)?;
        // AES is for when both ends have the instruction: a server without it takes the best of its own order, and
        // one with it the best of the client's, who may be without.
        server.ignore_client_order = cipher == Cipher::ChaCha20;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// Makes the TLS library ready for its first handshake, which takes some 35 ms of a processor once in a process: it
/// collects entropy of its own before its first random number.
pub(super) fn warm_up() {
    // Whoever needs random numbers and gets none says so.
    drop(aws_lc_rs::default_provider().secure_random.fill(&mut [0]));
}

/// TLS 1.3 and nothing older, one certificate for both roles, and no session tickets.
///
/// A client finds its tickets by the name of the server, and libp2p's servers have none: it would offer one peer what
/// it got from another. Without tickets every handshake proves an identity anew. Secrets are not logged, whatever the
/// environment asks for.
fn configs(
    provider: &Arc<CryptoProvider>,
    identity: &Keypair,
) -> Result<(ServerConfig, ClientConfig), SetupError> {
    let (certificate, key) = certificate::generate(identity)?;
    let key = aws_lc_rs::sign::any_ecdsa_type(&key)?;
    let certified = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
    let verifier = Arc::new(Verifier);

    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifier) as _)
        .with_cert_resolver(Arc::clone(&certified) as _);
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.send_tls13_tickets = 0;

    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // The verifier that replaces the usual one has its own tests.
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(certified);
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    Ok((server, client))
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(PROTOCOL)
    }
}

impl<C> InboundConnectionUpgrade<C> for Config
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, TlsStream<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        Box::pin(async move {
            let stream = TlsAcceptor::from(self.server).accept(socket).await.map_err(verifier::explain)?;
            Ok((peer_of(stream.get_ref().1)?, stream.into()))
        })
    }
}

impl<C> OutboundConnectionUpgrade<C> for Config
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, TlsStream<C>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        Box::pin(async move {
            // libp2p's clients must not name the server, and for an address rustls names none.
            let nameless = ServerName::from(Ipv4Addr::UNSPECIFIED);
            let stream =
                TlsConnector::from(self.client).connect(nameless, socket).await.map_err(verifier::explain)?;
            Ok((peer_of(stream.get_ref().1)?, stream.into()))
        })
    }
}

/// Reads the peer's name off the certificate that the handshake has checked.
fn peer_of(state: &CommonState) -> io::Result<PeerId> {
    match state.peer_certificates() {
        Some([certificate, others @ ..]) => verifier::peer_of(certificate, others),
        Some([]) | None => Err(rustls::Error::NoCertificatesPresented),
    }
    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests;
