//! The set algebra against a plain `BTreeSet`.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;

const UNIVERSE: u64 = 40;

fn naive(ranges: &[Range<u64>]) -> BTreeSet<u64> {
    ranges.iter().cloned().flatten().collect()
}

fn groups(set: &GroupRanges) -> BTreeSet<u64> {
    set.iter().flatten().collect()
}

fn some_ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
    vec((0..UNIVERSE, 0..8u64).prop_map(|(start, len)| start..start + len), 0..12)
}

/// Checks that `set` holds exactly `expected` and is in its one normal form.
fn check(set: &GroupRanges, expected: &BTreeSet<u64>) {
    assert_eq!(&groups(set), expected);
    assert_eq!(set.len(), expected.len() as u64);
    assert_eq!(set.is_empty(), expected.is_empty());
    for group in 0..UNIVERSE + 10 {
        assert_eq!(set.contains(group), expected.contains(&group), "{group} in {set:?}");
    }
    let pairs: Vec<_> = set.pairs().collect();
    assert_eq!(pairs.len(), set.range_count());
    assert_eq!(GroupRanges::try_from_pairs(&pairs).as_ref(), Ok(set));
}

proptest! {
    #[test]
    fn the_algebra_is_that_of_sets(a in some_ranges(), b in some_ranges(), count in 0..UNIVERSE) {
        let (x, y) = (a.iter().cloned().collect::<GroupRanges>(), b.iter().cloned().collect::<GroupRanges>());
        let (nx, ny) = (naive(&a), naive(&b));
        check(&x, &nx);
        check(&x.union(&y), &(&nx | &ny));
        check(&x.intersection(&y), &(&nx & &ny));
        check(&x.difference(&y), &(&nx - &ny));
        check(&x.first_groups(count), &nx.iter().copied().take(usize::try_from(count).unwrap()).collect());
        let mut removed = x.clone();
        for range in &b {
            removed.remove(range.clone());
        }
        check(&removed, &(&nx - &ny));
        for range in &b {
            let any = range.clone().any(|g| nx.contains(&g));
            prop_assert_eq!(x.overlaps(range), any);
            if !range.is_empty() {
                prop_assert_eq!(x.covers(range), range.clone().all(|g| nx.contains(&g)));
            }
        }
    }

    #[test]
    fn any_pairs_are_refused_or_kept_as_they_are(pairs in vec((any::<u64>(), any::<u64>()), 0..5)) {
        if let Ok(set) = GroupRanges::try_from_pairs(&pairs) {
            prop_assert_eq!(set.pairs().collect::<Vec<_>>(), pairs);
        }
    }
}

#[test]
fn there_is_one_way_to_write_a_set() {
    use RangePairsError::*;
    let check = |pairs: &[(u64, u64)], error| assert_eq!(GroupRanges::try_from_pairs(pairs), Err(error));
    check(&[(3, 0)], Empty);
    check(&[(3, 2), (5, 1)], Order);
    check(&[(3, 2), (4, 1)], Order);
    check(&[(3, 2), (0, 1)], Order);
    check(&[(1, u64::MAX)], Overflow);
    check(&[(0, u64::MAX), (u64::MAX, 1)], Order);
    let most: Vec<_> = (0..=MAX_RANGE_PAIRS as u64).map(|i| (i * 2, 1)).collect();
    check(&most, TooMany);
    assert_eq!(GroupRanges::try_from_pairs(&most[1..]).unwrap().range_count(), MAX_RANGE_PAIRS);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let all = GroupRanges::all(u64::MAX);
    assert_eq!(all.len(), u64::MAX);
    assert!(all.contains(u64::MAX - 1) && !all.contains(u64::MAX));
    assert_eq!(GroupRanges::try_from_pairs(&[(0, u64::MAX)]), Ok(all.clone()));
    assert_eq!(all.difference(&GroupRanges::empty()), all);
    assert_eq!(all.union(&all), all);
    assert_eq!(all.first_groups(u64::MAX), all);
    let mut hole = all;
    hole.remove(5..u64::MAX);
    assert_eq!(hole, GroupRanges::all(5));
}
