//! Decides which of the long files of a directory to fetch next, considering who else fetches the directory.
//!
//! Pure. A swarm as a whole is limited by the uplinks of its members, and an uplink is idle until its owner has
//! something that the others lack. So those who hold all of the directory are asked for few files at a time, which
//! are then complete sooner, and everything else comes from peers that fetch it too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

use libp2p::PeerId;
use shoal_content::GroupRanges;

use super::shares::Shares;

#[cfg(test)]
mod tests;

/// Bytes of files under way from those who hold all of the directory, beyond which no other one is begun: with more, all are
/// whole later and the first of them no sooner; with less, a fast link waits between files.
const FROM_HOLDERS: u64 = 2 << 20;

/// Files of those left among which the next one is chosen. Of very many, to look at all each time would take longer than it
/// is worth.
const LOOKED_AT: usize = 256;

/// From whom a file is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// From everyone who has it.
    Anyone,
    /// From those who fetch the directory too: one of them has it, or will have it soon. Those who hold all of it are left to
    /// others for what they alone have.
    Fellows,
}

/// One who fetches the directory too.
#[derive(Debug)]
pub(super) struct Fellow {
    salt: u64,
    files: GroupRanges,
}

impl std::convert::From<(PeerId, GroupRanges)> for Fellow {
    fn from((peer, files): (PeerId, GroupRanges)) -> Self {
        Self { salt: shoal_transfer::salt(&peer), files }
    }
}

/// The long files of a directory that are not begun yet, and those under way.
#[derive(Debug)]
pub(super) struct Choice {
    left: VecDeque<usize>,
    under_way: BTreeMap<usize, (From, u64)>,
    /// None if the files come in their order, whoever else fetches them.
    shares: Option<Shares>,
}

impl Choice {
    /// Of these files, in their order, or in one that differs between nodes with different salts.
    pub(super) fn new(mut files: Vec<usize>, salt: Option<u64>) -> Self {
        let shares = salt.map(|salt| Shares::new(files.clone(), salt));
        if let Some(salt) = salt {
            files.sort_by_cached_key(|file| shoal_transfer::rank(salt, *file));
        }
        Self { left: files.into(), under_way: BTreeMap::new(), shares }
    }

    /// Whether every file was begun.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// The next file to begin, of those with these sizes; none if that has to wait for one under way or for news of the
    /// fellows. Until it is `settled` who they are, there may be some that are not known yet.
    pub(super) fn next(
        &mut self,
        fellows: &[Fellow],
        settled: bool,
        size: impl Fn(usize) -> u64,
    ) -> Option<(usize, From)> {
        let from_holders: u64 =
            self.under_way.values().filter(|(from, _)| *from == From::Anyone).map(|(_, size)| size).sum();
        let is_spared = from_holders >= FROM_HOLDERS;
        let (at, from) = match &mut self.shares {
            Some(shares) if !fellows.is_empty() => {
                shares.among(fellows.iter().map(|fellow| fellow.salt));
                self.among(fellows, is_spared)?
            }
            Some(_) if !settled && is_spared => return None,
            _ => (0, From::Anyone),
        };
        let file = self.left.remove(at)?;
        self.under_way.insert(file, (from, size(file)));
        Some((file, from))
    }

    /// A file that was begun is no longer under way.
    pub(super) fn ended(&mut self, file: usize) {
        self.under_way.remove(&file);
    }

    fn among(&self, fellows: &[Fellow], is_spared: bool) -> Option<(usize, From)> {
        let shares = self.shares.as_ref()?;
        let holders =
            |file: usize| fellows.iter().filter(|fellow| fellow.files.contains(file as u64)).count();
        let near = || self.left.iter().take(LOOKED_AT);
        // What each fellow is at: the first in its order of those that it is to begin with.
        let mut firsts = BTreeMap::new();
        for file in near().chain(self.under_way.keys()).filter(|file| holders(**file) == 0) {
            let begins = shares.begins(*file);
            let first = firsts.entry(begins.who).or_insert((begins.rank, *file));
            *first = (begins.rank, *file).min(*first);
        }
        // Where several are as good, they come in our own order, which is that of `at`.
        let worth = |(at, file): (usize, &usize)| {
            let begins = shares.begins(*file);
            let is_first = || firsts.get(&begins.who).is_some_and(|(_, first)| first == file);
            match (holders(*file), begins.who, is_spared) {
                (0, 0, true) => None,
                (0, 0, false) => Some((Worth::Ours(begins.rank), at, From::Anyone)),
                (0, ..) if is_first() => Some((Worth::Coming, at, From::Fellows)),
                (0, _, true) => None,
                (0, _, false) => Some((Worth::Theirs(Reverse(begins.rank)), at, From::Anyone)),
                (holders, ..) => Some((Worth::There { holders }, at, From::Fellows)),
            }
        };
        let (_, at, from) =
            near().enumerate().filter_map(worth).min_by_key(|(worth, at, _)| (*worth, *at))?;
        Some((at, from))
    }
}

/// How good it is to begin a file now, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Nobody has it, and it is for us to begin with: where it comes in our order.
    Ours(u64),
    /// Nobody has it, and somebody else is to begin with it, but not soon: where it comes in that one's order.
    Theirs(Reverse<u64>),
    /// Somebody has it. What few have is worth most to the others.
    There { holders: usize },
    /// Somebody is just getting it.
    Coming,
}
