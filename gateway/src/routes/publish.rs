//! Publishing.

use std::time::{Duration, Instant};

use axum::{extract::State, response::Response};
use futures::StreamExt;
use shoal_node::{ErrorKind, Node, Shared, safe_file_name};

use super::job::{Pace, millis, path};
use crate::{
    answer::{Asked, Out, lines},
    json::{self, Event, Failure, Stage, Warning},
};

pub(crate) async fn publish(State(node): State<Node>, Asked(request): Asked<json::Publish>) -> Response {
    lines(|out| publish_all(node, request, out))
}

async fn publish_all(node: Node, request: json::Publish, out: Out) -> Result<(), Failure> {
    if request.name.is_some() && request.paths.len() > 1 {
        return Err(Failure::new(ErrorKind::Usage, "a name is for one path, and there are several"));
    }
    if let Some(name) = &request.name
        && safe_file_name(name).is_none()
    {
        return Err(Failure::new(
            ErrorKind::Usage,
            format!("{name:?} is not a name that every system can hold"),
        ));
    }
    let mut published = Vec::new();
    for path in &request.paths {
        published.push(publish_one(&node, path, &request, &out).await?);
    }
    let announcing = async {
        for shared in &mut published {
            let announced = json::Announced::of(&shared.cid(), shared.announced().await);
            out.event(Event::Announced(announced)).await;
        }
    };
    let alone = !node.peers().await.iter().any(|peer| peer.member);
    match request.wait_ms {
        // There is nobody to tell. Whoever comes will be told, without an audience.
        Some(_) if alone => {}
        // The same goes for what is not acknowledged by then.
        Some(patience) => drop(tokio::time::timeout(Duration::from_millis(patience), announcing).await),
        None => announcing.await,
    }
    Ok(())
}

async fn publish_one(node: &Node, text: &str, request: &json::Publish, out: &Out) -> Result<Shared, Failure> {
    let start = Instant::now();
    let mut work = node.publish(path(text)?);
    if let Some(name) = &request.name {
        work = work.name(name);
    }
    let mut job = work.start();
    let mut pace = Pace::default();
    while let Some(progress) = job.next().await {
        if pace.due(Stage::Hashing) {
            out.event(Event::Progress(progress.into())).await;
        }
    }
    let shared = job.await?;
    for skipped in shared.skipped() {
        out.event(Event::Skipped(skipped.into())).await;
    }
    for message in shared.warnings() {
        out.event(Event::Warning(Warning { message: message.to_string() })).await;
    }
    let ticket = node.ticket(&shared.cid(), request.lan).await;
    let published = json::Published {
        ticket: ticket.ok().map(|ticket| ticket.to_string()),
        elapsed_ms: millis(start.elapsed()),
        ..json::Published::of(&shared)
    };
    out.event(Event::Published(published)).await;
    Ok(shared)
}
