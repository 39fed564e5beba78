//! The long files of a directory: each by itself, several at a time.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, TryFutureExt, stream::FuturesUnordered};
use shoal_store::{FinishError, Member, Partial, PartialDirectory};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::{
    GetError,
    crew::{Crew, File},
    crowd::crowd,
    error, file,
    task::Task,
};

mod choice;
mod shares;

use self::choice::{Choice, Fellow, From};

/// Requests to one holder at a time: fewer than the eight that it serves, since it counts each for a moment after we have
/// read its end, and being refused costs more than waiting. A small file takes one, and a large one two, the next always
/// asked for before the last has ended.
pub(super) const REQUESTS_AT_ONCE: u32 = 6;
/// How many of these a long file takes.
const REQUESTS_OF_ONE: u32 = 2;
/// A file up to this long is fetched in one request.
const SMALL_FILE: u64 = 1 << 20;
/// Time in which those who begin at the same time hear of each other.
const SETTLING: Duration = Duration::from_millis(300);

/// Receives files each by itself, in an order that `salt` decides.
pub(super) async fn receive(
    task: &Task,
    turns: &Semaphore,
    directory: &Arc<PartialDirectory>,
    files: Vec<usize>,
    salt: Option<u64>,
) -> Result<(), GetError> {
    let entries = directory.manifest().entries();
    let size = |file: usize| entries.get(file).map_or(0, |entry| entry.size);
    let mut choice = Choice::new(files, salt);
    let (over, is_over) = watch::channel(false);
    let mut crowd = task.crowd.clone();
    let mut settled = pin!(tokio::time::sleep(SETTLING));
    let mut fetching = FuturesUnordered::new();
    let mut turn = None;
    loop {
        let is_settled = settled.is_elapsed();
        if let Some(free) = turn.take() {
            let fellows = crowd.fetching().into_iter().filter(|(peer, _)| !task.slow.contains(peer));
            let fellows: Vec<_> = fellows.map(Fellow::from).collect();
            match choice.next(&fellows, is_settled, size) {
                Some((index, from)) => {
                    let spare = (from == From::Fellows).then(|| is_over.clone());
                    let number = index as u64;
                    let file = File { number, size: size(index), spare };
                    fetching.push(member(task, free, directory, index, file).map_ok(move |()| index));
                    over.send_replace(choice.is_over());
                    continue;
                }
                None if choice.is_over() => {}
                None => turn = Some(free),
            }
        }
        tokio::select! {
            // The semaphore is never closed.
            free = turns.acquire_many(REQUESTS_OF_ONE), if turn.is_none() && !choice.is_over() => turn = free.ok(),
            Some(ended) = fetching.next() => choice.ended(ended?),
            () = crowd.changed(), if turn.is_some() => {}
            () = &mut settled, if turn.is_some() && !is_settled => {}
            else => return Ok(()),
        }
    }
}

/// Receives one file of the directory.
async fn member(
    task: &Task,
    mut turn: SemaphorePermit<'_>,
    directory: &Arc<PartialDirectory>,
    index: usize,
    file: File,
) -> Result<(), GetError> {
    let opened = directory.clone();
    let member = task.blocking(move || opened.member(index)).await?.map_err(error::of_partial)?;
    let partial = match member {
        Member::Done { size } => {
            task.reporter.had(size);
            task.reporter.files_done(1);
            return Ok(());
        }
        Member::Wanted(partial) => partial,
    };
    if file.size <= SMALL_FILE {
        drop(turn.split(1));
    }
    let mut tries = 0;
    loop {
        receive_one(task, &partial, &file).await.map_err(|error| of_file(directory, index, error))?;
        let (directory, partial) = (directory.clone(), partial.clone());
        let placed = task.blocking(move || directory.place(index, &partial)).await?;
        tries += 1;
        if tries == file::MAX_TRIES || !matches!(placed, Err(FinishError::Incomplete { .. })) {
            placed.map_err(error::of_finish)?;
            task.reporter.files_done(1);
            return Ok(());
        }
    }
}

/// Receives a file from those who hold the directory, or from those who hold just that.
async fn receive_one(task: &Task, partial: &Partial, file: &File) -> Result<(), GetError> {
    let (crew, hint) = (Crew::OfDirectory(&task.crowd, file), Some(file.size));
    let error = match file::receive(task, partial, hint, crew, &task.reporter).await {
        // Whoever has the directory may have lost this file, and somebody else may share just that.
        Err(
            error @ (GetError::Unreachable { .. }
            | GetError::Gone { .. }
            | GetError::NoProvider { .. }
            | GetError::Mismatch { .. }),
        ) => error,
        received => return received.map(drop),
    };
    match elsewhere(task, partial, hint).await {
        // What became of those who should have it says more.
        Err(GetError::NoProvider { .. } | GetError::Gone { .. } | GetError::Unreachable { .. }) => Err(error),
        received => received.map(drop),
    }
}

/// Says which file of the directory a failure is about.
fn of_file(directory: &PartialDirectory, index: usize, error: GetError) -> GetError {
    match (directory.manifest().entries().get(index), error) {
        (Some(entry), error) if !matches!(error, GetError::Stopped) => {
            GetError::File { path: entry.path.clone(), source: Box::new(error) }
        }
        (_, error) => error,
    }
}

/// Receives a file from holders of its own.
async fn elsewhere(task: &Task, partial: &Partial, hint: Option<u64>) -> Result<u64, GetError> {
    let (gather, others) = crowd();
    let search = task.inner.seek(partial.digest(), task.hints.clone()).start();
    tokio::select! {
        received = file::receive(task, partial, hint, Crew::Holders(&others), &task.reporter) => received,
        () = gather.run(search) => Err(GetError::Stopped),
    }
}
