//! Secures TCP connections: TLS where both ends have it, and Noise for those that have not.

use std::{array, io};

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

/// What the two upgrades are called on the wire, the preferred one first.
const PROTOCOLS: [&str; 2] = [tls::PROTOCOL, "/noise"];

/// Both ways to secure a connection.
#[derive(Clone)]
pub(crate) struct Config {
    tls: tls::Config,
    noise: noise::Config,
}

/// A secured connection, and who is at its other end.
type Secured<C> = (PeerId, Either<TlsStream<C>, noise::Output<C>>);

impl Config {
    pub(crate) fn new(identity: &Keypair) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self { tls: tls::Config::new(identity)?, noise: noise::Config::new(identity)? })
    }
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = array::IntoIter<&'static str, 2>;

    fn protocol_info(&self) -> Self::InfoIter {
        PROTOCOLS.into_iter()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Config {
    type Output = Secured<C>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured<C>>>;

    fn upgrade_inbound(self, socket: C, protocol: &'static str) -> Self::Future {
        if protocol == tls::PROTOCOL {
            self.tls.upgrade_inbound(socket, protocol).map_ok(over_tls).boxed()
        } else {
            self.noise.upgrade_inbound(socket, protocol).map_ok(over_noise).map_err(io::Error::other).boxed()
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Config {
    type Output = Secured<C>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured<C>>>;

    fn upgrade_outbound(self, socket: C, protocol: &'static str) -> Self::Future {
        if protocol == tls::PROTOCOL {
            self.tls.upgrade_outbound(socket, protocol).map_ok(over_tls).boxed()
        } else {
            self.noise.upgrade_outbound(socket, protocol).map_ok(over_noise).map_err(io::Error::other).boxed()
        }
    }
}

fn over_tls<C>((peer, stream): (PeerId, TlsStream<C>)) -> Secured<C> {
    (peer, Either::Left(stream))
}

fn over_noise<C>((peer, stream): (PeerId, noise::Output<C>)) -> Secured<C> {
    (peer, Either::Right(stream))
}
