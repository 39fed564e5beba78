//! A disk that fails on demand.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::io::Errno;

/// Which calls fail. By default none does, and they are only counted.
#[derive(Debug)]
pub(crate) struct Faults {
    calls: AtomicU64,
    injected: AtomicU64,
    first: u64,
    last: u64,
    errno: Errno,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(u64::MAX, u64::MAX, Errno::IO)
    }
}

impl Faults {
    const fn new(first: u64, last: u64, errno: Errno) -> Self {
        Self { calls: AtomicU64::new(0), injected: AtomicU64::new(0), first, last, errno }
    }

    /// The call with this number fails, counted from 0.
    pub(crate) const fn once(number: u64) -> Self {
        Self::new(number, number, Errno::NOSPC)
    }

    /// That call fails and every later one.
    pub(crate) const fn from(number: u64) -> Self {
        Self::new(number, u64::MAX, Errno::IO)
    }

    /// How many calls were made so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many of them were made to fail.
    pub(crate) fn injected(&self) -> u64 {
        self.injected.load(Ordering::SeqCst)
    }

    pub(super) fn step(&self) -> io::Result<()> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if (self.first..=self.last).contains(&number) && self.first != u64::MAX {
            self.injected.fetch_add(1, Ordering::SeqCst);
            return Err(self.errno.into());
        }
        Ok(())
    }
}
