//! Publishing.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use axum::{extract::State, response::Response};
use futures::StreamExt;
use shoal_node::{ErrorKind, Node, Shared, safe_file_name};

use super::job::{Pace, millis, path};
use crate::{
    answer::{Asked, Out, lines},
    json::{self, Event, Failure, Stage, Warning},
};

/// How often to look how far hashing has got while there is no result.
const PROGRESS: Duration = Duration::from_millis(100);

pub(crate) async fn publish(
    State(node): State<Node>,
    Asked(request): Asked<json::Publish>,
) -> Result<Response, Failure> {
    let paths = check(&request)?;
    Ok(lines(|out| publish_all(node, paths, request, out)))
}

/// The paths of a request that makes sense.
fn check(request: &json::Publish) -> Result<Vec<PathBuf>, Failure> {
    if request.paths.is_empty() {
        return Err(Failure::new(ErrorKind::Usage, "no path is named to be published"));
    }
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
    request.paths.iter().map(|text| path(text)).collect()
}

async fn publish_all(
    node: Node,
    paths: Vec<PathBuf>,
    request: json::Publish,
    out: Out,
) -> Result<(), Failure> {
    let mut published = match paths.as_slice() {
        [one] => vec![publish_one(&node, one, &request, &out).await?],
        _ => publish_many(&node, paths, &request, &out).await?,
    };
    let mut left = published.len();
    {
        let announcing = async {
            for shared in &mut published {
                let announced = json::Announced::of(&shared.cid(), shared.announced().await);
                out.event(Event::Announced(announced)).await;
                left -= 1;
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
    }
    if left > 0 {
        let message = "no other node knows of it yet; announcing goes on in the background".to_owned();
        out.event(Event::Warning(Warning { message })).await;
    }
    Ok(())
}

async fn publish_one(
    node: &Node,
    path: &Path,
    request: &json::Publish,
    out: &Out,
) -> Result<Shared, Failure> {
    let start = Instant::now();
    let mut work = node.publish(path);
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
    tell(node, &shared, start, request, out).await;
    Ok(shared)
}

async fn publish_many(
    node: &Node,
    paths: Vec<PathBuf>,
    request: &json::Publish,
    out: &Out,
) -> Result<Vec<Shared>, Failure> {
    let mut work = node.publish_all(paths);
    let mut published = Vec::new();
    let mut pace = Pace::default();
    let mut start = Instant::now();
    loop {
        match tokio::time::timeout(PROGRESS, work.next()).await {
            Ok(Some(shared)) => {
                let shared = shared?;
                tell(node, &shared, start, request, out).await;
                published.push(shared);
                start = Instant::now();
            }
            Ok(None) => return Ok(published),
            Err(_) if pace.due(Stage::Hashing) => out.event(Event::Progress(work.progress().into())).await,
            Err(_) => {}
        }
    }
}

/// Tells what was published, and what was left out of it.
async fn tell(node: &Node, shared: &Shared, start: Instant, request: &json::Publish, out: &Out) {
    for skipped in shared.skipped() {
        out.event(Event::Skipped(skipped.into())).await;
    }
    for message in shared.warnings() {
        out.event(Event::Warning(Warning { message: message.to_string() })).await;
    }
    let ticket = node.ticket_of(shared, request.lan);
    let published = json::Published {
        ticket: ticket.ok().map(|ticket| ticket.to_string()),
        elapsed_ms: millis(start.elapsed()),
        ..json::Published::of(shared)
    };
    out.event(Event::Published(published)).await;
}
