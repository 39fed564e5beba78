//! The order in which a directory is fetched by peers that fetch it at the same time.
//!
//! Each peer begins with different files, so that every file leaves the original holders once, and the other peers
//! get it from whoever has it. No messages are needed for that: every run of files has a rank for each peer, which
//! is a hash of both, and the peer with the lowest rank fetches it first (rendezvous hashing: Thaler and
//! Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998).

use std::collections::BTreeMap;

/// Files in a row that are fetched in a row, at least: they lie together on both sides.
const MIN_RUN: usize = 4;

/// Runs of a directory at most. Who has fetched each other run tells as many ranges when asked what it has, and no more
/// than 1024 of them are told.
const MAX_RUNS: usize = 512;

/// Whose turn each run of files is, as one node among those who fetch the same directory sees it.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Files of the directory that one run has.
    run: usize,
    /// None if files come in the order of their numbers.
    ours: Option<u64>,
    /// The salts of the others.
    others: BTreeMap<usize, u64>,
}

impl Turns {
    /// Turns for a directory of so many files and a node with this [`salt`](crate::salt()); without one, files come in the
    /// order of their numbers.
    pub(crate) fn of_directory(files: usize, ours: Option<u64>) -> Self {
        Turns { run: files.div_ceil(MAX_RUNS).max(MIN_RUN), ours, others: BTreeMap::new() }
    }

    /// Somebody else fetches the directory too, who is known by a number here and has this salt. True if that is news.
    pub(super) fn joined(&mut self, number: usize, salt: u64) -> bool {
        self.others.insert(number, salt).is_none()
    }

    /// One of them fetches it no more.
    pub(super) fn left(&mut self, number: usize) {
        self.others.remove(&number);
    }

    /// Where a file comes in the order, given its number in the directory: the less, the earlier.
    pub(super) fn place(&self, file: usize) -> (usize, u64, usize) {
        let Some(ours) = self.ours else { return (0, 0, file) };
        let run = file / self.run;
        let our_rank = rank(ours, run);
        let others = || self.others.values().map(|salt| rank(*salt, run));
        match others().filter(|other| *other < our_rank).count() {
            0 => (0, our_rank, file),
            // Of what others begin with, first what they come to last.
            before_us => (before_us, u64::MAX - others().min().unwrap_or(0), file),
        }
    }
}

/// Where a run of files comes in the order of a node with this [`salt`](crate::salt()), among all runs and all nodes: the less,
/// the earlier.
pub fn rank(salt: u64, run: usize) -> u64 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
    ODD.iter().fold(salt ^ run as u64, |number, odd| {
        let number = number.wrapping_mul(*odd);
        number ^ (number >> 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_begins_with_what_no_other_begins_with() {
        const FILES: usize = 1600;
        let salts = [11, 22, 33, 44];
        let orders = salts.map(|ours| {
            let mut order = Turns::of_directory(FILES, Some(ours));
            for (source, salt) in salts.into_iter().filter(|salt| *salt != ours).enumerate() {
                assert!(order.joined(source, salt));
            }
            order
        });
        let mut firsts = Vec::new();
        for order in &orders {
            let first: Vec<_> = (0..FILES).filter(|file| order.place(*file).0 == 0).collect();
            assert!((FILES / 8..FILES / 2).contains(&first.len()), "{} of {FILES}", first.len());
            assert_eq!(first.len() % MIN_RUN, 0, "runs stay whole");
            firsts.extend(first);
        }
        firsts.sort_unstable();
        assert!(firsts.into_iter().eq(0..FILES), "each file is the first of one of them");
    }

    #[test]
    fn one_that_leaves_is_not_left_its_files() {
        let mut order = Turns::of_directory(1600, Some(1));
        order.joined(0, 2);
        assert!((0..1600).any(|file| order.place(file).0 == 1));
        order.left(0);
        assert!((0..1600).all(|file| order.place(file).0 == 0));
        let plain = Turns::of_directory(1600, None);
        assert!((0..1600).is_sorted_by_key(|file| plain.place(file)));
    }

    #[test]
    fn a_large_directory_has_no_more_runs_than_can_be_told() {
        let order = Turns::of_directory(100_000, Some(1));
        let ranks: std::collections::BTreeSet<_> = (0..100_000).map(|file| order.place(file).1).collect();
        assert!(ranks.len() <= MAX_RUNS);
    }
}
