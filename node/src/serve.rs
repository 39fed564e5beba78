//! Serves peers: answers what this node holds, and sends it.

use std::sync::{Arc, atomic::Ordering};

use futures::{FutureExt, StreamExt};
use shoal_transfer::{Incoming, Limits, ServeEvent, have};

use crate::{inner::Traffic, library::Library, net::Answer, rates::Pacers, tasks::Tasks};

/// How the Swarm's task answers the questions of peers.
pub(crate) fn answers(library: Library) -> Answer {
    Arc::new(move |peer, request| {
        let library = library.clone();
        async move {
            match request {
                have::Request::Have(question) => {
                    have::Response::Answer(library.answer(peer, question.key).await)
                }
                have::Request::BadGroup { key, group } => {
                    tracing::debug!(%peer, ?key, group, "a peer says that it got a bad group");
                    library.suspect(key).await;
                    have::Response::Ack
                }
            }
        }
        .boxed()
    })
}

/// Sends what peers ask for until the node stops. The place of each stream was taken before it got here.
pub(crate) async fn serve_all(
    mut incoming: Incoming,
    library: Library,
    tasks: Tasks,
    traffic: Traffic,
    pacers: Pacers,
    limits: Limits,
) {
    while let Some(mut inbound) = incoming.next().await {
        let (library, pool, traffic, limits) =
            (library.clone(), tasks.clone(), traffic.clone(), limits.clone());
        let peer = inbound.peer;
        inbound.stream = inbound.stream.paced_writes(pacers.up.meter(peer));
        tasks.spawn_until_stop("send", async move {
            let mut sending = None;
            let observe = |event| match event {
                ServeEvent::Began => sending = Some(SendingGuard::new(traffic.clone())),
                ServeEvent::Sent(bytes) => {
                    traffic.sent.fetch_add(bytes, Ordering::Relaxed);
                }
                ServeEvent::Asked(digest) => library.asked(peer, digest),
                ServeEvent::Ended => sending = None,
                _ => {}
            };
            if let Err(error) = shoal_transfer::serve(inbound, &library, &pool, &limits, observe).await {
                tracing::debug!(%peer, %error, "a stream was not served to its end");
            }
        });
    }
}

/// A request that is being answered.
struct SendingGuard(Traffic);

impl SendingGuard {
    fn new(traffic: Traffic) -> Self {
        traffic.sending.fetch_add(1, Ordering::Relaxed);
        Self(traffic)
    }
}

impl Drop for SendingGuard {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}
