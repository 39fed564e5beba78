//! What a link did to the packets of one direction, and how late it was itself.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// So much later than it should, a packet counts as late: a fiftieth of the shortest round trip of the links.
const LATE: Duration = Duration::from_millis(1);

/// Counts what happens to packets, on two threads.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Packets that came to the link.
    pub(super) packets: AtomicU64,
    /// Those that were lost by chance.
    pub(super) lost: AtomicU64,
    /// Those that found no room in the queue.
    pub(super) dropped: AtomicU64,
    late: AtomicU64,
    latest: AtomicU64,
}

/// The same, at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) dropped: u64,
    /// Those that the process delivered late.
    pub(super) late: u64,
    /// The most microseconds that one was late.
    pub(super) latest: u64,
}

impl Counts {
    /// So many packets were delivered so much too late.
    pub(super) fn delivered(&self, packets: usize, late: Duration) {
        if late > LATE {
            self.late.fetch_add(packets as u64, Ordering::Relaxed);
        }
        self.latest.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        let [packets, lost, dropped, late, latest] =
            [&self.packets, &self.lost, &self.dropped, &self.late, &self.latest]
                .map(|count| count.load(Ordering::Relaxed));
        Tally { packets, lost, dropped, late, latest }
    }
}

impl Tally {
    /// The last that was printed of a direction.
    pub(super) fn last_printed(direction: usize, printed: &str) -> Self {
        let start = format!("{direction}: ");
        let last = printed.lines().rev().find_map(|line| line.strip_prefix(&start));
        last.and_then(|line| line.parse().ok()).unwrap_or_default()
    }

    /// Since another, earlier one.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            lost: self.lost.saturating_sub(before.lost),
            dropped: self.dropped.saturating_sub(before.dropped),
            late: self.late.saturating_sub(before.late),
            latest: self.latest,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, lost, dropped, late, latest } = self;
        write!(f, "{packets} {lost} {dropped} {late} {latest}")
    }
}

impl FromStr for Tally {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next().unwrap_or(Ok(0));
        Ok(Self { packets: next()?, lost: next()?, dropped: next()?, late: next()?, latest: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        let counts = Counts::default();
        counts.packets.store(7, Ordering::Relaxed);
        counts.dropped.store(2, Ordering::Relaxed);
        counts.delivered(3, Duration::from_micros(900));
        counts.delivered(2, Duration::from_micros(1100));
        let tally = Tally { packets: 7, lost: 0, dropped: 2, late: 2, latest: 1100 };
        assert_eq!(counts.tally(), tally);
        let printed = format!("forwarding\n0: 1 0 0 0 5\n1: 9 9 9 9 9\n0: {tally}\n1: 9");
        assert_eq!(Tally::last_printed(0, &printed), tally);
        assert_eq!(Tally::last_printed(2, &printed), Tally::default());
        let before = Tally { packets: 5, ..Tally::default() };
        assert_eq!(tally.since(before), Tally { packets: 2, ..tally });
    }
}
