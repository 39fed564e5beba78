//! One timer for all that travels: a wheel of milliseconds.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;

/// Milliseconds that the wheel can look ahead. A way that takes longer would lose its alarm.
pub(crate) const SLOTS: u64 = 4096;

/// Milliseconds of lateness that are told apart. Where ticks come later than that, nothing is worth measuring.
const LATENESS: usize = 1024;

/// Something that wants to be told when its time has come.
pub(crate) trait Alarm: Send + Sync {
    /// Its time has come.
    fn ring(&self);
}

impl Alarm for AtomicWaker {
    fn ring(&self) {
        self.wake();
    }
}

/// Counts milliseconds, and rings alarms when they come.
///
/// All that travels is due at a tick, and is there when the wheel has reached it. So nothing ever arrives early, and
/// when the machine cannot keep up, everything arrives late alike.
pub(crate) struct Clock {
    origin: Instant,
    tick: AtomicU64,
    /// The most microseconds that a tick came late since the last look.
    worst_lag: AtomicU64,
    /// How many ticks came so many milliseconds late since the last look.
    late: Vec<AtomicU64>,
    slots: Vec<Mutex<Vec<Arc<dyn Alarm>>>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        let late = (0..LATENESS).map(|_| AtomicU64::new(0)).collect();
        Self { origin: Instant::now(), tick: AtomicU64::new(0), worst_lag: AtomicU64::new(0), late, slots }
    }

    /// The first tick that is at least `delay` away.
    pub(crate) fn after(&self, delay: Duration) -> u64 {
        let micros = (self.origin.elapsed() + delay).as_micros().div_ceil(1000);
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_due(&self, tick: u64) -> bool {
        self.tick.load(Ordering::SeqCst) >= tick
    }

    /// Rings `alarm` at `tick`, or at the next one when that is over.
    pub(crate) fn set(&self, tick: u64, alarm: Arc<dyn Alarm>) {
        loop {
            let now = self.tick.load(Ordering::SeqCst);
            let at = tick.clamp(now + 1, now + SLOTS - 1);
            let Some(slot) = self.slot(at) else { return };
            let mut slot = held(slot);
            // Once the wheel has passed, nobody looks into the slot for a whole turn.
            if self.tick.load(Ordering::SeqCst) < at {
                slot.push(alarm);
                return;
            }
        }
    }

    /// The longest that a tick came late since this was last asked.
    pub(crate) fn take_worst_lag(&self) -> Duration {
        Duration::from_micros(self.worst_lag.swap(0, Ordering::Relaxed))
    }

    /// How late ticks came since this was last asked.
    pub(crate) fn take_lag(&self) -> Lag {
        let counts: Vec<_> = self.late.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        Lag::of(&counts, self.take_worst_lag())
    }

    fn slot(&self, tick: u64) -> Option<&Mutex<Vec<Arc<dyn Alarm>>>> {
        self.slots.get(usize::try_from(tick % SLOTS).ok()?)
    }

    fn advance(&self) {
        let micros = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let from = self.tick.load(Ordering::SeqCst) + 1;
        self.worst_lag.fetch_max(micros.saturating_sub(from * 1000), Ordering::Relaxed);
        for tick in from..=micros / 1000 {
            self.tick.store(tick, Ordering::SeqCst);
            let late = usize::try_from(micros / 1000 - tick).unwrap_or(LATENESS).min(LATENESS - 1);
            if let Some(count) = self.late.get(late) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let due = self.slot(tick).map(|slot| std::mem::take(&mut *held(slot)));
            due.into_iter().flatten().for_each(|alarm| alarm.ring());
        }
    }
}

/// How late the ticks of a while came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) worst: Duration,
    /// One tick in a hundred came later than this.
    pub(crate) usual: Duration,
}

impl Lag {
    /// `counts`: how many ticks came so many milliseconds late.
    fn of(counts: &[u64], worst: Duration) -> Self {
        let all: u64 = counts.iter().sum();
        let mut later = all;
        let usual = counts.iter().position(|count| {
            later -= count;
            later * 100 <= all
        });
        let millis = usual.and_then(|usual| u64::try_from(usual).ok()).unwrap_or(0);
        Self { worst, usual: Duration::from_millis(millis) }
    }
}

/// Turns the wheel, as long as it is polled.
pub(crate) async fn run_clock(clock: Arc<Clock>) {
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        clock.advance();
    }
}

/// What is behind a lock. Nothing here can be left half done by a panic elsewhere.
pub(super) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_lag_is_that_of_all_but_one_tick_in_a_hundred() {
        let usual = |counts: &[u64]| Lag::of(counts, Duration::ZERO).usual.as_millis();
        assert_eq!(usual(&[]), 0);
        assert_eq!(usual(&[99, 0, 0, 1]), 0);
        assert_eq!(usual(&[98, 0, 0, 2]), 3);
        assert_eq!(usual(&[0, 500, 500]), 2);
    }
}
