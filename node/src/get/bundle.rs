//! The small files of a directory, many in one request.

use std::sync::Arc;

use futures::StreamExt;
use shoal_content::Digest;
use shoal_store::{PartialDirectory, SmallFile, Standing, Store};
use shoal_transfer::{BundleError, BundleEvent, BundleJob, FetchOptions, Source, fetch_bundles};

use super::{GetError, crowd::Spent, error, file, task::Task};

/// How the files that are not here are to be received.
pub(super) struct Sorted {
    /// Many at once.
    pub(super) small: Vec<usize>,
    /// Each by itself: the long ones, and those that can be copied.
    pub(super) others: Vec<usize>,
}

/// Sorts the files by how to receive them, counts those that are here, and makes the empty ones.
pub(super) async fn sort(
    task: &Task,
    directory: &Arc<PartialDirectory>,
    files: Vec<usize>,
) -> Result<Sorted, GetError> {
    let (looked_into, asked) = (directory.clone(), files.clone());
    let standings = task.blocking(move || looked_into.standing(&asked)).await?.map_err(error::of_partial)?;
    let nothing = Digest::of(&[]);
    let mut sorted = Sorted { small: Vec::new(), others: Vec::new() };
    let mut empty = Vec::new();
    let mut done = 0;
    for (index, standing) in files.into_iter().zip(standings) {
        let Some(entry) = directory.manifest().entries().get(index) else { continue };
        match standing {
            Standing::Done { size } => {
                task.reporter.had(size);
                done += 1;
            }
            Standing::Wanted | Standing::Known if entry.size == 0 && entry.digest == nothing => {
                empty.push(SmallFile { index, bytes: Vec::new(), pairs: Vec::new() });
            }
            Standing::Wanted if entry.size <= Store::SMALL_LEN => sorted.small.push(index),
            Standing::Wanted | Standing::Known => sorted.others.push(index),
        }
    }
    done += empty.len() as u64;
    if !empty.is_empty() {
        let directory = directory.clone();
        task.blocking(move || directory.place_small(empty)).await?.map_err(error::of_finish)?;
    }
    task.reporter.files_done(done);
    Ok(sorted)
}

/// Receives small files, in an order that `salt` decides. Gives those that no holder of the directory could bring.
pub(super) async fn receive(
    task: &Task,
    directory: &Arc<PartialDirectory>,
    files: Vec<usize>,
    salt: Option<u64>,
) -> Result<Vec<usize>, GetError> {
    if files.is_empty() {
        return Ok(files);
    }
    let mut options = FetchOptions::default();
    options.timeout = task.timeout;
    let holders = task.crowd.holders(Spent::default()).map(Source::from);
    let job = BundleJob {
        directory: directory.clone(),
        files,
        lines: task.lines.clone(),
        pool: Arc::new(task.inner.tasks.clone()),
        sources: holders.boxed(),
        salt,
        options,
    };
    let reporter = &task.reporter;
    let bundled = fetch_bundles(job, |event| observe(task, event)).await;
    match bundled {
        Ok(bundled) => {
            reporter.silent_ones(&bundled.silent);
            Ok(bundled.left)
        }
        Err(BundleError::TimedOut { after, silent }) => {
            for peer in silent {
                reporter.dropped(peer, file::SILENT.into());
            }
            Err(GetError::TimedOut { waited: after, dropped: reporter.snapshot().dropped })
        }
        Err(BundleError::Place(failure)) => Err(error::of_finish(failure)),
        Err(_) => Err(GetError::Stopped),
    }
}

fn observe(task: &Task, event: BundleEvent) {
    match event {
        BundleEvent::Placed { peer, files, bytes } => {
            task.reporter.verified(peer, bytes);
            task.reporter.files_done(files);
        }
        BundleEvent::Bad { peer, digest, group } => {
            task.inner.distrust(peer, digest);
            if let Some(group) = group {
                file::tell_of_bad_group(task, peer, &digest, group);
            }
        }
        BundleEvent::Dropped(dropped) => task.reporter.dropped(dropped.peer, dropped.reason.to_string()),
        _ => {}
    }
}
