//! What a process of this machine uses: memory, processor time, open files.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// One look at a process.
#[derive(Debug, Clone, Copy)]
pub struct Vitals {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Time on a processor since its start, over all threads that still live.
    pub busy: Duration,
    /// Open files and sockets.
    pub open_files: usize,
    /// When this was.
    pub taken: Instant,
}

impl Vitals {
    /// Looks at the process with this number.
    ///
    /// # Errors
    ///
    /// It has ended, or belongs to somebody else.
    pub fn of(pid: u32) -> Result<Self> {
        let of_process = || -> io::Result<_> {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let mut busy = Duration::ZERO;
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread that ended meanwhile has nothing to tell.
                busy += busy_time(thread?.path().join("schedstat")).unwrap_or_default();
            }
            let open_files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
            Ok((status, busy, open_files))
        };
        let (status, busy, open_files) =
            of_process().with_context(|| format!("could not look at process {pid}"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let resident = kib.with_context(|| format!("process {pid} has no memory"))? << 10;
        Ok(Self { resident, busy, open_files, taken: Instant::now() })
    }

    /// Which part of one core the process used since `earlier`.
    pub fn load_since(&self, earlier: &Self) -> f64 {
        let time = self.taken.duration_since(earlier.taken).as_secs_f64();
        self.busy.saturating_sub(earlier.busy).as_secs_f64() / time.max(f64::EPSILON)
    }
}

/// Nanoseconds on a processor: the first number in the file.
fn busy_time(path: PathBuf) -> Option<Duration> {
    let text = fs::read_to_string(path).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_memory_and_files_show() {
        let mut before = Vitals::of(std::process::id()).unwrap();
        let memory = vec![1_u8; 32 << 20];
        let files: Vec<_> = (0..8).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let started = Instant::now();
        let mut after = before;
        while after.busy <= before.busy {
            // Threads of other tests have ended, and took their work out of the sum.
            before = after;
            assert!(started.elapsed() < Duration::from_secs(20), "{before:?} {after:?}");
            assert_eq!(memory.iter().map(|&byte| u64::from(byte)).sum::<u64>(), 32 << 20);
            after = Vitals::of(std::process::id()).unwrap();
        }
        assert!(after.resident >= 32 << 20, "{before:?} {after:?}");
        assert!(after.busy > before.busy && after.load_since(&before) > 0.0);
        // Other tests of this process open and close files too, but not that many at once.
        assert_eq!(files.len(), 8);
        assert!(after.open_files > 8);
    }

    #[test]
    fn who_has_ended_has_no_vitals() {
        assert!(Vitals::of(u32::MAX).is_err());
    }
}
