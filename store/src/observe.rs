//! How a caller watches long work, and stops it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::{Skipped, lock::lock};

/// A flag that stops long work between two blocks. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Watches files being hashed. Called from several threads; `()` watches nothing.
pub trait PublishObserver: Sync {
    /// All that there is to do, as soon as that is known.
    fn total(&self, _bytes: u64, _files: u64) {}

    /// All bytes and files that are done so far, unchanged ones included. Never less than said before.
    fn progress(&self, _bytes: u64, _files: u64) {}

    /// Something that will not be part of the result.
    fn skipped(&self, _skipped: &Skipped) {}
}

impl PublishObserver for () {}

/// Adds up what several threads did, for an observer.
pub(crate) struct Tally<'a> {
    observer: &'a dyn PublishObserver,
    done: Mutex<(u64, u64)>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(observer: &'a dyn PublishObserver) -> Self {
        Self { observer, done: Mutex::default() }
    }

    pub(crate) fn add(&self, bytes: u64, files: u64) {
        let mut done = lock(&self.done);
        done.0 += bytes;
        done.1 += files;
        // Still locked, so that the observer hears of no less after more.
        self.observer.progress(done.0, done.1);
    }
}
