//! Waits for whoever else fills the part of a target: another get of this node, or another process.
//!
//! Ends: when nobody does any more, however that came; when they receive nothing for longer than the caller said that it
//! waits; or with its own get.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use shoal_content::Cid;
use shoal_store::{Filled, Filler};

use super::{GetError, progress::Stage, target, task::Task};

#[cfg(test)]
mod tests;

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

impl Awaited {
    fn of(path: &Path, filler: Filler) -> Self {
        let (cid, pid) = match filler {
            Filler::ThisStore(cid) => (Some(cid), Some(std::process::id())),
            Filler::Other { pid } => (None, pid),
        };
        Self { path: path.to_owned(), cid, pid }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cid, self.pid) {
            (Some(cid), _) => write!(f, "another get of this node is saving {cid}")?,
            (None, Some(pid)) => write!(f, "process {pid} is saving")?,
            (None, None) => f.write_str("another process is saving")?,
        }
        write!(f, " to {}", self.path.display())
    }
}

/// Whether whoever is waited for still receives anything.
struct Watch {
    patience: Duration,
    seen: (Filler, Filled),
    since: Instant,
}

impl Watch {
    /// When to look next: no earlier, since it means to look at each of maybe many files.
    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.patience
    }

    /// Takes in a look. Tells for how long nothing came, if that is too long.
    fn look(&mut self, seen: (Filler, Filled), now: Instant) -> Result<(), Duration> {
        if seen == self.seen && self.is_due(now) {
            return Err(now.saturating_duration_since(self.since));
        }
        (self.seen, self.since) = (seen, now);
        Ok(())
    }
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
    let (mut waited, mut said, mut watch) = (false, None, None);
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
            task.reporter.awaited(Awaited::of(target, filler));
        }
        if let Some(patience) = task.patience {
            match &mut watch {
                None => {
                    let seen = (filler, filled(task, part).await?);
                    watch = Some(Watch { patience, seen, since: Instant::now() });
                }
                Some(watch) if watch.is_due(Instant::now()) => {
                    let seen = (filler, filled(task, part).await?);
                    watch
                        .look(seen, Instant::now())
                        .map_err(|waited| GetError::Stalled { other: Awaited::of(target, filler), waited })?;
                }
                Some(_) => {}
            }
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

async fn filled(task: &Task, part: &Path) -> Result<Filled, GetError> {
    let (store, part) = (task.inner.store.clone(), part.to_owned());
    task.long(move || store.filled(&part)).await
}
