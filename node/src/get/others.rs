//! Waits for whoever else fills the part of a target: another get of this node, or another process.
//!
//! Ends: when nobody does any more, however that came; or with its own get.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use shoal_content::Cid;
use shoal_store::Filler;

use super::{GetError, progress::Stage, target, task::Task};

/// How often to look again. Neither a lock of another process nor a part of this one can be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long to wait before saying so: a get that was dropped a moment ago may still be bringing its part to disk.
const SAY_AFTER: Duration = Duration::from_millis(200);

/// Somebody else who is saving to the same target, and is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The target.
    pub path: PathBuf,
    /// What they save there, if this node does.
    pub cid: Option<Cid>,
    /// The number of their process, where it is known.
    pub pid: Option<u32>,
}

/// Waits until nobody else fills the part of this target. Tells whether somebody did.
pub(super) async fn wait(task: &Task, target: &Path) -> Result<bool, GetError> {
    wait_for(task, target, &target::part_of(target, &task.cid)).await
}

/// Waits until nobody else fills `part`, the part of this target or of one of its files, which was in use a moment ago.
pub(super) async fn wait_for_used(task: &Task, target: &Path, part: &Path) -> Result<(), GetError> {
    // Whoever has it may be gone by now, or not be found under this path.
    tokio::time::sleep(LOOK_EVERY).await;
    wait_for(task, target, part).await.map(drop)
}

async fn wait_for(task: &Task, target: &Path, part: &Path) -> Result<bool, GetError> {
    let start = Instant::now();
    let (mut waited, mut said) = (false, None);
    loop {
        let Some(filler) = filler(task, part).await? else {
            if said.is_some() {
                task.reporter.stage(Stage::Finding);
            }
            return Ok(waited);
        };
        waited = true;
        if start.elapsed() >= SAY_AFTER && said != Some(filler) {
            said = Some(filler);
            let (cid, pid) = match filler {
                Filler::ThisStore(cid) => (Some(cid), Some(std::process::id())),
                Filler::Other { pid } => (None, pid),
            };
            task.reporter.awaited(Awaited { path: target.to_owned(), cid, pid });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether another process fills the part of this target.
pub(super) async fn another_process(task: &Task, target: &Path) -> Result<bool, GetError> {
    Ok(matches!(filler(task, &target::part_of(target, &task.cid)).await?, Some(Filler::Other { .. })))
}

async fn filler(task: &Task, part: &Path) -> Result<Option<Filler>, GetError> {
    let (store, part) = (task.inner.store.clone(), part.to_owned());
    task.blocking(move || store.filler(&part)).await
}

#[cfg(test)]
mod tests;
