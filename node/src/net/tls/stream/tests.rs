//! Two ends over a pipe: what is written arrives, in as few records as it takes, and no more waits than should.

use std::sync::{Arc, Mutex};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::poll_fn, join};
use libp2p::{
    core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _},
    identity::Keypair,
};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::{super::Config, *};

/// Smaller than a record, so that nothing is ever sent in one piece.
const PIPE: usize = 1000;

/// What a record has beside its content: a header, the type and the tag.
const OVERHEAD: usize = 5 + 1 + 16;

/// A socket that counts what it sends.
struct Counting<C> {
    socket: C,
    sent: Arc<Mutex<usize>>,
}

impl<C: AsyncRead + Unpin> AsyncRead for Counting<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counting<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, buf))?;
        *self.sent.lock().unwrap() += written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

type Socket = Counting<Compat<DuplexStream>>;

struct Pair {
    server: Stream<Socket>,
    client: Stream<Socket>,
    /// Bytes that the client has sent.
    sent: Arc<Mutex<usize>>,
}

impl Pair {
    /// Two ends that have shaken hands over a pipe which holds `pipe` bytes.
    async fn new(pipe: usize) -> Self {
        let key = Keypair::generate_ed25519();
        let config = Config::new(&key).unwrap();
        let (near, far) = tokio::io::duplex(pipe);
        let sent = Arc::default();
        let near = Counting { socket: near.compat(), sent: Arc::default() };
        let far = Counting { socket: far.compat(), sent: Arc::clone(&sent) };
        let (server, client) =
            join!(config.clone().upgrade_inbound(near, ""), config.upgrade_outbound(far, ""));
        let (server, client) = (Stream::new(server.unwrap().1), Stream::new(client.unwrap().1));
        *sent.lock().unwrap() = 0;
        Self { server, client, sent }
    }

    /// What the client has sent, which is on its way or was received.
    fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

#[tokio::test]
async fn what_is_written_arrives_whatever_its_pieces() {
    let Pair { mut server, mut client, .. } = Pair::new(PIPE).await;
    let all = bytes(1_000_000);
    let sends = async {
        let mut rest = all.as_slice();
        for len in [1, 12, 64, 65, 1000, 16_384, 12, 65_524, 200_000].into_iter().cycle() {
            let (piece, behind) = rest.split_at(len.min(rest.len()));
            client.write_all(piece).await.unwrap();
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        client.close().await.unwrap();
    };
    let receives = async {
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        got
    };
    let ((), got) = join!(sends, receives);
    assert!(got == all);
}

#[tokio::test]
async fn a_short_write_waits_for_what_follows_or_a_flush() {
    const BODY: usize = 4 * 16_384 - 12;
    let mut pair = Pair::new(1 << 20).await;
    pair.client.write_all(&bytes(12)).await.unwrap();
    assert_eq!(pair.sent(), 0);
    pair.client.write_all(&bytes(BODY)).await.unwrap();
    pair.client.flush().await.unwrap();
    assert_eq!(pair.sent(), 12 + BODY + 4 * OVERHEAD, "four full records");

    pair.client.write_all(b"alone").await.unwrap();
    pair.client.flush().await.unwrap();
    assert_eq!(pair.sent(), 12 + BODY + 4 * OVERHEAD + 5 + OVERHEAD);
    let mut got = vec![0; 12 + BODY + 5];
    pair.server.read_exact(&mut got).await.unwrap();
    assert!(got.ends_with(b"alone"));
}

#[tokio::test]
async fn who_does_not_read_makes_the_writer_wait() {
    let Pair { server, mut client, .. } = Pair::new(PIPE).await;
    let piece = bytes(10_000);
    let mut taken = 0;
    let waits = poll_fn(|cx| {
        loop {
            match Pin::new(&mut client).poll_write(cx, &piece) {
                Poll::Ready(written) => taken += written.unwrap(),
                Poll::Pending => return Poll::Ready(()),
            }
            assert!(taken < 10 * QUEUE, "no end to it");
        }
    });
    waits.await;
    assert!((QUEUE..QUEUE + MAX_WRITE).contains(&taken), "{taken}");
    drop(server);
}

#[tokio::test]
async fn an_end_that_was_not_said_is_an_error() {
    let Pair { mut server, client, .. } = Pair::new(PIPE).await;
    drop(client);
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn bytes_that_are_no_record_are_refused() {
    let Pair { mut server, mut client, .. } = Pair::new(1 << 20).await;
    client.socket.write_all(&bytes(1000)).await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
