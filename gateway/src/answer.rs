//! Answers: a job's events as lines of JSON while it runs, and its end as the last line.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{FutureExt, Stream, future::BoxFuture};
use shoal_node::ErrorKind;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep, timeout},
};

use crate::{
    connection::MAX_BODY,
    json::{self, Event, Failure, Request},
};

/// Lines that wait for a slow reader before its job has to wait too.
const WAITING_LINES: usize = 16;

/// An answer that has nothing to say for so long says that the node is alive. A reader could not tell a slow job from a
/// node that is stopped without it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A client that has not sent the body of its request by then is cut off, for the same reason as one that does not send
/// the head. A request is a few paths: it arrives in a moment.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const LINES_AND_BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Where a job writes its events.
pub(crate) struct Out(mpsc::Sender<Piece>);

/// A piece of an answer.
enum Piece {
    Line(Bytes),
    /// The line after which content follows: from here on nothing may be put in between.
    ContentFollows(Bytes),
    Content(Bytes),
}

impl Out {
    pub(crate) async fn event(&self, event: Event) {
        let line = json::encode(&event).into();
        let follows = matches!(event, Event::Bytes(_));
        self.put(if follows { Piece::ContentFollows(line) } else { Piece::Line(line) }).await;
    }

    pub(crate) async fn content(&self, bytes: Bytes) {
        self.put(Piece::Content(bytes)).await;
    }

    async fn put(&self, piece: Piece) {
        // The receiver lives as long as the job that writes here, so this cannot fail while anybody would care.
        drop(self.0.send(piece).await);
    }
}

/// Answers with the events of `job`. The job is polled as the reader reads, and dropped when the reader leaves.
pub(crate) fn lines<F>(job: impl FnOnce(Out) -> F) -> Response
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    respond(StatusCode::OK, LINES, Body::from_stream(Lines::of(job)))
}

/// Answers like [`lines`], for a job that also writes raw bytes.
pub(crate) fn lines_and_bytes<F>(job: impl FnOnce(Out) -> F) -> Response
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    respond(StatusCode::OK, LINES_AND_BYTES, Body::from_stream(Lines::of(job)))
}

/// Answers a request that starts no job.
pub(crate) fn refuse(status: StatusCode, failure: Failure) -> Response {
    respond(status, LINES, json::encode(&Event::Done(Err(failure).into())).into())
}

/// A request that makes no sense is known for that before any work begins.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        refuse(StatusCode::BAD_REQUEST, self)
    }
}

fn respond(status: StatusCode, kind: HeaderValue, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// A request's body, or an answer that says what is wrong with it.
pub(crate) struct Asked<R>(pub(crate) R);

impl<R: Request, S: Send + Sync> FromRequest<S> for Asked<R> {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Response> {
        match timeout(BODY_TIMEOUT, Json::<R>::from_request(request, state)).await {
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(rejection)) => Err(refuse(rejection.status(), malformed(&rejection))),
            Err(_) => {
                let failure =
                    Failure::new(ErrorKind::TimedOut, "the request did not arrive as a whole in time");
                Err(refuse(StatusCode::REQUEST_TIMEOUT, failure))
            }
        }
    }
}

fn malformed(rejection: &JsonRejection) -> Failure {
    let failure = Failure::of(ErrorKind::Usage, rejection);
    match rejection {
        JsonRejection::MissingJsonContentType(_) => failure.hint("send Content-Type: application/json"),
        _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            failure.hint(format!("a body has at most {MAX_BODY} bytes"))
        }
        _ => failure,
    }
}

/// The body of an answer: what the job wrote, then its end.
struct Lines {
    job: Option<BoxFuture<'static, Result<(), Failure>>>,
    written: mpsc::Receiver<Piece>,
    /// When to say that the node is alive; never once content has begun.
    heartbeat: Option<Pin<Box<Sleep>>>,
    end: Option<Bytes>,
}

impl Lines {
    fn of<F>(job: impl FnOnce(Out) -> F) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (out, written) = mpsc::channel(WAITING_LINES);
        let heartbeat = Some(Box::pin(sleep(HEARTBEAT)));
        Self { job: Some(job(Out(out)).boxed()), written, heartbeat, end: None }
    }

    /// The line that stands in for silence, when that has lasted long enough.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(heartbeat) = &mut self.heartbeat else { return Poll::Pending };
        heartbeat.as_mut().poll(cx).map(|()| json::encode(&Event::Alive).into())
    }

    fn put_off_heartbeat(&mut self) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        }
    }
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(job) = &mut self.job
            && let Poll::Ready(result) = job.poll_unpin(cx)
        {
            self.job = None;
            self.end = Some(json::encode(&Event::Done(result.into())).into());
        }
        // Closed once the job is gone, and with it its sender.
        match self.written.poll_recv(cx) {
            Poll::Ready(Some(piece)) => {
                let bytes = match piece {
                    Piece::Line(bytes) | Piece::Content(bytes) => bytes,
                    Piece::ContentFollows(bytes) => {
                        self.heartbeat = None;
                        bytes
                    }
                };
                self.put_off_heartbeat();
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(None) => Poll::Ready(self.end.take().map(Ok)),
            Poll::Pending => {
                let line = ready!(self.poll_heartbeat(cx));
                self.put_off_heartbeat();
                Poll::Ready(Some(Ok(line)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
