//! What processes use, as Linux counts it: processor time and peak memory of a process and its children.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

/// How often peak memory is read. It never falls, so only the last moments of a process that ends are missed.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Processor time that a process, its children and those it has waited for have used so far.
///
/// # Errors
///
/// There is no such process.
pub(crate) fn cpu_seconds(root: u32) -> Result<f64> {
    let mut ticks = 0;
    for pid in tree(root) {
        // A child may end between being listed and being read, and its parent has its time then.
        match stat(pid) {
            Ok(used) => ticks += used,
            Err(error) if pid == root => return Err(error),
            Err(_) => {}
        }
    }
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1000 / per_second).as_secs_f64())
}

/// Bytes of memory that a process has now.
///
/// # Errors
///
/// There is no such process.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    field(pid, "VmRSS:").with_context(|| format!("process {pid} is gone"))
}

/// Bytes that the interfaces of a process's host have received, but for the one to itself.
pub(crate) fn received_by_host_of(pid: u32) -> Option<u64> {
    let interfaces = fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    let counted = interfaces.lines().filter_map(|interface| interface.split_once(':'));
    let others = counted.filter(|(name, _)| name.trim() != "lo");
    Some(others.filter_map(|(_, numbers)| numbers.split_whitespace().next()?.parse::<u64>().ok()).sum())
}

/// Lets the peak memory of a process and its children count from here.
pub(crate) fn reset_peak(root: u32) {
    for pid in tree(root) {
        // A child that is gone needs no reset; for ours the system never refuses.
        drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
    }
}

/// Watches the peak memory of a process and its children until it is asked.
#[derive(Debug)]
pub(crate) struct Watch {
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn on(root: u32) -> Self {
        let (peak, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (ours, end) = (Arc::clone(&peak), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                ours.fetch_max(peak_now(root), Ordering::Relaxed);
                thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { peak, ended, thread: Some(thread) }
    }

    /// The most bytes that were in memory at once.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only panics if reading a file does.
            drop(thread.join());
        }
    }
}

/// The sum of the peaks of a process and its children.
fn peak_now(root: u32) -> u64 {
    tree(root).into_iter().filter_map(|pid| field(pid, "VmHWM:")).sum()
}

/// A number of bytes that the system tells of a process.
fn field(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The process and all that descends from it.
fn tree(root: u32) -> Vec<u32> {
    let mut pids = vec![root];
    let mut read = 0;
    while let Some(&pid) = pids.get(read) {
        read += 1;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    pids
}

/// Clock ticks that a process and the children it has waited for have used. Also works once it has ended, until it is
/// waited for.
fn stat(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, also spaces and brackets; what follows the last bracket is numbers.
    let (_, numbers) = stat.rsplit_once(')').context("no name in stat")?;
    let times = numbers.split_whitespace().skip(11).take(4);
    let ticks: Result<Vec<u64>, _> = times.map(str::parse).collect();
    Ok(ticks?.into_iter().sum())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{hint::black_box, process, time::Instant};

    use super::*;

    #[test]
    fn work_is_counted() {
        let (before, start) = (cpu_seconds(process::id()).unwrap(), Instant::now());
        while start.elapsed() < Duration::from_millis(200) {
            black_box(blake3::hash(&[0; 4096]));
        }
        assert!(cpu_seconds(process::id()).unwrap() > before);
    }

    #[test]
    fn memory_that_was_given_back_is_still_in_the_peak() {
        const SIZE: usize = 64 << 20;
        reset_peak(process::id());
        drop(black_box(vec![1_u8; SIZE]));
        assert!(peak_now(process::id()) > SIZE as u64);
    }
}
