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
    slots: Vec<Mutex<Vec<Arc<dyn Alarm>>>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        Self { origin: Instant::now(), tick: AtomicU64::new(0), worst_lag: AtomicU64::new(0), slots }
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

    fn slot(&self, tick: u64) -> Option<&Mutex<Vec<Arc<dyn Alarm>>>> {
        self.slots.get(usize::try_from(tick % SLOTS).ok()?)
    }

    fn advance(&self) {
        let micros = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let from = self.tick.load(Ordering::SeqCst) + 1;
        self.worst_lag.fetch_max(micros.saturating_sub(from * 1000), Ordering::Relaxed);
        for tick in from..=micros / 1000 {
            self.tick.store(tick, Ordering::SeqCst);
            let due = self.slot(tick).map(|slot| std::mem::take(&mut *held(slot)));
            due.into_iter().flatten().for_each(|alarm| alarm.ring());
        }
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
