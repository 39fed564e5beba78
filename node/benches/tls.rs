//! What a byte costs over one connection with TLS of our making, and with libp2p's own upgrade, both ends in one thread.

#![expect(clippy::unwrap_used, reason = "a benchmark that goes wrong has to stop")]

use std::fmt::Debug;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    identity::Keypair,
    tls as stock,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// A part of the node that is nobody else's business.
#[path = "../src/net"]
mod net {
    #[allow(
        dead_code,
        unused_imports,
        reason = "what is not measured is not used, nor are its tests run here"
    )]
    mod tls;

    pub(super) use tls::Config;
    pub(super) type Stream<C> = tls::Stream<C>;
    pub(super) const PROTOCOL: &str = tls::PROTOCOL;
}

/// Bytes of one measurement.
const LEN: usize = 64 << 20;

/// Bytes of one write: a frame of a connection with many streams.
const WRITE: usize = 64 << 10;

type Socket = Compat<TcpStream>;

/// Two ends of a connection over loopback.
async fn sockets() -> (Socket, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near.compat(), far.compat())
}

/// The two ends after a handshake, each with the name of the other.
async fn secured<U, S>(near: U, far: U) -> (S, S)
where
    U: InboundConnectionUpgrade<Socket, Output = (PeerId, S), Info = &'static str, Error: Debug>,
    U: OutboundConnectionUpgrade<Socket, Output = (PeerId, S), Info = &'static str, Error: Debug>,
{
    let (dials, accepts) = sockets().await;
    let word = net::PROTOCOL;
    let (near, far) = futures::join!(near.upgrade_outbound(dials, word), far.upgrade_inbound(accepts, word));
    (near.unwrap().1, far.unwrap().1)
}

/// Sends and receives [`LEN`] bytes.
async fn carry(near: &mut (impl AsyncWrite + Unpin), far: &mut (impl AsyncRead + Unpin)) {
    let (bytes, mut room) = (vec![7; WRITE], vec![0; WRITE]);
    let sends = async {
        for _ in 0..LEN / WRITE {
            near.write_all(&bytes).await.unwrap();
        }
        near.flush().await.unwrap();
    };
    let receives = async {
        let mut left = LEN;
        while left > 0 {
            let read = far.read(&mut room).await.unwrap();
            assert!(read > 0, "it ends early");
            left -= read;
        }
    };
    futures::join!(sends, receives);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("64 MiB over TLS");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(20);
    let key = Keypair::generate_ed25519;
    let runtime = runtime();
    let (near, far) = runtime.block_on(async {
        let config = |key: Keypair| net::Config::new(&key).unwrap();
        secured(config(key()), config(key())).await
    });
    let (mut near, mut far) = (net::Stream::new(near), net::Stream::new(far));
    group.bench_function("ours", |b| b.iter(|| runtime.block_on(carry(&mut near, &mut far))));
    let (mut near, mut far) = runtime.block_on(async {
        let config = |key: Keypair| stock::Config::new(&key).unwrap();
        secured(config(key()), config(key())).await
    });
    group.bench_function("stock", |b| b.iter(|| runtime.block_on(carry(&mut near, &mut far))));
    group.finish();
}

criterion_group!(benches, streams);
criterion_main!(benches);
