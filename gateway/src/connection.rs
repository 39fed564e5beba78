//! Serves one connection: who may ask, and how long and how much they may talk.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::Response,
};
use futures::FutureExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shoal_node::{ErrorKind, Node};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

use crate::{answer::refuse, json::Failure, routes};

/// A client that has not sent its whole request head by then is cut off, so that half-open connections do not use up
/// the places for real ones.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest request body. Requests hold a few paths and addresses; without a limit one of them could fill the memory.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// The only name under which this API is asked for. A web page that resolves its own name to this machine keeps its
/// own name in `Host`, and is refused.
const HOST: &str = "localhost";

/// On whose behalf a connection asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authority {
    /// A local user, as the system attests. May do everything that the user's own node can.
    Uid(u32),
}

/// Serves one request on `io`, then closes it.
///
/// # Cancel safety
///
/// Dropping the future closes the connection and cancels the work that it asked for.
pub fn serve_connection<Io>(
    io: Io,
    node: Node,
    authority: Authority,
) -> impl Future<Output = ()> + Send + 'static
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = match authority {
        Authority::Uid(_) => routes::router(node),
    };
    serve_router(io, router)
}

fn serve_router<Io>(io: Io, router: Router) -> impl Future<Output = ()> + Send + 'static
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = router.layer(DefaultBodyLimit::max(MAX_BODY)).layer(middleware::from_fn(no_browsers));
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let answer = router.clone().oneshot(request.map(Body::new));
        answer.map(|answer| answer.map_err(|never: Infallible| match never {}))
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(io), service)
        // A client that leaves is no news to anybody: its work is dropped with its connection.
        .map(|ended| drop(ended.inspect_err(|error| tracing::debug!(%error, "an API connection broke off"))))
}

/// Refuses what a web page could have made a browser send.
async fn no_browsers(request: Request, next: Next) -> Response {
    if from_web_page(request.uri(), request.headers()) {
        return refuse(
            StatusCode::FORBIDDEN,
            Failure::new(ErrorKind::Refused, "this API does not answer web pages")
                .hint(format!("ask for http://{HOST}/ and send no Origin and no Referer")),
        );
    }
    next.run(request).await
}

fn from_web_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.next().is_none_or(|host| host != HOST)
        || hosts.next().is_some()
        || uri.authority().is_some_and(|host| host != HOST)
        || headers.contains_key(header::ORIGIN)
        || headers.contains_key(header::REFERER)
}

#[cfg(test)]
mod tests;
