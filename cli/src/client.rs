//! The one client of the API: every command asks its node through it, whichever process runs the node.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures::{
    FutureExt,
    future::{BoxFuture, join},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use shoal_gateway::{
    Authority,
    json::{self, Done, Event, Request},
    serve_connection, unix,
};
use shoal_node::{ErrorKind, Node, Paths, holder};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::failure::{Failure, broken_off, no_answer};

/// Bytes between the two ends of a connection inside this process.
const PIPE: usize = 64 * 1024;

/// The longest line that is taken for one. The node writes none like it, so whoever does is not the node.
const MAX_LINE: usize = 4 << 20;

/// A node in another process that says nothing for so long is stopped or stuck: one that works says every two seconds
/// that it is alive. Without a limit, a command would wait for a process that will never go on.
const SILENCE: Duration = Duration::from_secs(10);

/// Where the node is.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    /// In the process that holds this home.
    There(Paths),
    /// In this process.
    Here(Node),
}

impl Client {
    /// Starts a piece of work.
    pub(crate) async fn post<R: Request>(&self, request: &R) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(request)
            .map_err(|error| Failure::new(ErrorKind::Other, "could not write the request").because(&error))?;
        self.ask(Method::POST, R::PATH, body.into()).await
    }

    /// Asks for a small change, and what is so afterwards in one event.
    pub(crate) async fn post_one<R: Request>(&self, request: &R) -> Result<Event, Failure> {
        only_one(self.post(request).await?).await
    }

    /// Asks for what the node knows.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for what the node knows in one event.
    pub(crate) async fn get_one(&self, path: &str) -> Result<Event, Failure> {
        only_one(self.get(path).await?).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, Failure> {
        let patience = self.patience();
        let (mut sender, mut connection) = patience.wait(self.connect()).await??;
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::new(ErrorKind::Other, "could not write the request").because(&error))?;
        let response = patience.wait(connection.run(sender.send_request(request))).await?;
        let body = response.map_err(|_| broken_off())?.into_body();
        Ok(Answer { patience, connection, body, unread: BytesMut::new(), raw: 0 })
    }

    fn patience(&self) -> Patience {
        match self {
            Self::There(paths) => Patience(Some(paths.clone())),
            Self::Here(_) => Patience(None),
        }
    }

    async fn connect(&self) -> Result<(SendRequest<Full<Bytes>>, Connection), Failure> {
        match self {
            Self::There(paths) => {
                let stream = unix::connect(&paths.socket).await.map_err(|error| {
                    let message = format!("could not reach the node at {}", paths.socket.display());
                    Failure::new(ErrorKind::NoDaemon, message).because(&error)
                })?;
                open(stream, futures::future::ready(())).await
            }
            Self::Here(node) => {
                let (ours, theirs) = tokio::io::duplex(PIPE);
                let authority = Authority::Uid(rustix::process::getuid().as_raw());
                open(ours, serve_connection(theirs, node.clone(), authority)).await
            }
        }
    }
}

/// How long to wait for a sign of life of the node that holds this home; one in this process needs none.
struct Patience(Option<Paths>);

impl Patience {
    async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let Some(paths) = &self.0 else { return Ok(work.await) };
        let in_time = tokio::time::timeout(SILENCE, work).await;
        in_time.map_err(|_| no_answer(&paths.home, holder(&paths.home).unwrap_or_default()))
    }
}

async fn only_one(mut answer: Answer) -> Result<Event, Failure> {
    let event = answer.next().await?.ok_or_else(broken_off)?;
    answer.next().await?;
    Ok(event)
}

async fn open<Io>(
    io: Io,
    other_end: impl Future<Output = ()> + Send + 'static,
) -> Result<(SendRequest<Full<Bytes>>, Connection), Failure>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(io)).await.map_err(|_| broken_off())?;
    // How a connection ended shows in what was read from it.
    let both = join(connection.map(drop), other_end).map(drop);
    Ok((sender, Connection(Some(both.boxed()))))
}

/// What moves the bytes while somebody waits for them; nothing is spawned.
struct Connection(Option<BoxFuture<'static, ()>>);

impl Connection {
    async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Some(connection) = &mut self.0
                && connection.poll_unpin(cx).is_ready()
            {
                self.0 = None;
            }
            match work.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(done),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// The events of one piece of work. Dropping it cancels the work.
pub(crate) struct Answer {
    patience: Patience,
    connection: Connection,
    body: Incoming,
    unread: BytesMut,
    /// Bytes that come next and are content, not lines.
    raw: u64,
}

impl Answer {
    /// The next event; `None` once the work is done, its failure if that is how it ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let event = loop {
            let event = decode(&self.line().await?)?;
            if event != Event::Alive {
                break event;
            }
        };
        match event {
            Event::Done(Done { ok: true, .. }) => Ok(None),
            Event::Done(done) => Err(done.error.unwrap_or_else(broken_off)),
            Event::Bytes(bytes) => {
                self.raw = bytes.size;
                Ok(Some(Event::Bytes(bytes)))
            }
            event => Ok(Some(event)),
        }
    }

    /// The next piece of the content that [`Event::Bytes`] promised; `None` at its end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no byte.
    pub(crate) async fn content(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.raw == 0 {
            return Ok(None);
        }
        if self.unread.is_empty() {
            self.read().await?;
        }
        let take = usize::try_from(self.raw).unwrap_or(usize::MAX).min(self.unread.len());
        self.raw = self.raw.saturating_sub(take.try_into().unwrap_or(u64::MAX));
        Ok(Some(self.unread.split_to(take).freeze()))
    }

    async fn line(&mut self) -> Result<Bytes, Failure> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end).freeze();
                self.unread.advance(1);
                return Ok(line);
            }
            if self.unread.len() > MAX_LINE {
                return Err(Failure::new(ErrorKind::Other, "the node answered a line without an end"));
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let frame = self.patience.wait(self.connection.run(self.body.frame())).await?;
        let frame = frame.ok_or_else(broken_off)?.map_err(|_| broken_off())?;
        if let Ok(data) = frame.into_data() {
            self.unread.extend_from_slice(&data);
        }
        Ok(())
    }
}

fn decode(line: &[u8]) -> Result<Event, Failure> {
    json::decode(line).map_err(|error| {
        Failure::new(ErrorKind::Other, "the node answered something that this version does not understand")
            .because(&error)
            .hint("is the running node of another version? restart it")
    })
}
