//! One connection's questions: each stream is read, answered, and read again.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{self, BoxFuture, Either};
use futures::prelude::*;
use futures_timer::Delay;
use libp2p::StreamProtocol;
use libp2p::core::upgrade::{DeniedUpgrade, InboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, SubstreamProtocol};

use super::Mode;
use crate::codec::kad::read_request;
use crate::wire::kad::{self, Request, Subject};

/// Streams of one connection. Each may hold a question in memory; those who ask open one after the other, or a few at
/// once.
const MAX_STREAMS: usize = 16;

/// How long a stream may wait for its next question. It keeps its connection alive, and whoever has no further question
/// loses little by opening another one later.
const IDLE: Duration = Duration::from_secs(30);

/// How long an answer may take to be taken. Whoever does not read would hold it in our memory.
const ANSWER: Duration = Duration::from_secs(10);

/// The streams that the other side opened.
pub struct Handler {
    protocol: StreamProtocol,
    mode: Mode,
    streams: Vec<Exchange>,
}

/// What is asked, and where the answer goes.
#[derive(Debug)]
pub struct Question {
    pub(crate) subject: Subject,
    pub(crate) key: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Vec<u8>>,
}

/// One stream.
struct Exchange {
    step: BoxFuture<'static, io::Result<Step>>,
    /// Whether it has had an answer and has not asked again.
    is_idle: bool,
}

/// What a stream has come to.
enum Step {
    Asked(Subject, Vec<u8>, Stream),
    Answered(Stream),
    Over,
}

impl Handler {
    pub(super) fn new(protocol: StreamProtocol, mode: Mode) -> Self {
        Self { protocol, mode, streams: Vec::new() }
    }

    /// Takes a new stream. When there are too many, one that waits to be used again goes, or else the new one.
    fn opened(&mut self, stream: Stream) {
        if self.streams.len() >= MAX_STREAMS {
            let Some(idle) = self.streams.iter().position(|exchange| exchange.is_idle) else { return };
            self.streams.swap_remove(idle);
        }
        self.streams.push(Exchange { step: read(stream).boxed(), is_idle: false });
    }
}

/// Waits for the next question that has an answer of its own.
async fn read(mut stream: Stream) -> io::Result<Step> {
    loop {
        match within(IDLE, read_request(&mut stream)).await? {
            Some(Request::About(subject, key)) => return Ok(Step::Asked(subject, key, stream)),
            Some(Request::Ping) => write(&mut stream, &kad::pong()).await?,
            // It is not signed, and so it is worth nothing.
            Some(Request::AddProvider) => {}
            // No answer tells that nothing was stored.
            Some(Request::PutValue) => return Ok(Step::Over),
            None => {
                within(ANSWER, stream.close()).await?;
                return Ok(Step::Over);
            }
        }
    }
}

async fn answer(mut stream: Stream, answer: oneshot::Receiver<Vec<u8>>) -> io::Result<Step> {
    let Ok(bytes) = answer.await else { return Ok(Step::Over) };
    write(&mut stream, &bytes).await?;
    Ok(Step::Answered(stream))
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    within(ANSWER, written).await
}

async fn within<T>(limit: Duration, task: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match future::select(pin!(task), Delay::new(limit)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => Err(io::ErrorKind::TimedOut.into()),
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Mode;
    type ToBehaviour = Question;
    type InboundProtocol = Offer;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        let offered = (self.mode == Mode::Server).then(|| self.protocol.clone());
        SubstreamProtocol::new(Offer(offered), ())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Question>> {
        let mut at = 0;
        while let Some(exchange) = self.streams.get_mut(at) {
            match exchange.step.poll_unpin(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(Step::Asked(subject, key, stream))) => {
                    let (sender, receiver) = oneshot::channel();
                    *exchange = Exchange { step: answer(stream, receiver).boxed(), is_idle: false };
                    let question = Question { subject, key, answer: sender };
                    return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(question));
                }
                Poll::Ready(Ok(Step::Answered(stream))) => {
                    *exchange = Exchange { step: read(stream).boxed(), is_idle: true };
                }
                Poll::Ready(Ok(Step::Over)) => drop(self.streams.swap_remove(at)),
                Poll::Ready(Err(error)) => {
                    tracing::trace!(%error, "a question that was none");
                    drop(self.streams.swap_remove(at));
                }
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, mode: Mode) {
        self.mode = mode;
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, DeniedUpgrade>) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) =
            event
        {
            self.opened(stream);
        }
    }
}

/// What is offered to the other side: the protocol, or nothing.
pub struct Offer(Option<StreamProtocol>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = Stream;
    type Error = Infallible;
    type Future = future::Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        future::ready(Ok(stream))
    }
}
