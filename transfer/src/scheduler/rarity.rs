//! How many of those who fetch the same content have each group already.

use shoal_content::{GroupRanges, Tree};

use super::source::Source;

/// Groups that more partial holders have than this are all alike. More levels would cost more to keep than they tell.
const LEVELS: usize = 4;

/// What partial holders have. Those that hold everything say nothing about what is rare.
pub(super) struct Rarity {
    pub(super) tree: Tree,
    /// The groups that at least one, two, … of them have.
    at_least: Vec<GroupRanges>,
}

impl Rarity {
    pub(super) fn among<'a>(sources: impl Iterator<Item = &'a Source>, tree: Tree) -> Self {
        let mut at_least: Vec<GroupRanges> = Vec::new();
        for has in sources.filter_map(|source| source.partial(tree)) {
            let mut again = has.clone();
            for level in &mut at_least {
                let both = level.intersection(&again);
                *level = level.union(&again);
                again = both;
            }
            if at_least.len() < LEVELS && (at_least.is_empty() || !again.is_empty()) {
                at_least.push(again);
            }
        }
        Rarity { tree, at_least }
    }

    /// Whether others fetch the content too.
    pub(super) fn has_crowd(&self) -> bool {
        !self.at_least.is_empty()
    }

    /// Those of `held` that the fewest have; its holder does not count if it `is_one` of them.
    pub(super) fn rarest(&self, held: GroupRanges, is_one: bool) -> GroupRanges {
        for level in self.at_least.iter().skip(usize::from(is_one)) {
            let rare = held.difference(level);
            if !rare.is_empty() {
                return rare;
            }
        }
        held
    }
}
