//! Where content goes: the target is chosen, compared with what stands there, filled, shared.

use std::path::{Path, PathBuf};

use shoal_content::{Cid, Kind, safe_file_name};
use shoal_store::{Cancel, PublishOptions};

use super::{GetError, Order, Replace, directory, file, others, target, task::Task};
use crate::{job::CancelOnDrop, seek::Holder};

/// Other names of a target at which a copy is looked for by reading: it is shared at none of them, and each may be long.
const MAX_READ: usize = 4;

/// Content under its final name.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) files: u64,
    pub(super) already_there: bool,
    pub(super) merged: bool,
}

/// Puts the content under its final name. While somebody else fills the same part, waits until they are done and looks at
/// everything again: they may have brought all of it, or some.
pub(super) async fn place(task: &Task, order: &Order) -> Result<Placed, GetError> {
    loop {
        let target = choose_target(task, order).await?;
        if order.include.is_none()
            && let Some(placed) = already_there(task, order, &target).await?
        {
            if order.seed {
                share(task, order, &placed.path).await?;
            }
            return Ok(placed);
        }
        let target = free_target(order, target)?;
        let merged = target.is_dir();
        if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let folder = folder.to_owned();
            task.blocking(move || target::make_folder(&folder)).await??;
        }
        if others::wait(task, &target).await? {
            continue;
        }
        let placed = match order.cid.kind() {
            Kind::File => file::place(task, order, target.clone()).await,
            Kind::Directory => directory::place(task, order, target.clone()).await,
        };
        let placed = match placed {
            Err(GetError::Busy { path }) => {
                others::wait_for_used(task, &target, &path).await?;
                continue;
            }
            Err(GetError::Foreign { .. }) if others::another_process(task, &target).await? => continue,
            placed => placed?,
        };
        if order.seed && placed.already_there {
            share(task, order, &placed.path).await?;
        } else if order.seed {
            announce(task, order.cid).await;
        }
        return Ok(Placed { merged, ..placed });
    }
}

/// The target, or what is used in its place where something else stands there.
fn free_target(order: &Order, target: PathBuf) -> Result<PathBuf, GetError> {
    if target.symlink_metadata().is_err() {
        return Ok(target);
    }
    match order.replace {
        Replace::Overwrite if target::replaceable(&target, order.cid.kind()) => Ok(target),
        Replace::Never | Replace::Overwrite => Err(GetError::Exists { path: target }),
        Replace::Rename => target::free_name(&target).ok_or(GetError::Exists { path: target }),
    }
}

/// What stands at a target that was free, if that is the content: another get, perhaps of another process, was faster.
pub(super) async fn put_meanwhile(
    task: &Task,
    order: &Order,
    target: &Path,
) -> Result<Option<Placed>, GetError> {
    if order.include.is_some() || order.replace == Replace::Overwrite || target.symlink_metadata().is_err() {
        return Ok(None);
    }
    task.compare(target, None).await
}

/// Shares what was there already, as what is fetched is. What is shared there is not read again.
async fn share(task: &Task, order: &Order, path: &Path) -> Result<(), GetError> {
    let (store, path, cancel) = (task.inner.store.clone(), path.to_owned(), Cancel::new());
    let _cancel = CancelOnDrop(cancel.clone());
    let options = PublishOptions {
        name: order.share_as(&path),
        exclude: vec![task.inner.paths.home.clone()],
        ..PublishOptions::default()
    };
    match task.long(move || store.publish(&path, &options, &(), &cancel)).await? {
        Ok(published) => announce(task, published.cid).await,
        // It is where it was wanted, and that was the work.
        Err(error) => tracing::warn!(%error, "what is there already cannot be shared"),
    }
    Ok(())
}

/// What an earlier get saved beside the target, because something else stands there. What is shared is known without being
/// read again.
async fn saved_beside(task: &Task, target: &Path) -> Result<Option<Placed>, GetError> {
    let (store, cid, names) = (task.inner.store.clone(), task.cid, target.to_owned());
    let look = move || {
        target::taken_names(&names).find_map(|path| {
            let share = store.shared_as(&path, &cid).ok().flatten()?;
            Some(Placed { path, size: share.size, files: share.files, already_there: true, merged: false })
        })
    };
    if let Some(placed) = task.long(look).await? {
        return Ok(Some(placed));
    }
    for path in target::taken_names(target).take(MAX_READ) {
        if let Some(placed) = task.compare(&path, None).await? {
            return Ok(Some(placed));
        }
    }
    Ok(None)
}

/// What stands at the target, if that is the content already. Where a folder was named to save a directory in, that may
/// be the directory itself: a get that is repeated must not save a second copy in the first.
async fn already_there(task: &Task, order: &Order, target: &Path) -> Result<Option<Placed>, GetError> {
    if target.symlink_metadata().is_ok()
        && let Some(placed) = task.compare(target, None).await?
    {
        return Ok(Some(placed));
    }
    if order.replace == Replace::Rename
        && target.symlink_metadata().is_ok()
        && let Some(placed) = saved_beside(task, target).await?
    {
        return Ok(Some(placed));
    }
    if order.cid.kind() == Kind::File || target == order.to || !order.to.is_dir() {
        return Ok(None);
    }
    let manifest = directory::manifest(task).await?;
    let (size, files) = (manifest.total_size(), u64::try_from(manifest.entries().len()).unwrap_or(u64::MAX));
    let folder = order.to.clone();
    if task.blocking(move || target::looks_like(&folder, &manifest)).await? {
        task.compare(&order.to, Some((size, files))).await
    } else {
        Ok(None)
    }
}

/// Announces what was fetched, in its own time: the caller has its content already.
async fn announce(task: &Task, cid: Cid) {
    drop(task.inner.announcer.announce_share(cid).await);
}

/// The final path. Only a name that nobody gave is worth waiting for a holder that knows one.
async fn choose_target(task: &Task, order: &Order) -> Result<PathBuf, GetError> {
    let held = held_name(task, order.cid).await?;
    if let Some(name) = held.as_deref().and_then(safe_file_name) {
        let _ = order.offered.set(name);
    }
    let exact = target::resolve(&order.to, "\0");
    if exact == order.to {
        return Ok(exact);
    }
    let name = match (&order.name, order.offered.get()) {
        (Some(name), _) => safe_file_name(name),
        (None, Some(name)) => Some(name.clone()),
        (None, None) if held.is_some() => None,
        (None, None) => first_holder(task).await?.holding.name.and_then(|name| safe_file_name(&name)),
    };
    Ok(target::resolve(&order.to, &name.unwrap_or_else(|| order.cid.to_string())))
}

/// The name under which this node shares the content itself.
pub(super) async fn held_name(task: &Task, cid: Cid) -> Result<Option<String>, GetError> {
    let store = task.inner.store.clone();
    let label = task.blocking(move || store.label(&cid.digest())).await?;
    Ok(label.ok().flatten().map(|label| label.name))
}

pub(super) async fn first_holder(task: &Task) -> Result<Holder, GetError> {
    task.crowd.first().await.ok_or_else(|| task.crowd.nobody(task.cid))
}
