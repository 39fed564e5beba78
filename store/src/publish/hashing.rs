//! Hashes many files on many threads: small ones a file to a thread, long ones all threads to a file.

use std::{
    ffi::OsString,
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, SyncSender},
    },
    thread,
    time::SystemTime,
};

use super::PublishError;
use crate::{
    Cancel, PublishObserver, SkipReason,
    commit::{NewBlob, NewOutboard},
    files::Files,
    hash::{HashError, Scratch, Sink, hash_here, hash_wide},
    observe::Tally,
    partial::SMALL_LEN,
    stamp::Stamp,
    store::Inner,
    walk,
};

/// Files of this size and above are hashed one at a time by all threads. Below, starting the threads would
/// take longer than the last file that one of them still hashes alone.
pub(super) const WIDE_LEN: u64 = 16 * 1024 * 1024;

/// Results that wait to be noted. When the database is slower than hashing, the threads wait here.
const WAITING: usize = 256;

/// How often a file is hashed that changes meanwhile.
const ATTEMPTS: u32 = 2;

/// What it takes to hash files.
pub(super) struct Env<'a> {
    pub(super) files: &'a Files,
    /// Nothing if only names are wanted.
    pub(super) store: Option<&'a Inner>,
    pub(super) threads: NonZeroUsize,
    pub(super) observer: &'a dyn PublishObserver,
    pub(super) tally: Tally<'a>,
    pub(super) cancel: &'a Cancel,
}

/// What became of a file.
pub(super) enum Outcome {
    Hashed(NewBlob),
    Failed(SkipReason),
    /// Its outboard could not be written.
    StoreFailed(io::Error),
    Cancelled,
}

type OnOutcome<'a> = dyn FnMut(usize, PathBuf, Outcome) -> Result<(), PublishError> + 'a;

/// Who hashes a file.
pub(super) enum Width<'a> {
    /// This thread.
    One(&'a mut Scratch),
    /// All of them.
    All,
}

/// Why an attempt to hash a file failed.
enum Failure {
    /// It changed meanwhile.
    Changed,
    /// For good.
    Final(Outcome),
}

impl Env<'_> {
    /// Hashes the files with the numbers in `todo`, in no particular order; stops at the first error.
    pub(super) fn hash(
        &self,
        todo: &[usize],
        file: &(dyn Fn(usize) -> Option<(PathBuf, u64)> + Sync),
        on_outcome: &mut OnOutcome<'_>,
    ) -> Result<(), PublishError> {
        let is_long = |at: &usize| file(*at).is_some_and(|(_, size)| size >= WIDE_LEN);
        let (long, short): (Vec<usize>, Vec<usize>) = todo.iter().partition(|at| is_long(at));
        let (next, short) = (&AtomicUsize::new(0), &short);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            for _ in 0..self.threads.get().min(short.len()) {
                let sender = sender.clone();
                scope.spawn(move || self.hash_short(short, file, next, &sender));
            }
            drop(sender);
            // The threads stop when an error ends this loop, and the receiver with it.
            receiver.into_iter().try_for_each(|(at, path, outcome)| on_outcome(at, path, outcome))
        })?;
        for at in long {
            let Some((path, _)) = file(at) else { continue };
            let outcome = self.hash_file(&path, &mut Width::All);
            on_outcome(at, path, outcome)?;
        }
        Ok(())
    }

    /// Hashes one file after the other on this thread, until there are no more or nobody listens.
    fn hash_short(
        &self,
        todo: &[usize],
        file: &(dyn Fn(usize) -> Option<(PathBuf, u64)> + Sync),
        next: &AtomicUsize,
        results: &SyncSender<(usize, PathBuf, Outcome)>,
    ) {
        let mut scratch = Scratch::new();
        while let Some(at) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some((path, _)) = file(*at) else { continue };
            let outcome = self.hash_file(&path, &mut Width::One(&mut scratch));
            if results.send((*at, path, outcome)).is_err() {
                return;
            }
        }
    }

    pub(super) fn hash_file(&self, path: &Path, width: &mut Width<'_>) -> Outcome {
        for attempt in 0..ATTEMPTS {
            if self.cancel.is_cancelled() {
                return Outcome::Cancelled;
            }
            match self.try_hash(path, width, attempt == 0) {
                Ok(blob) => return Outcome::Hashed(blob),
                Err(Failure::Final(outcome)) => return outcome,
                Err(Failure::Changed) => {}
            }
        }
        Outcome::Failed(SkipReason::Changing)
    }

    fn try_hash(&self, path: &Path, width: &mut Width<'_>, is_first: bool) -> Result<NewBlob, Failure> {
        let unreadable = |error| Failure::Final(Outcome::Failed(SkipReason::Unreadable(error)));
        let file = self.files.open_source(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Failure::Final(Outcome::Failed(walk::special(&metadata))));
        }
        let stamp = Stamp::of(&metadata);
        let outboard = self.new_outboard(stamp.size).map_err(|e| Failure::Final(Outcome::StoreFailed(e)))?;
        let hashed = match width {
            Width::One(scratch) => {
                hash_here(&file, stamp.size, &outboard.sink, scratch, &|_| {}, self.cancel)
            }
            Width::All => {
                // What was counted once is not counted again.
                let progress = |bytes| {
                    if is_first {
                        self.tally.add(bytes, 0);
                    }
                };
                hash_wide(&file, stamp.size, &outboard.sink, self.threads, &progress, self.cancel)
            }
        };
        let digest = hashed.map_err(|error| match error {
            HashError::Read(error) => unreadable(error),
            HashError::Write(error) => Failure::Final(Outcome::StoreFailed(error)),
            HashError::Changed => Failure::Changed,
            HashError::Cancelled => Failure::Final(Outcome::Cancelled),
        })?;
        if Stamp::of(&file.metadata().map_err(unreadable)?) != stamp {
            return Err(Failure::Changed);
        }
        // Files that a kernel makes up say that they are empty, and are not.
        if stamp.size == 0 && file.has_byte_at(0).map_err(unreadable)? {
            return Err(Failure::Changed);
        }
        self.tally.add(if matches!(width, Width::One(_)) { stamp.size } else { 0 }, 1);
        let is_fresh = stamp.is_fresh(SystemTime::now());
        Ok(NewBlob { digest, stamp, is_fresh, outboard: outboard.keep() })
    }

    /// Makes room for the outboard of a file of `size` bytes, if anybody wants it.
    fn new_outboard(&self, size: u64) -> io::Result<Draft<'_>> {
        let sink = match self.store {
            None => {
                return Ok(Draft { sink: Sink::Nowhere, file: None });
            }
            Some(_) if size <= SMALL_LEN => {
                return Ok(Draft { sink: Sink::Memory(Mutex::default()), file: None });
            }
            Some(store) => store,
        };
        let name = sink.temporary_name();
        let handle = sink.partials.create_private(&name)?;
        Ok(Draft { sink: Sink::File(handle), file: Some((sink, name)) })
    }
}

/// An outboard that is being written. Its file goes with it unless it is kept.
struct Draft<'a> {
    sink: Sink,
    file: Option<(&'a Inner, OsString)>,
}

impl Draft<'_> {
    fn keep(mut self) -> NewOutboard {
        match (std::mem::replace(&mut self.sink, Sink::Nowhere), self.file.take()) {
            (Sink::File(handle), Some((_, name))) => NewOutboard::File { name, handle: Arc::new(handle) },
            (Sink::Memory(pairs), _) => {
                NewOutboard::Inline(pairs.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            _ => NewOutboard::Inline(Vec::new()),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some((store, name)) = &self.file
            && let Err(error) = store.partials.remove(name)
        {
            tracing::debug!(%error, "could not remove a hash tree that is not needed");
        }
    }
}
