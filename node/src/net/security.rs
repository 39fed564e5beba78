//! Secures TCP connections: TLS where both ends have it, and Noise for those that have not.

use std::{io, iter, option};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, TryFutureExt,
    future::{BoxFuture, Either},
};
use futures_rustls::TlsStream;
use libp2p::{
    PeerId,
    core::{
        UpgradeInfo,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    },
    identity::Keypair,
    noise,
};

use super::tls;

/// What the second upgrade is called on the wire; the first is [`tls::PROTOCOL`].
const NOISE: &str = "/noise";

/// The ways to secure a connection.
#[derive(Clone)]
pub(crate) struct Config {
    tls: tls::Config,
    /// None where TLS alone is to be proposed.
    noise: Option<noise::Config>,
}

/// A secured connection, and who is at its other end.
type Secured<C> = (PeerId, Either<tls::Stream<C>, noise::Output<C>>);

impl Config {
    pub(crate) fn new(identity: &Keypair) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self { tls: tls::Config::new(identity)?, noise: Some(noise::Config::new(identity)?) })
    }

    /// The same without Noise.
    pub(crate) fn tls_alone(&self) -> Self {
        Self { tls: self.tls.clone(), noise: None }
    }
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = iter::Chain<iter::Once<&'static str>, option::IntoIter<&'static str>>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(tls::PROTOCOL).chain(self.noise.as_ref().map(|_| NOISE))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Config {
    type Output = Secured<C>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured<C>>>;

    fn upgrade_inbound(self, socket: C, protocol: &'static str) -> Self::Future {
        match self.noise.filter(|_| protocol == NOISE) {
            None => self.tls.upgrade_inbound(socket, protocol).map_ok(over_tls).boxed(),
            Some(noise) => {
                noise.upgrade_inbound(socket, protocol).map_ok(over_noise).map_err(io::Error::other).boxed()
            }
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Config {
    type Output = Secured<C>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured<C>>>;

    fn upgrade_outbound(self, socket: C, protocol: &'static str) -> Self::Future {
        match self.noise.filter(|_| protocol == NOISE) {
            None => self.tls.upgrade_outbound(socket, protocol).map_ok(over_tls).boxed(),
            Some(noise) => {
                noise.upgrade_outbound(socket, protocol).map_ok(over_noise).map_err(io::Error::other).boxed()
            }
        }
    }
}

fn over_tls<C>((peer, stream): (PeerId, TlsStream<C>)) -> Secured<C> {
    (peer, Either::Left(tls::Stream::new(stream)))
}

fn over_noise<C>((peer, stream): (PeerId, noise::Output<C>)) -> Secured<C> {
    (peer, Either::Right(stream))
}
