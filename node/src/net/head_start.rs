//! Decides which transport of a dial begins, and how long the other one waits for it.
//!
//! A peer's addresses are dialled all at once and the first finished handshake wins. QUIC needs fewer round trips than
//! TCP with TLS, so it would win nearly always, while TCP moves bulk bytes faster and with less work
//! (`docs/benchmarks.md`). So TCP begins, and QUIC waits while a dial over TCP to the same peer is under way, never longer
//! than a moment. Where the overlay dials somebody far away it is the other way round: a short question follows, and the
//! round trip is what its asker waits for. Within a local network there is none to save.

mod experience;

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};
use shoal_dht::AddressClass;
use tokio::sync::Notify;

use self::experience::Experience;

/// How long QUIC lets TCP go first. With TLS that needs two round trips, and QUIC one: up to a round trip of this length
/// TCP is the first to be ready. Where TCP is dropped without a word, a dial takes so much longer.
const QUIC_WAITS: Duration = Duration::from_millis(500);
/// How long TCP lets QUIC go first. Where UDP is dropped without a word, a question takes so much longer; on a way that is
/// longer than this, both are under way and QUIC still wins.
const TCP_WAITS: Duration = Duration::from_millis(250);

/// What an address is dialled over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Tcp,
    Quic,
}

impl Way {
    fn of(address: &Multiaddr) -> Option<Self> {
        address.iter().find_map(|part| match part {
            Protocol::Tcp(_) => Some(Self::Tcp),
            Protocol::QuicV1 => Some(Self::Quic),
            _ => None,
        })
    }

    /// How long it lets the other one go first.
    fn waits(self) -> Duration {
        match self {
            Self::Tcp => TCP_WAITS,
            Self::Quic => QUIC_WAITS,
        }
    }
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

/// The dials that others wait for, and what became of those before.
#[derive(Debug, Default)]
struct Race {
    /// Those under way; they are bounded as all dials are.
    dials: Mutex<HashMap<(Target, Way), usize>>,
    ended: Notify,
    experience: Mutex<Experience>,
}

impl Race {
    fn begin(self: Arc<Self>, target: Target, way: Way) -> Begun {
        *self.dials().entry((target, way)).or_default() += 1;
        Begun { race: self, target, way }
    }

    /// Waits until nobody dials `target` this way.
    async fn is_over(&self, target: Target, way: Way) {
        loop {
            let ended = self.ended.notified();
            if !self.dials().contains_key(&(target, way)) {
                return;
            }
            ended.await;
        }
    }

    fn dials(&self) -> MutexGuard<'_, HashMap<(Target, Way), usize>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn experience(&self) -> MutexGuard<'_, Experience> {
        self.experience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial under way. However it ends, those who wait for it hear of it.
struct Begun {
    race: Arc<Race>,
    target: Target,
    way: Way,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut dials = self.race.dials();
        if let Some(count) = dials.get_mut(&(self.target, self.way)) {
            *count -= 1;
            if *count == 0 {
                dials.remove(&(self.target, self.way));
            }
        }
        drop(dials);
        self.race.ended.notify_waiters();
    }
}

/// A transport that dials over TCP and QUIC, one after the other.
///
/// Nothing may stand between it and the Swarm that puts off a dial: the Swarm asks for all dials to a peer before it lets
/// any of them begin, so those who wait know for whom.
pub(crate) struct HeadStart<T> {
    inner: T,
    race: Arc<Race>,
    /// Whether what is dialled now is for a question of the overlay.
    is_question: Arc<AtomicBool>,
    is_far: fn(&Multiaddr) -> bool,
}

impl<T> HeadStart<T> {
    /// One that is told by `is_question` whether what is dialled now is for a question of the overlay.
    pub(crate) fn new(inner: T, is_question: Arc<AtomicBool>) -> Self {
        Self::with_far(inner, is_question, |address| AddressClass::of(address) == AddressClass::Global)
    }

    pub(super) fn with_far(inner: T, is_question: Arc<AtomicBool>, is_far: fn(&Multiaddr) -> bool) -> Self {
        Self { inner, race: Arc::default(), is_question, is_far }
    }

    /// Which way goes first where there are both.
    fn first_to(&self, address: &Multiaddr) -> Way {
        let is_question = self.is_question.load(Ordering::Relaxed);
        if is_question && (self.is_far)(address) && self.race.experience().favours_quic(Instant::now()) {
            Way::Quic
        } else {
            Way::Tcp
        }
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
        let (target, first) = (Target::of(&address), self.first_to(&address));
        let way = Way::of(&address);
        let dial = self.inner.dial(address, options)?;
        let Some(way) = way else { return Ok(Box::pin(dial)) };
        let race = self.race.clone();
        let begun = (way == first).then(|| race.clone().begin(target, way));
        Ok(Box::pin(async move {
            let mut was_silent = false;
            if begun.is_none() {
                // Too long is long enough.
                was_silent = tokio::time::timeout(way.waits(), race.is_over(target, first)).await.is_err();
            }
            let done = dial.await;
            if done.is_ok() {
                match way {
                    Way::Quic => race.experience().quic_answered(),
                    Way::Tcp if was_silent => race.experience().tcp_instead(target, Instant::now()),
                    Way::Tcp => {}
                }
            }
            drop(begun);
            done
        }))
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
