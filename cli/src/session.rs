//! Finds the node that a command works with: the one that holds the home, or one that this process starts.

use std::{
    convert::Infallible,
    pin::pin,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt};
use shoal_gateway::{
    json::{self, Event, Status, Warning},
    unix,
};
use shoal_node::{ErrorKind, Node, StartError, holder};
use tokio_util::sync::CancellationToken;

use crate::{
    Context,
    args::NodeArgs,
    client::Client,
    failure::{Failure, no_answer, no_daemon},
};

/// How long a process may hold the home before it answers: opening a big store after a crash takes a moment, and so
/// does a node's farewell.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// How often to look again. A lock and a socket cannot be waited for together.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long answers may take to reach the guests of a node that has stopped.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a command has to work with.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where to ask.
    pub(crate) client: Client,
    /// The node, where this process runs it.
    pub(crate) own: Option<Node>,
    /// How the node was when this began, where another process runs it.
    pub(crate) running: Option<Status>,
}

impl Session {
    /// Waits until the user, or somebody through the API, wants this process to stop.
    pub(crate) async fn stopping(&self, cx: &Context) {
        let asked = async {
            match &self.own {
                Some(node) => node.stop_asked().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cx.stop.cancelled() => {}
            () = asked => {}
        }
    }
}

impl Session {
    /// Warns of peers that this process's node was told to connect to and cannot use, for as long as it is polled.
    pub(crate) async fn warn_of_unreached(&self, cx: &Context) -> Infallible {
        if let Some(node) = &self.own {
            let mut unreached = pin!(node.unreached());
            while let Some(peer) = unreached.next().await {
                let warning = Warning::from(&peer);
                cx.printer.warning(&format!("{}; trying again", warning.message));
                cx.printer.event(&Event::Warning(warning));
            }
        }
        std::future::pending().await
    }
}

/// Whose node a command works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the process that holds the home, or one that this process starts where there is none.
    Any,
    /// One that this process starts.
    Own,
}

/// Runs `work` with a node of the home. A node that was started here serves other commands until `work` and their jobs
/// end.
pub(crate) async fn with_node<T>(
    cx: &Context,
    options: &NodeArgs,
    whose: Whose,
    work: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        let held_by = holder(&cx.places.node.home).filter(|_| whose == Whose::Any);
        let Some(pid) = held_by else {
            match cx.unless_stopped(start(cx, options)).await {
                Ok(node) => return host(cx, node, work).await,
                // Another command was faster, or who only looked whether somebody holds the home held it for that moment.
                Err(failure)
                    if failure.kind == ErrorKind::InUse
                        && (whose == Whose::Any || holder(&cx.places.node.home).is_none())
                        && Instant::now() < deadline =>
                {
                    continue;
                }
                Err(failure) => return Err(failure),
            }
        };
        let client = Client::There(cx.places.node.clone());
        if let Some(status) = cx.unless_stopped(probe(&client, deadline)).await? {
            options.hold_for(&status)?;
            for message in options.without_effect(&status) {
                warn(cx, message);
            }
            return work(&Session { client, own: None, running: Some(status) }).await;
        }
        wait_for_answer(cx, deadline, pid).await?;
    }
}

/// The client of a node that another process runs.
pub(crate) async fn running(cx: &Context) -> Result<Client, Failure> {
    match guest(cx).await? {
        Some(client) => Ok(client),
        None => Err(no_daemon(&cx.places.node.home)),
    }
}

/// The client of a node that another process runs, `None` where no process holds the home.
pub(crate) async fn guest(cx: &Context) -> Result<Option<Client>, Failure> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    while let Some(pid) = holder(&cx.places.node.home) {
        let client = Client::There(cx.places.node.clone());
        if cx.unless_stopped(probe(&client, deadline)).await?.is_some() {
            return Ok(Some(client));
        }
        wait_for_answer(cx, deadline, pid).await?;
    }
    Ok(None)
}

/// Waits until no process holds the home.
pub(crate) async fn freed(cx: &Context) -> Result<(), Failure> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    while let Some(pid) = holder(&cx.places.node.home) {
        wait_for_answer(cx, deadline, pid).await?;
    }
    Ok(())
}

async fn start(cx: &Context, options: &NodeArgs) -> Result<Node, Failure> {
    let started = options.builder().home(&cx.places.node.home).start().await;
    started.map_err(|error: StartError| Failure::from(error))
}

/// Runs `work` and the API beside it, then sees the guests off and stops the node.
async fn host<T>(
    cx: &Context,
    node: Node,
    work: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let listener = match unix::Listener::bind(&cx.places.node.socket, &cx.places.runtime) {
        Ok(listener) => listener,
        Err(error) => {
            stop(node).await;
            return Err(Failure::of(ErrorKind::Disk, &error));
        }
    };
    // Whoever had put files there is dead: it held this home.
    drop(std::fs::remove_dir_all(&cx.places.node.temporary));
    let closing = CancellationToken::new();
    let api = unix::serve(listener, node.clone(), closing.cancelled());
    let session = Session { client: Client::Here(node.clone()), own: Some(node.clone()), running: None };
    let mut ours = pin!(async {
        let result = work(&session).await;
        let result = match result {
            Ok(value) => guests_done(cx, &node).await.map(|()| value),
            failure => failure,
        };
        // From here on a new command finds no socket, waits for the lock and then runs a node of its own.
        closing.cancel();
        node.ask_to_stop();
        stop(node.clone()).await;
        result
    });
    let mut api = pin!(api);
    tokio::select! {
        biased;
        // Ends only after `closing`, once it has nobody left to serve.
        () = &mut api => ours.await,
        result = &mut ours => {
            drop(tokio::time::timeout(FAREWELL, api).await);
            result
        }
    }
}

/// Waits until the work that other commands asked for is done.
async fn guests_done(cx: &Context, node: &Node) -> Result<(), Failure> {
    if cx.stop.is_cancelled()
        || node.stop_asked().now_or_never().is_some()
        || node.jobs_done().now_or_never().is_some()
    {
        return Ok(());
    }
    cx.printer.note("other commands are still using this node; waiting for them (Ctrl-C stops them)");
    cx.unless_stopped(async {
        node.jobs_done().await;
        Ok(())
    })
    .await
}

async fn stop(node: Node) {
    if let Err(error) = node.stop().await {
        tracing::warn!(%error, "the node did not stop cleanly");
    }
}

/// The state of the node behind `client`, `None` where nothing answers by the deadline.
async fn probe(client: &Client, deadline: Instant) -> Result<Option<Status>, Failure> {
    match tokio::time::timeout_at(deadline.into(), client.get_one(json::STATUS)).await {
        Ok(Ok(Event::Status(status))) => Ok(Some(*status)),
        Ok(Ok(_)) | Err(_) => Ok(None),
        Ok(Err(failure)) if matches!(failure.kind, ErrorKind::NoDaemon) => Ok(None),
        Ok(Err(failure)) => Err(failure),
    }
}

async fn wait_for_answer(cx: &Context, deadline: Instant, pid: u32) -> Result<(), Failure> {
    if Instant::now() >= deadline {
        return Err(no_answer(&cx.places.node.home, pid));
    }
    cx.unless_stopped(async {
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    })
    .await
}

/// Says something that the user may want to act on, to people and to programs.
pub(crate) fn warn(cx: &Context, message: String) {
    cx.printer.warning(&message);
    cx.printer.event(&Event::Warning(Warning { message }));
}
