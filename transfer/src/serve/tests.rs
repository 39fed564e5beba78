//! Peers that take what is sent to them slowly, or not at all, or as fast as we let it go.

use std::task::Context;
use std::time::Duration;

use futures::{AsyncRead, FutureExt};
use libp2p::PeerId;

use super::*;
use crate::pace::Pacer;
use crate::rate::Rate;

/// The other end of a stream: takes so many bytes at a time, and then none for a while.
struct Peer {
    at_once: usize,
    pause: Duration,
    resting: Delay,
}

impl Peer {
    fn new(at_once: usize, pause: Duration) -> Self {
        Peer { at_once, pause, resting: Delay::new(Duration::ZERO) }
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.resting.poll_unpin(cx).is_pending() {
            return Poll::Pending;
        }
        let pause = self.pause;
        self.resting.reset(pause);
        Poll::Ready(Ok(bytes.len().min(self.at_once)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Peer {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

/// How long a peer may be waited for in these tests.
const STALL: Duration = Duration::from_millis(200);

/// Sends so many bytes, no faster than `rate`.
async fn send(peer: Peer, bytes: usize, rate: Option<u64>) -> Result<(), ServeError> {
    let pacer = Pacer::new(rate.and_then(Rate::per_second), None);
    let mut stream = RangeStream::new(peer).paced_writes(pacer.meter(PeerId::random()));
    let limits = Limits { write_stall: STALL, ..Limits::default() };
    Writer::new(&mut stream, &limits).write_all(&vec![0; bytes]).await
}

#[tokio::test]
async fn a_peer_that_takes_nothing_or_a_byte_now_and_then_is_given_up() {
    let never = Duration::from_secs(3600);
    for (peer, rate) in [
        (Peer::new(100, never), None),
        (Peer::new(1, STALL / 4), None),
        (Peer::new(100, never), Some(1_000_000)),
        (Peer::new(1, STALL / 4), Some(1_000_000)),
    ] {
        let began = Instant::now();
        let sent = send(peer, 100_000, rate).await;
        assert!(matches!(sent, Err(ServeError::Stalled)), "{sent:?}");
        assert!(began.elapsed() >= STALL);
    }
}

#[tokio::test]
async fn a_peer_that_takes_a_group_in_time_is_slow_and_no_more() {
    let peer = Peer::new(SIGN_OF_LIFE / 4, STALL / 8);
    let began = Instant::now();
    send(peer, 10 * SIGN_OF_LIFE, None).await.unwrap();
    assert!(began.elapsed() > 3 * STALL, "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn what_our_own_limit_holds_back_is_no_fault_of_the_peer() {
    let began = Instant::now();
    send(Peer::new(usize::MAX, Duration::ZERO), 10_000, Some(10_000)).await.unwrap();
    assert!(began.elapsed() > 3 * STALL, "it took {:?}", began.elapsed());
}
