//! Divides the files of a directory equally among the peers that fetch it, without any message between them.

use std::collections::HashMap;

use shoal_transfer::rank;

/// How the files of a directory are shared out among those who fetch it, as each of them reckons for himself.
///
/// Every file is for whoever ranks first for it of those who have not got their share yet: rendezvous hashing with bounded
/// loads (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018, bounds them the same way).
#[derive(Debug)]
pub(super) struct Shares {
    /// All files, in the order of their numbers.
    files: Vec<usize>,
    /// The salts of those who fetch them; ours comes first, those of the others in their order.
    salts: Vec<u64>,
    begins: HashMap<usize, Begins>,
}

/// Who begins with a file, by the place of the salt, and where it comes in that one's order: the less, the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Begins {
    pub(super) who: usize,
    pub(super) rank: u64,
}

impl Shares {
    pub(super) fn new(mut files: Vec<usize>, ours: u64) -> Self {
        files.sort_unstable();
        Self { files, salts: vec![ours], begins: HashMap::new() }
    }

    /// Shares them out anew if others fetch them now than before.
    pub(super) fn among(&mut self, others: impl Iterator<Item = u64>) {
        let mut salts: Vec<u64> = self.salts.iter().copied().take(1).chain(others).collect();
        // They come in the order of their news, which says nothing of who they are.
        if let Some(others) = salts.get_mut(1..) {
            others.sort_unstable();
        }
        if salts == self.salts && !self.begins.is_empty() {
            return;
        }
        self.salts = salts;
        let share = self.files.len().div_ceil(self.salts.len());
        let mut had = vec![0; self.salts.len()];
        let begins = self.files.iter().filter_map(|file| {
            let open = self.salts.iter().zip(&had).enumerate().filter(|(_, (_, had))| **had < share);
            let ranks = open.map(|(who, (salt, _))| (rank(*salt, *file), who));
            let (rank, who) = ranks.min()?;
            *had.get_mut(who)? += 1;
            Some((*file, Begins { who, rank }))
        });
        self.begins = begins.collect();
    }

    /// Who begins with a file; we do with one that is not known.
    pub(super) fn begins(&self, file: usize) -> Begins {
        self.begins.get(&file).copied().unwrap_or(Begins { who: 0, rank: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_same_share_and_all_reckon_alike() {
        const SALTS: [u64; 4] = [5, 60, 700, 8000];
        let all: Vec<_> = SALTS
            .iter()
            .map(|ours| {
                let mut shares = Shares::new((0..42).rev().collect(), *ours);
                shares.among(SALTS.into_iter().filter(|salt| salt != ours));
                let salts = shares.salts.clone();
                (0..42).map(|file| salts[shares.begins(file).who]).collect::<Vec<_>>()
            })
            .collect();
        assert!(all.windows(2).all(|two| two[0] == two[1]));
        for salt in SALTS {
            let share = all[0].iter().filter(|whose| **whose == salt).count();
            assert!((9..=11).contains(&share), "{share} of 42");
        }
    }

    #[test]
    fn who_leaves_leaves_all_files_to_the_others() {
        let mut shares = Shares::new((0..20).collect(), 1);
        shares.among([2].into_iter());
        assert_eq!((0..20).filter(|file| shares.begins(*file).who == 1).count(), 10);
        shares.among([].into_iter());
        assert!((0..20).all(|file| shares.begins(file).who == 0));
    }
}
