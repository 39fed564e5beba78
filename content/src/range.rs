//! Sets of groups, as sorted ranges.

use std::{fmt, ops::Range};

#[cfg(test)]
mod tests;

/// Most ranges that may cross the wire as one set. A longer list is thousands of small reads for the
/// price of one request, or a reply that costs more to understand than the content it describes.
pub const MAX_RANGE_PAIRS: usize = 1024;

/// A set of group indexes, kept as sorted ranges that neither overlap nor touch.
///
/// ```
/// use shoal_content::GroupRanges;
///
/// let mut missing = GroupRanges::all(10);
/// missing.remove(3..5);
/// assert_eq!(missing.iter().collect::<Vec<_>>(), [0..3, 5..10]);
/// assert_eq!(missing.len(), 8);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct GroupRanges {
    /// Invariant: `start < end` in each, and each starts after the end of the one before it.
    spans: Vec<(u64, u64)>,
}

impl GroupRanges {
    /// The set of nothing.
    pub const fn empty() -> Self {
        Self { spans: Vec::new() }
    }

    /// The first `groups` groups: with [`Tree::groups`](crate::Tree::groups), a whole blob.
    ///
    /// `all(u64::MAX)` asks for all of a blob whose size is not known yet.
    pub fn all(groups: u64) -> Self {
        Self::from(0..groups)
    }

    /// Takes a set from the wire as `(start, length)` pairs.
    ///
    /// # Errors
    ///
    /// There is one way to write each set. Anything else, or more than [`MAX_RANGE_PAIRS`], is refused.
    pub fn try_from_pairs(pairs: &[(u64, u64)]) -> Result<Self, RangePairsError> {
        if pairs.len() > MAX_RANGE_PAIRS {
            return Err(RangePairsError::TooMany);
        }
        let mut spans: Vec<(u64, u64)> = Vec::with_capacity(pairs.len());
        for &(start, len) in pairs {
            if len == 0 {
                return Err(RangePairsError::Empty);
            }
            if spans.last().is_some_and(|&(_, end)| start <= end) {
                return Err(RangePairsError::Order);
            }
            spans.push((start, start.checked_add(len).ok_or(RangePairsError::Overflow)?));
        }
        Ok(Self { spans })
    }

    /// Gives the set as `(start, length)` pairs, the form in which it crosses the wire.
    pub fn pairs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.spans.iter().map(|&(start, end)| (start, end - start))
    }

    /// Whether the set has no groups.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Counts the groups in the set.
    pub fn len(&self) -> u64 {
        // The ranges are disjoint within `0..u64::MAX`, so the sum fits.
        self.pairs().map(|(_, len)| len).sum()
    }

    /// Counts the ranges that make up the set.
    pub fn range_count(&self) -> usize {
        self.spans.len()
    }

    /// Walks the ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.iter().map(|&(start, end)| start..end)
    }

    /// Whether `group` is in the set.
    pub fn contains(&self, group: u64) -> bool {
        let next = self.spans.partition_point(|&(_, end)| end <= group);
        self.spans.get(next).is_some_and(|&(start, _)| start <= group)
    }

    /// Whether any group of `range` is in the set.
    pub(crate) fn overlaps(&self, range: &Range<u64>) -> bool {
        let next = self.spans.partition_point(|&(_, end)| end <= range.start);
        !range.is_empty() && self.spans.get(next).is_some_and(|&(start, _)| start < range.end)
    }

    /// Whether every group of `range`, which is not empty, is in the set.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        let next = self.spans.partition_point(|&(_, end)| end <= range.start);
        self.spans.get(next).is_some_and(|&(start, end)| start <= range.start && range.end <= end)
    }

    /// Adds every group of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Everything that overlaps or touches melts into one.
        let first = self.spans.partition_point(|&(_, end)| end < range.start);
        let last = self.spans.partition_point(|&(start, _)| start <= range.end);
        let melted = self.spans.get(first..last).unwrap_or_default();
        let start = melted.first().map_or(range.start, |&(start, _)| start.min(range.start));
        let end = melted.last().map_or(range.end, |&(_, end)| end.max(range.end));
        self.spans.splice(first..last, [(start, end)]);
    }

    /// Takes every group of `range` out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.spans.partition_point(|&(_, end)| end <= range.start);
        let last = self.spans.partition_point(|&(start, _)| start < range.end);
        let Some(cut @ [(start, _), ..]) = self.spans.get(first..last) else {
            return;
        };
        let end = cut.last().map_or(*start, |&(_, end)| end);
        let rest = [(*start, range.start), (range.end, end)].into_iter().filter(|(start, end)| start < end);
        self.spans.splice(first..last, rest);
    }

    /// The groups that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut spans = [self.spans.as_slice(), other.spans.as_slice()].concat();
        // A stable sort merges two sorted runs in linear time.
        spans.sort();
        let mut union: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
        for (start, end) in spans {
            match union.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => union.push((start, end)),
            }
        }
        Self { spans: union }
    }

    /// The groups that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (self.spans.iter().peekable(), other.spans.iter().peekable());
        let mut spans = Vec::new();
        while let (Some(&&(a, a_end)), Some(&&(b, b_end))) = (ours.peek(), theirs.peek()) {
            let (start, end) = (a.max(b), a_end.min(b_end));
            if start < end {
                spans.push((start, end));
            }
            // The one that ends first can meet nothing more.
            if a_end < b_end {
                ours.next()
            } else {
                theirs.next()
            };
        }
        Self { spans }
    }

    /// The groups that are in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.gaps())
    }

    /// The `count` lowest groups of the set, or all of them.
    #[must_use]
    pub fn first_groups(&self, count: u64) -> Self {
        let mut left = count;
        let mut first = Self::empty();
        for (start, len) in self.pairs() {
            let taken = len.min(left);
            if taken == 0 {
                break;
            }
            first.spans.push((start, start + taken));
            left -= taken;
        }
        first
    }

    /// What is missing from `0..u64::MAX`, which holds every set.
    fn gaps(&self) -> Self {
        let starts = std::iter::once(0).chain(self.spans.iter().map(|&(_, end)| end));
        let ends = self.spans.iter().map(|&(start, _)| start).chain([u64::MAX]);
        Self { spans: starts.zip(ends).filter(|(start, end)| start < end).collect() }
    }
}

impl From<Range<u64>> for GroupRanges {
    fn from(range: Range<u64>) -> Self {
        let spans = if range.is_empty() { Vec::new() } else { vec![(range.start, range.end)] };
        Self { spans }
    }
}

impl FromIterator<Range<u64>> for GroupRanges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::empty();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

impl fmt::Debug for GroupRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Pairs from the wire do not describe a set of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangePairsError {
    /// More than [`MAX_RANGE_PAIRS`].
    #[error("more than {MAX_RANGE_PAIRS} ranges")]
    TooMany,
    /// A range of no groups.
    #[error("a range is empty")]
    Empty,
    /// A range overlaps, touches or precedes the one before it.
    #[error("the ranges are not sorted and apart")]
    Order,
    /// A range ends after the last group there can be.
    #[error("a range ends beyond any file")]
    Overflow,
}
