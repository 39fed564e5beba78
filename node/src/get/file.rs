//! One blob: from this disk when it is here, else from everyone who has it.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use libp2p::PeerId;
use shoal_content::{Cid, Digest, ProviderKey};
use shoal_store::{Cancel, FinishError, FinishOptions, Partial};
use shoal_transfer::{
    FetchError, FetchEvent, FetchJob, FetchOptions, Naming, have::Request, scheduler::Failure,
};

use super::{
    GetError, Order,
    crew::Crew,
    crowd::{Crowd, Spent},
    error,
    place::{Placed, put_meanwhile},
    progress::{Reporter, Stage},
    target,
    task::Task,
};
use crate::job::CancelOnDrop;

/// What is wrong with a source that was asked and brought nothing until the get gave up.
pub(super) const SILENT: &str = "was asked and sent nothing";

/// How often a file is received that another program writes to meanwhile. One that goes on with that would keep the get from
/// ever ending.
pub(super) const MAX_TRIES: u32 = 3;

/// Fetches a file to `target`.
pub(super) async fn place(task: &Task, order: &Order, target: PathBuf) -> Result<Placed, GetError> {
    let digest = order.cid.digest();
    let (store, part) = (task.inner.store.clone(), target::part_of(&target, &order.cid));
    let opened = task.long(move || store.partial(&digest, &part)).await?;
    let partial = opened.map_err(error::of_partial)?;
    task.reporter.files(1);
    if let Some(placed) = put_meanwhile(task, order, &target).await? {
        task.blocking(move || partial.abandon()).await?.map_err(error::of_write)?;
        return Ok(placed);
    }
    let options = FinishOptions { replace: order.replace.of_store(), share_as: order.share_as(&target) };
    let mut tries = 0;
    let (size, finished) = loop {
        let size = receive(task, &partial, order.size, Crew::Holders(&task.crowd), &task.reporter).await?;
        task.reporter.stage(Stage::Finishing);
        let (path, part, options) = (target.clone(), partial.clone(), options.clone());
        let finished = task.long(move || part.finish(&path, &options)).await?;
        tries += 1;
        if tries == MAX_TRIES || !matches!(finished, Err(FinishError::Incomplete { .. })) {
            break (size, finished);
        }
    };
    if let Err(error) = finished {
        let placed = put_meanwhile(task, order, &target).await?.ok_or_else(|| error::of_finish(error))?;
        task.blocking(move || partial.abandon()).await?.map_err(error::of_write)?;
        return Ok(placed);
    }
    task.reporter.files_done(1);
    Ok(Placed { path: target, size, files: 1, already_there: false, merged: false })
}

/// Receives all of a blob that is missing; returns its size.
pub(super) async fn receive(
    task: &Task,
    partial: &Partial,
    size_hint: Option<u64>,
    crew: Crew<'_>,
    reporter: &Reporter,
) -> Result<u64, GetError> {
    if let Some(size) = partial.size()
        && partial.is_complete()
    {
        reporter.had(size);
        return Ok(size);
    }
    if let Some(size) = partial.size() {
        // The size is proven, so the disk must have room for the rest, now as at the first try.
        partial.claim_size(size).map_err(error::of_write)?;
    }
    let waiting = || reporter.stage(Stage::Waiting);
    let turn = task.inner.flights.turn(partial, task.timeout, waiting).await;
    if let Some(size) = copy(task, partial, turn.copy.clone(), reporter).await? {
        return Ok(size);
    }
    let digest = partial.digest();
    let mut options = FetchOptions::default();
    options.timeout = task.timeout;
    options.size_hint = size_hint;
    options.salt = shoal_transfer::salt(&task.inner.me);
    let spent = Spent::default();
    let crowd = crew.crowd();
    if let Crew::Holders(_) = crew {
        options.alone = true;
        let key = ProviderKey::derive(&task.inner.config.network, &digest);
        options.naming = Naming::Key { key, asker: task.inner.me };
    }
    let job = FetchJob {
        partial: partial.clone(),
        lines: task.lines.clone(),
        pool: Arc::new(task.inner.tasks.clone()),
        sources: crew.sources(task, partial, &spent),
        options,
    };
    let observe = |event| observe(task, &digest, reporter, &spent, event);
    let fetched = shoal_transfer::fetch(job, observe).await;
    match &fetched {
        Ok(fetched) => reporter.silent_ones(&fetched.silent),
        Err(FetchError::TimedOut { silent, .. }) => {
            for peer in silent {
                reporter.dropped(*peer, SILENT.into());
            }
        }
        Err(_) => {}
    }
    let cid = if digest == task.cid.digest() { task.cid } else { Cid::file(digest) };
    Ok(fetched.map_err(|error| explain(cid, crowd, reporter, error))?.size)
}

/// Copies from what another get has just received, or from a share of this node, verified; `None` when there is no whole
/// copy, or it turned out to be none.
async fn copy(
    task: &Task,
    partial: &Partial,
    received: Option<Partial>,
    reporter: &Reporter,
) -> Result<Option<u64>, GetError> {
    let (store, partial, counted) = (task.inner.store.clone(), partial.clone(), reporter.clone());
    let cancel = Cancel::new();
    let _cancel = CancelOnDrop(cancel.clone());
    let copied = task.long(move || {
        let received = received.and_then(|received| received.blob());
        let shared = || store.blob(&partial.digest()).ok().flatten();
        let blob = received.or_else(shared).filter(shoal_store::Blob::is_complete)?;
        let mut had = partial.received();
        counted.had(had);
        let filled = partial.fill(&blob, &cancel, &mut |bytes| {
            had += bytes;
            counted.had(bytes);
        });
        match filled {
            Ok(()) => Some(Ok(blob.size())),
            Err(shoal_store::WriteError::Read(error)) => {
                tracing::debug!(%error, "a copy on this disk is of no use");
                // What is good of it counts with all that is here when the fetch begins.
                counted.had_not(had);
                None
            }
            Err(error) => Some(Err(error)),
        }
    });
    copied.await?.transpose().map_err(error::of_write)
}

fn observe(task: &Task, digest: &Digest, reporter: &Reporter, spent: &Spent, event: FetchEvent) {
    match event {
        FetchEvent::Size { size, received } => reporter.size(size, received),
        FetchEvent::Verified { peer, bytes } => reporter.verified(peer, bytes),
        FetchEvent::Dropped(dropped) => {
            if dropped.reason.is_proof() {
                task.inner.distrust(dropped.peer, *digest);
            }
            if let Failure::BadBytes { group: Some(group) } = dropped.reason {
                tell_of_bad_group(task, dropped.peer, digest, group);
            }
            if dropped.reason.is_proof() || matches!(dropped.reason, Failure::NotFound | Failure::Changed) {
                spent.add(dropped.peer);
            }
            reporter.dropped(dropped.peer, dropped.reason.to_string());
        }
        _ => {}
    }
}

/// Tells a peer that what it sent does not match: its file may have changed under it.
pub(super) fn tell_of_bad_group(task: &Task, peer: PeerId, digest: &Digest, group: u64) {
    let net = task.inner.net.clone();
    let key = ProviderKey::derive(&task.inner.config.network, digest);
    task.inner.tasks.spawn_until_stop("notice", async move {
        drop(net.ask(peer, Vec::new(), Request::BadGroup { key, group }).await);
    });
}

fn explain(cid: Cid, crowd: &Crowd, reporter: &Reporter, failure: FetchError) -> GetError {
    let dropped = reporter.snapshot().dropped;
    match failure {
        FetchError::NoSource => crowd.nobody(cid),
        FetchError::AllFailed { dropped: failed } => {
            if !failed.is_empty() && failed.iter().all(|source| source.reason.is_proof()) {
                return GetError::Mismatch { cid, dropped };
            }
            let is_gone = |failure: &Failure| matches!(failure, Failure::NotFound | Failure::Changed);
            if failed.len() >= crowd.len().max(1) && failed.iter().all(|source| is_gone(&source.reason)) {
                return GetError::Gone { cid, dropped };
            }
            let failed: HashSet<_> = failed.iter().map(|source| source.peer).collect();
            let named = failed.len().max(crowd.len());
            GetError::Unreachable { cid, named, dropped, unreached: crowd.unreached() }
        }
        FetchError::TimedOut { after, .. } => GetError::TimedOut { waited: after, dropped },
        FetchError::Write(error) => error::of_write(error),
        _ => GetError::Stopped,
    }
}
