//! Publishing many paths at once: files that are short are hashed on all cores and noted together.
//!
//! A commit waits for the disk several times, so a commit for each of thousands of files takes longer than
//! everything else that is done for them.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::SystemTime,
};

use shoal_content::Cid;

use super::{
    PublishError, PublishOptions, Published, Publishing,
    hashing::{Env, Outcome, WIDE_LEN},
    work::look_up,
};
use crate::{
    Cancel, PublishObserver, Store, StoreError, blob::all_threads, commit::NewBlob, disk::ShareRow,
    lock::lock, observe::Tally, share::seconds, stamp::Stamp, store::Inner, walk,
};

/// Files noted in one transaction. More would keep other writers waiting, and what is hashed is in memory until then.
const BATCH: usize = 4096;

impl Store {
    /// Publishes each of these paths as [`publish`](Self::publish) does, and hands on what became of each, in their order.
    ///
    /// Neighbours among them that are short files cost one commit together: all of them are durable before the first of
    /// them is handed on.
    pub fn publish_all(
        &self,
        paths: &[PathBuf],
        options: &PublishOptions,
        observer: &dyn PublishObserver,
        cancel: &Cancel,
        mut done: impl FnMut(usize, Result<Published, PublishError>),
    ) {
        let is_short = |path: &PathBuf| {
            let metadata = self.inner.files.stat(path);
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() < WIDE_LEN)
        };
        let mut at = 0;
        while let Some(rest) = paths.get(at..).filter(|rest| !rest.is_empty()) {
            let short = rest.iter().take(BATCH).take_while(|path| is_short(path)).count();
            let together = rest.get(..short).filter(|short| short.len() > 1);
            let noted = together.and_then(|short| self.inner.publish_short(short, options, observer, cancel));
            match noted {
                Some(published) => {
                    for published in published {
                        done(at, Ok(published));
                        at += 1;
                    }
                }
                // One by one, which tells what is wrong with which.
                None => {
                    for path in rest.iter().take(short.max(1)) {
                        done(at, self.publish(path, options, observer, cancel));
                        at += 1;
                    }
                }
            }
        }
    }
}

/// A file on its way.
struct Short {
    path: PathBuf,
    stamp: Stamp,
    content: Option<Cid>,
    /// What was known below its path, when that was a folder.
    stale: Vec<PathBuf>,
}

impl Inner {
    /// Publishes short files together; none if that fails, whatever the reason.
    fn publish_short(
        &self,
        paths: &[PathBuf],
        options: &PublishOptions,
        observer: &dyn PublishObserver,
        cancel: &Cancel,
    ) -> Option<Vec<Published>> {
        let mut exclude: Vec<_> =
            options.exclude.iter().filter_map(|path| path.canonicalize().ok()).collect();
        exclude.push(self.path.clone());
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let path = path.canonicalize().ok()?;
            let metadata = self.files.stat(&path).ok()?;
            if !metadata.is_file() || exclude.iter().any(|own| path.starts_with(own)) {
                return None;
            }
            let lone = walk::Tree::lone(&metadata);
            let (contents, stale) = look_up(self, &path, &lone.files).ok()?;
            let content = contents.first().copied().flatten().map(|(digest, _)| Cid::file(digest));
            files.push(Short { path, stamp: Stamp::of(&metadata), content, stale });
        }
        // Two rows of one path in one transaction would be one.
        let mut names: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < files.len() {
            return None;
        }
        let _publishing: Vec<_> = names.iter().map(|path| Publishing::start(self, path)).collect();
        let new = self.hash_short_files(&mut files, options.threads, observer, cancel)?;
        let published_at = seconds(SystemTime::now());
        let rows = files.iter().map(|file| {
            let cid = file.content?;
            let name = file.path.file_name()?.to_string_lossy().into_owned();
            let row = ShareRow { cid, name, size: file.stamp.size, files: 1, published_at };
            Some((file, row))
        });
        let rows = rows.collect::<Option<Vec<_>>>()?;
        self.note_shares(&new, &rows)
            .inspect_err(|error| tracing::debug!(%error, "to be noted one by one"))
            .ok()?;
        let hashed: std::collections::HashSet<_> = new.iter().map(|(path, _)| path).collect();
        let published = rows.into_iter().map(|(file, row)| {
            let was_hashed = hashed.contains(&file.path);
            Published {
                cid: row.cid,
                name: row.name,
                path: file.path.clone(),
                size: row.size,
                files: 1,
                hashed_bytes: if was_hashed { row.size } else { 0 },
                unchanged_files: u64::from(!was_hashed),
                skipped: Vec::new(),
                warnings: Vec::new(),
            }
        });
        Some(published.collect())
    }

    /// Finds the content of those files of which it is not known; none if one cannot be read.
    fn hash_short_files(
        &self,
        files: &mut [Short],
        threads: Option<NonZeroUsize>,
        observer: &dyn PublishObserver,
        cancel: &Cancel,
    ) -> Option<Vec<(PathBuf, NewBlob)>> {
        let todo: Vec<_> =
            (0..files.len()).filter(|at| files.get(*at).is_some_and(|file| file.content.is_none())).collect();
        let named: Vec<_> = files.iter().map(|file| (file.path.clone(), file.stamp.size)).collect();
        observer.total(named.iter().map(|(_, size)| size).sum(), named.len() as u64);
        let threads = threads.unwrap_or_else(all_threads);
        let tally = Tally::new(observer);
        let env = Env { files: &self.files, store: Some(self), threads, observer, tally, cancel };
        let mut new = Vec::with_capacity(todo.len());
        let hashed = env.hash(&todo, &|at| named.get(at).cloned(), &mut |at, path, outcome| match outcome {
            Outcome::Hashed(blob) => {
                if let Some(file) = files.get_mut(at) {
                    (file.stamp, file.content) = (blob.stamp, Some(Cid::file(blob.digest)));
                }
                new.push((path, blob));
                Ok(())
            }
            Outcome::Failed(_) | Outcome::StoreFailed(_) | Outcome::Cancelled => Err(PublishError::Cancelled),
        });
        (hashed.is_ok() && !cancel.is_cancelled()).then_some(new)
    }

    /// Notes all of it in one transaction, and then in the journal, but for what is there already.
    fn note_shares(&self, new: &[(PathBuf, NewBlob)], rows: &[(&Short, ShareRow)]) -> Result<(), StoreError> {
        let is_new = |(file, row): &&(&Short, ShareRow)| {
            let known = self.db.read(|read| read.share(&file.path));
            Ok::<_, StoreError>(!known?.is_some_and(|known| known.cid == row.cid && known.name == row.name))
        };
        let mut changed = Vec::new();
        for row in rows {
            if is_new(&row)? {
                changed.push(row);
            }
        }
        if !changed.is_empty() || !new.is_empty() {
            self.commit(new, |change| {
                for (file, row) in &changed {
                    change.remove_sources(&file.stale, Some(&file.path))?;
                    change.put_share(&file.path, row, None)?;
                }
                Ok(())
            })?;
            let lines = changed.iter().map(|(file, row)| (file.path.as_path(), Some(row.cid)));
            self.journal.note_all(lines).map_err(StoreError::Io)?;
        }
        let paths: std::collections::HashSet<&Path> =
            rows.iter().map(|(file, _)| file.path.as_path()).collect();
        lock(&self.lost).retain(|lost| !paths.contains(lost.path.as_path()));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
