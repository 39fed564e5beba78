//! A stranger that speaks the transport and nothing above it: it opens streams and writes what it likes.

use std::{
    future::{Pending, poll_fn},
    io,
    net::Ipv4Addr,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{
    AsyncReadExt, AsyncWriteExt,
    future::{BoxFuture, Either},
};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox},
        transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
        upgrade::Version,
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, tcp, yamux,
};
use tokio::{
    net::TcpSocket,
    sync::{mpsc, oneshot},
    task::JoinSet,
};

/// Bytes of junk that a stream is offered at most: more than any message may have.
const JUNK: usize = 4 << 20;

/// Streams that wait to be opened.
const WAITING: usize = 64;

/// One connection of a stranger. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Intruder {
    streams: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    _connection: JoinSet<()>,
}

impl Intruder {
    /// Connects to the node at `address` under a name that nobody has heard of.
    ///
    /// # Errors
    ///
    /// The node does not let it in.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn connect(address: &Multiaddr) -> Result<Self> {
        Self::connect_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// The same, from another address of this machine: all of `127.0.0.0/8` is.
    ///
    /// # Errors
    ///
    /// The node does not let it in.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn connect_from(from: Ipv4Addr, address: &Multiaddr) -> Result<Self> {
        let key = Keypair::generate_ed25519();
        let mut transport = From(from)
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&key)?)
            .multiplex(yamux::Config::default())
            .boxed();
        let bare = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let (_, muxer): (PeerId, StreamMuxerBox) =
            transport.dial(bare, options)?.await.context("the node does not let a stranger in")?;
        let (streams, wanted) = mpsc::channel(WAITING);
        let mut connection = JoinSet::new();
        connection.spawn(drive(muxer, wanted));
        Ok(Self { streams, _connection: connection })
    }

    /// Opens a stream; `None` when the node has ended the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the stream.
    pub(crate) async fn open(&self) -> Option<SubstreamBox> {
        let (reply, stream) = oneshot::channel();
        self.streams.send(reply).await.ok()?;
        stream.await.ok()
    }
}

/// Dials from one address, and from any port of it.
struct From(Ipv4Addr);

impl Transport for From {
    type Output = tcp::tokio::TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = Pending<io::Result<Self::Output>>;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

    fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let mut parts = address.iter();
        let (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) = (parts.next(), parts.next()) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let from = self.0;
        Ok(Box::pin(async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            Ok(tcp::tokio::TcpStream(socket.connect((ip, port).into()).await?))
        }))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Pending
    }
}

/// Keeps the connection going, and opens the streams that are wanted.
async fn drive(mut muxer: StreamMuxerBox, mut wanted: mpsc::Receiver<oneshot::Sender<SubstreamBox>>) {
    let mut next = None;
    let turn = |cx: &mut TaskContext<'_>| loop {
        match muxer.poll_unpin(cx) {
            Poll::Ready(Ok(_)) => continue,
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => {}
        }
        match muxer.poll_inbound_unpin(cx) {
            // What the node wants of a stranger gets no answer.
            Poll::Ready(Ok(stream)) => {
                drop(stream);
                continue;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => {}
        }
        if next.is_none() {
            match wanted.poll_recv(cx) {
                Poll::Ready(Some(reply)) => next = Some(reply),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        match muxer.poll_outbound_unpin(cx) {
            Poll::Ready(Ok(stream)) => {
                if let Some(reply) = next.take() {
                    // Whoever wanted it may have left.
                    drop(reply.send(stream));
                }
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    };
    poll_fn(turn).await;
}

/// The words that begin a stream of a protocol, all at once and without waiting for an answer.
pub(crate) fn proposal(protocol: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in ["/multistream/1.0.0", protocol] {
        // Protocol ids are far shorter than the 127 bytes that one byte of length can say.
        bytes.push(u8::try_from(word.len() + 1).unwrap_or(u8::MAX));
        bytes.extend(word.bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// Whether the node speaks a protocol: what it does not speak it refuses before it reads anything.
///
/// # Cancel safety
///
/// Dropping the future closes the stream.
pub(crate) async fn is_spoken(mut stream: SubstreamBox, protocol: &str) -> bool {
    let words = proposal(protocol);
    let mut answer = vec![0; words.len()];
    let asked = async {
        stream.write_all(&words).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    // Who agrees says the same words.
    asked.await.is_ok() && answer == words
}

/// What a stream is offered after the words that begin it.
#[derive(Debug, Clone)]
pub(crate) enum Junk {
    /// These bytes, and then nothing; the stream stays open.
    Then(Vec<u8>),
    /// These bytes, and then the end of what is written.
    End(Vec<u8>),
    /// These bytes, and then zeros for as long as anybody takes them.
    Endless(Vec<u8>),
    /// A byte a second of these.
    Trickle(Vec<u8>),
}

/// Writes junk to a stream and waits until the node ends it; `false` when it has not at the end of `patience`.
///
/// # Cancel safety
///
/// Dropping the future closes the stream.
pub(crate) async fn feed(
    stream: SubstreamBox,
    begin: impl AsRef<[u8]>,
    junk: Junk,
    patience: Duration,
) -> bool {
    let (mut reader, mut writer) = stream.split();
    let write = async move {
        writer.write_all(begin.as_ref()).await?;
        match junk {
            Junk::Then(bytes) => writer.write_all(&bytes).await?,
            Junk::End(bytes) => {
                writer.write_all(&bytes).await?;
                writer.close().await?;
            }
            Junk::Endless(bytes) => {
                writer.write_all(&bytes).await?;
                for _ in 0..JUNK / 4096 {
                    writer.write_all(&[0; 4096]).await?;
                }
            }
            Junk::Trickle(bytes) => {
                for byte in bytes {
                    writer.write_all(&[byte]).await?;
                    writer.flush().await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        writer.flush().await?;
        // The stream must stay open on this side: its end is the node's to make.
        std::future::pending::<io::Result<()>>().await
    };
    let read = async move {
        let mut bytes = vec![0; 4096];
        while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    let ended = futures::future::select(Box::pin(read), Box::pin(write));
    let ended = async {
        match ended.await {
            Either::Left(((), _)) => {}
            // It takes no more, and perhaps still has something to say.
            Either::Right((_, read)) => read.await,
        }
    };
    tokio::time::timeout(patience, ended).await.is_ok()
}
