//! Ours and libp2p's own at the two ends of a pipe.

use std::{future::poll_fn, pin::pin};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::select, join};
use libp2p::{core::muxing::StreamMuxerExt as _, yamux as stock};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::{
    places::{GUARANTEED, MAX_OPENED, SHARED},
    *,
};

/// Bytes that go each way: several windows.
const LEN: usize = 3_000_000;

fn bytes() -> Vec<u8> {
    (0..=250).cycle().take(LEN).collect()
}

/// Keeps a connection moving until it ends.
async fn run<M: StreamMuxer + Unpin>(mut muxer: M) {
    poll_fn(move |cx| match muxer.poll_unpin(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
    })
    .await;
}

/// One end asks the other to send back what it sends.
async fn echo<S, C>(server: S, client: C)
where
    S: InboundConnectionUpgrade<Socket, Info = &'static str, Error: std::fmt::Debug>,
    C: OutboundConnectionUpgrade<Socket, Info = &'static str, Error: std::fmt::Debug>,
    S::Output: StreamMuxer<Substream: Unpin> + Unpin,
    C::Output: StreamMuxer<Substream: Unpin> + Unpin,
{
    let (near, far) = tokio::io::duplex(100_000);
    let mut server = server.upgrade_inbound(near.compat(), PROTOCOL).await.unwrap();
    let mut client = client.upgrade_outbound(far.compat(), PROTOCOL).await.unwrap();
    let asks = async {
        let stream = poll_fn(|cx| client.poll_outbound_unpin(cx)).await.unwrap();
        let (mut read, mut write) = stream.split();
        let (sent, mut got) = (bytes(), Vec::new());
        let sends = async {
            write.write_all(&sent).await.unwrap();
            write.close().await.unwrap();
        };
        let asks = async { join!(sends, read.read_to_end(&mut got)).1.unwrap() };
        // What ends first ends the connection, and so the other end.
        select(pin!(run(client)), pin!(asks)).await;
        assert!(got == sent);
    };
    let answers = async {
        let stream = poll_fn(|cx| server.poll_inbound_unpin(cx)).await.unwrap();
        let (mut read, mut write) = stream.split();
        let echoes = async {
            futures::io::copy(&mut read, &mut write).await.unwrap();
            write.close().await.unwrap();
        };
        join!(run(server), echoes);
    };
    join!(asks, answers);
}

type Socket = tokio_util::compat::Compat<tokio::io::DuplexStream>;

#[tokio::test]
async fn a_stream_carries_bytes_both_ways() {
    echo(Config::new(), Config::new()).await;
    echo(Config::new(), stock::Config::default()).await;
    echo(stock::Config::default(), Config::new()).await;
}

#[tokio::test]
async fn streams_that_nobody_takes_do_not_pile_up() {
    let (near, far) = tokio::io::duplex(100_000);
    let mut server = Config::new().upgrade_inbound(near.compat(), PROTOCOL).await.unwrap();
    let mut client = Config::new().upgrade_outbound(far.compat(), PROTOCOL).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..2 * MAX_ARRIVED {
        streams.push(poll_fn(|cx| client.poll_outbound_unpin(cx)).await.unwrap());
    }
    let opened = async {
        for stream in &mut streams {
            stream.write_all(&[1]).await.unwrap();
        }
        for stream in streams.iter_mut().skip(MAX_ARRIVED) {
            assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)), "it is ended");
        }
    };
    let moves = poll_fn(|cx| match server.poll_unpin(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Ready(Ok(_)) | Poll::Pending => Poll::<()>::Pending,
    });
    let all = async {
        select(pin!(select(pin!(run(client)), moves)), pin!(opened)).await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), all).await.unwrap();
    assert_eq!(server.arrived.len(), MAX_ARRIVED);
}

/// Opens streams on a connection of `server`, says a byte on each, and gives those that the server takes.
async fn taken(server: Config, streams: usize) -> Vec<Substream> {
    let (near, far) = tokio::io::duplex(100_000);
    let mut server = server.upgrade_inbound(near.compat(), PROTOCOL).await.unwrap();
    let mut client = stock::Config::default().upgrade_outbound(far.compat(), PROTOCOL).await.unwrap();
    let mut opened = Vec::new();
    for _ in 0..streams {
        opened.push(poll_fn(|cx| client.poll_outbound_unpin(cx)).await.unwrap());
    }
    let mut taken = Vec::new();
    let takes = poll_fn(|cx| {
        while let Poll::Ready(stream) = server.poll_inbound_unpin(cx) {
            taken.push(stream.unwrap());
        }
        Poll::<()>::Pending
    });
    let says = async {
        for stream in &mut opened {
            stream.write_all(&[1]).await.unwrap();
            stream.flush().await.unwrap();
        }
        // Those without a place are ended, the others hear nothing: when the last was ended, all have arrived.
        drop(opened.pop().unwrap().read(&mut [0]).await);
    };
    let all = async {
        select(pin!(select(pin!(run(client)), takes)), pin!(says)).await;
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), all).await.unwrap();
    taken
}

#[tokio::test]
async fn a_peer_has_so_many_streams_open_and_each_connection_some_whatever_others_have() {
    let config = Config::new();
    let mut held = Vec::new();
    while held.len() < SHARED {
        let more = taken(config.clone(), MAX_OPENED + 1).await;
        assert!(more.len() <= MAX_OPENED && more.len() >= GUARANTEED, "{}", more.len());
        held.extend(more);
    }
    while let more = taken(config.clone(), MAX_OPENED + 1).await
        && more.len() > GUARANTEED
    {
        held.extend(more);
    }
    let last = taken(config.clone(), MAX_OPENED + 1).await;
    assert_eq!(last.len(), GUARANTEED);
    drop((held, last));
    assert_eq!(taken(config, MAX_OPENED + 1).await.len(), MAX_OPENED, "places are given back");
}

/// A socket that takes everything, and counts how often it was flushed.
#[derive(Default)]
struct Sink {
    taken: usize,
    flushed: usize,
}

impl AsyncRead for Sink {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.taken += buf.len();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_is_written_together_is_flushed_together() {
    const WRITTEN: usize = 2 * FRAME;
    let mut muxer = Config::new().upgrade_outbound(Sink::default(), PROTOCOL).await.unwrap();
    let mut stream = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await.unwrap();
    stream.write_all(&[0; WRITTEN]).await.unwrap();
    poll_fn(|cx| {
        assert!(muxer.poll_unpin(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    let sink = &muxer.socket.lock().socket;
    assert!(sink.taken >= WRITTEN, "{} bytes", sink.taken);
    assert_eq!(sink.flushed, 1);
}

/// A peer that never stops talking about a stream that nobody knows.
struct Talker {
    said: usize,
}

impl AsyncRead for Talker {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        /// More credit of no bytes for stream 1.
        const WORD: [u8; 12] = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        for (byte, said) in buf.iter_mut().zip(WORD.iter().cycle().skip(self.said % WORD.len())) {
            *byte = *said;
        }
        self.said += buf.len();
        Poll::Ready(Ok(buf.len()))
    }
}

impl AsyncWrite for Talker {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn whoever_talks_without_end_lets_others_have_their_turn() {
    let mut muxer = Config::new().upgrade_inbound(Talker { said: 0 }, PROTOCOL).await.unwrap();
    for turn in 1..=3 {
        poll_fn(|cx| {
            assert!(muxer.poll_unpin(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let said = muxer.socket.lock().socket.said;
        assert!((turn * TURN..turn * (TURN + 12)).contains(&said), "{said} bytes in {turn} turns");
    }
}

#[tokio::test]
async fn who_closes_flushes() {
    let (near, far) = tokio::io::duplex(100_000);
    let mut closes = Config::new().upgrade_outbound(near.compat(), PROTOCOL).await.unwrap();
    let mut hears = Config::new().upgrade_inbound(far.compat(), PROTOCOL).await.unwrap();
    let mut stream = poll_fn(|cx| closes.poll_outbound_unpin(cx)).await.unwrap();
    stream.write_all(b"last words").await.unwrap();
    poll_fn(|cx| closes.poll_close_unpin(cx)).await.unwrap();
    let mut heard = poll_fn(|cx| hears.poll_inbound_unpin(cx)).await.unwrap();
    run(hears).await;
    let mut got = Vec::new();
    heard.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last words");
}

/// A peer that announces a frame of a stream that it opens, and then says nothing.
struct Boaster {
    header: Vec<u8>,
    /// The most bytes that it was asked for at once: what was allocated for what it has announced.
    room: usize,
}

impl Boaster {
    fn announcing(len: u32) -> Self {
        // Version, data, the flag of a new stream, its number.
        let header = [&[0, 0, 0, 1, 0, 0, 0, 1], len.to_be_bytes().as_slice()].concat();
        Self { header, room: 0 }
    }
}

impl AsyncRead for Boaster {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.room = self.room.max(buf.len());
        let said = self.header.len().min(buf.len());
        if said == 0 {
            return Poll::Pending;
        }
        buf.iter_mut().zip(self.header.drain(..said)).for_each(|(place, byte)| *place = byte);
        Poll::Ready(Ok(said))
    }
}

impl AsyncWrite for Boaster {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_frame_too_long_ends_the_connection_and_gets_no_room() {
    const HEADER: usize = 12;
    const LONGEST: u32 = 1 << 20;
    for (len, is_too_long) in [(LONGEST, false), (LONGEST + 1, true), (u32::MAX, true)] {
        let mut muxer = Config::new().upgrade_inbound(Boaster::announcing(len), PROTOCOL).await.unwrap();
        let polled = poll_fn(|cx| Poll::Ready(muxer.poll_inbound_unpin(cx))).await;
        let room = muxer.socket.lock().socket.room;
        if is_too_long {
            assert!(matches!(polled, Poll::Ready(Err(_))), "{len}: {polled:?}");
            assert_eq!(room, HEADER, "{len}");
        } else {
            assert!(polled.is_pending(), "{len}: {polled:?}");
            assert_eq!(room, len as usize, "it would not be seen that there was room");
        }
    }
}
