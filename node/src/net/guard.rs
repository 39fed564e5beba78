//! Lets a transport dial only what [`Dialling`] allows, and tells it how each dial ended.
//!
//! Every dial of the Swarm passes here, whoever wanted it and wherever its addresses came from: behaviours of
//! libp2p remember addresses too, and know nothing of our rules.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    },
};
use shoal_dht::causes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::dialling::{Dialling, End, Refusal};
use crate::config::Limits;

type Connection = (PeerId, StreamMuxerBox);

/// How long a dial without an answer keeps the next one waiting. Those to nobody take until their timeout, and must
/// not hold up the others for so long.
const TURN: Duration = Duration::from_secs(2);

/// How long a dial waits for its turn: less than the time that a connection has to be made.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// What is known of dials, for everybody who must know.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    dialling: Arc<Mutex<Dialling>>,
    /// One permit for each dial that may be made at a time; the others wait.
    turns: Arc<Semaphore>,
}

impl Rules {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let turns = usize::try_from(limits.pending).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            dialling: Arc::new(Mutex::new(Dialling::new(limits, now))),
            turns: Arc::new(Semaphore::new(turns)),
        }
    }

    /// The rules, for a moment.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Dialling> {
        self.dialling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a dial may be made.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = tokio::time::timeout(LONGEST_WAIT, self.turns.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }
}

/// What a dial that is not made ends with. Whoever wanted it can tell that it was for a reason of our own.
fn refused(refusal: Refusal) -> io::Error {
    match refusal {
        Refusal::Busy => io::Error::new(ErrorKind::ResourceBusy, refusal),
        Refusal::Failing | Refusal::Unknown => io::Error::new(ErrorKind::QuotaExceeded, refusal),
        _ => io::Error::other(refusal),
    }
}

/// Makes a dial, which stops counting when it takes long.
async fn in_turn<T>(dial: impl Future<Output = T>, turn: OwnedSemaphorePermit) -> T {
    let mut dial = std::pin::pin!(dial);
    match tokio::time::timeout(TURN, dial.as_mut()).await {
        Ok(connection) => connection,
        Err(_) => {
            drop(turn);
            dial.await
        }
    }
}

/// A transport that dials only what a node with these limits would dial, and as fast.
pub fn ruled(inner: Boxed<(PeerId, StreamMuxerBox)>, limits: &Limits) -> Guard {
    Guard::new(inner, Rules::new(limits, Instant::now()))
}

/// A transport whose dials obey.
pub struct Guard {
    inner: Boxed<Connection>,
    rules: Rules,
}

impl Guard {
    pub(crate) fn new(inner: Boxed<Connection>, rules: Rules) -> Self {
        Self { inner, rules }
    }
}

impl Transport for Guard {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<Connection> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        // Nothing goes out before the future is polled: it may never be, when another transport was faster.
        let dial = self.inner.dial(address.clone(), options)?;
        let rules = self.rules.clone();
        Ok(Box::pin(async move {
            let wait = rules.lock().admit(&address, Instant::now()).map_err(refused)?;
            let mut attempt = Attempt { rules, address, started: None, end: None };
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let turn = attempt.rules.turn().await.map_err(refused)?;
            attempt.started = Some(Instant::now());
            let connection = in_turn(dial, turn).await;
            attempt.end = Some(match &connection {
                Ok(_) => End::Reached,
                // Nobody saw it, so it does not count against whoever lives there.
                Err(error) if never_left(error) => End::NotBegun,
                Err(_) => End::Failed,
            });
            connection
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// Whether a dial failed because this machine has no network to send it to.
fn never_left(error: &io::Error) -> bool {
    let mut io = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.any(|io| matches!(io.kind(), ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown))
}

/// A dial under way. However it ends, the rules hear of it.
struct Attempt {
    rules: Rules,
    address: Multiaddr,
    /// When its turn came.
    started: Option<Instant>,
    end: Option<End>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let given_up = self.started.map(|started| End::GivenUp { after: started.elapsed() });
        let end = self.end.or(given_up).unwrap_or(End::NotBegun);
        self.rules.lock().ended(&self.address, end, Instant::now());
    }
}

#[cfg(test)]
mod tests;
