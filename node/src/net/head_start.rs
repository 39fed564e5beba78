//! Decides when the slower transport may dial: not while the faster one is about to succeed.
//!
//! A peer's addresses are dialled all at once and the first finished handshake wins. QUIC needs fewer round trips than
//! TCP with TLS, so it would win nearly always, while TCP moves bulk bytes faster and with less work
//! (`docs/benchmarks.md`). QUIC is there for where TCP does not get through: it waits while a dial over TCP to the same
//! peer is under way, and never longer than a moment.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};
use tokio::sync::Notify;

/// Which peers the transports that go first are dialling. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ahead(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Dials under way; they are bounded as all dials are.
    dials: Mutex<HashMap<Target, usize>>,
    ended: Notify,
}

/// Whom a dial is to reach, as far as its address tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    Peer(PeerId),
    Machine(IpAddr),
    Unknown,
}

impl Target {
    fn of(address: &Multiaddr) -> Self {
        let mut target = Self::Unknown;
        for part in address {
            match part {
                Protocol::P2p(peer) => return Self::Peer(peer),
                Protocol::Ip4(ip) => target = Self::Machine(ip.into()),
                Protocol::Ip6(ip) => target = Self::Machine(ip.into()),
                _ => {}
            }
        }
        target
    }
}

impl Ahead {
    fn begin(&self, target: Target) -> Begun {
        *self.dials().entry(target).or_default() += 1;
        Begun { ahead: self.clone(), target }
    }

    /// Waits until nobody dials `target`.
    async fn is_over(&self, target: Target) {
        loop {
            let ended = self.0.ended.notified();
            if !self.dials().contains_key(&target) {
                return;
            }
            ended.await;
        }
    }

    fn dials(&self) -> MutexGuard<'_, HashMap<Target, usize>> {
        self.0.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial under way. However it ends, those who wait for it hear of it.
struct Begun {
    ahead: Ahead,
    target: Target,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut dials = self.ahead.dials();
        if let Some(count) = dials.get_mut(&self.target) {
            *count -= 1;
            if *count == 0 {
                dials.remove(&self.target);
            }
        }
        drop(dials);
        self.ahead.0.ended.notify_waiters();
    }
}

/// A transport in a race, and its place.
#[derive(Debug)]
pub(crate) struct HeadStart<T> {
    inner: T,
    ahead: Ahead,
    /// How long it waits for those ahead at most; none if it goes first.
    waits: Option<Duration>,
}

impl<T> HeadStart<T> {
    /// One that others wait for.
    pub(crate) fn first(inner: T, ahead: Ahead) -> Self {
        Self { inner, ahead, waits: None }
    }

    /// One that lets those `ahead` go first, for as long as `waits`.
    pub(crate) fn later(inner: T, ahead: Ahead, waits: Duration) -> Self {
        Self { inner, ahead, waits: Some(waits) }
    }
}

impl<T> Transport for HeadStart<T>
where
    T: Transport + Unpin,
    T::Dial: Send + 'static,
    T::Output: Send,
    T::Error: Send,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let target = Target::of(&address);
        let dial = self.inner.dial(address, options)?;
        let ahead = self.ahead.clone();
        Ok(match self.waits {
            None => {
                // The Swarm asks for all dials to a peer before it lets any of them begin, so this one is known by then.
                let begun = ahead.begin(target);
                Box::pin(async move {
                    let _begun = begun;
                    dial.await
                })
            }
            Some(waits) => Box::pin(async move {
                // Too long is long enough.
                let _ = tokio::time::timeout(waits, ahead.is_over(target)).await;
                dial.await
            }),
        })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests;
