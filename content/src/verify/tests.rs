//! A decoder takes what is true, refuses what is not, and believes no size before it is proven.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    SIZES,
    reference::{blob, outboard, response},
};

/// What became of some bytes that were pushed as a response.
#[derive(Debug, Default)]
struct Outcome {
    groups: GroupRanges,
    error: Option<BadBytes>,
    is_done: bool,
    size_is_proven: bool,
}

/// Pushes a response as it would come off a stream, and checks that what is accepted is true.
fn receive(data: &[u8], claimed_size: u64, ranges: &GroupRanges, mut bytes: &[u8]) -> Outcome {
    let mut decoder = Decoder::new(Digest::of(data), Tree::new(claimed_size), ranges);
    let mut outcome = Outcome::default();
    while let Some(step) = decoder.next_step() {
        let Some((item, rest)) = bytes.split_at_checked(decoder.next_len()) else {
            break;
        };
        bytes = rest;
        let pushed = match step {
            Step::Parent { .. } => decoder.push_parent(item.try_into().unwrap()),
            Step::Leaf { .. } => decoder.push_leaf(item),
        };
        if let Err(error) = pushed {
            outcome.error = Some(error);
            break;
        }
        if let Step::Leaf { group, offset, .. } = step {
            let at = usize::try_from(offset).unwrap();
            assert!(data[at..at + item.len()] == *item, "group {group} was accepted and is not true");
            outcome.groups.insert(group..group + 1);
        }
        assert!(decoder.expected.len() <= 64, "the stack follows the depth of the tree");
    }
    outcome.is_done = decoder.is_done();
    outcome.size_is_proven = decoder.size_is_proven();
    assert!(!outcome.size_is_proven || claimed_size == data.len() as u64, "a false size was proven");
    outcome
}

#[test]
fn whole_blobs_of_every_size_verify_and_prove_their_size() {
    for &(size, why) in SIZES {
        let data = blob(size);
        let (digest, outboard) = outboard(&data);
        assert_eq!(digest, *Digest::of(&data).as_bytes(), "{why}");
        let all = GroupRanges::all(u64::MAX);
        let got = receive(&data, size, &all, &response(&data, &outboard, &all));
        assert!(got.is_done && got.size_is_proven && got.error.is_none(), "{why}: {got:?}");
        assert_eq!(got.groups, GroupRanges::all(Tree::new(size).groups()), "{why}");
    }
}

#[test]
fn only_the_last_group_proves_the_size() {
    let data = blob(5 * GROUP_LEN + 1);
    let (_, outboard) = outboard(&data);
    let receive = |ranges: GroupRanges| {
        let got = receive(&data, data.len() as u64, &ranges, &response(&data, &outboard, &ranges));
        assert!(got.is_done, "{got:?}");
        got.size_is_proven
    };
    assert!(!receive(GroupRanges::empty()));
    assert!(!receive((0..5).into()));
    assert!(receive((5..6).into()));
    assert!(receive((9..10).into()), "asking beyond the end asks for the proof");
}

#[test]
fn a_flipped_bit_is_found_where_it_is_and_harms_nothing() {
    let data = blob(7 * GROUP_LEN + 100);
    let (digest, outboard) = outboard(&data);
    let ranges = GroupRanges::all(8);
    let tree = Tree::new(data.len() as u64);
    let mut decoder = Decoder::new(Digest::from_bytes(digest), tree, &ranges);
    let (mut bytes, mut flips) = (response(&data, &outboard, &ranges), 0);
    for step in tree.plan(&ranges) {
        assert_eq!(decoder.next_step(), Some(step));
        let rest = bytes.split_off(step.len());
        for at in [0, step.len() / 2, step.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let (pushed, expected) = match step {
                Step::Parent { index, .. } => {
                    (decoder.push_parent(flipped.as_slice().try_into().unwrap()), BadBytes::Parent { index })
                }
                Step::Leaf { group, .. } => (decoder.push_leaf(&flipped), BadBytes::Group { group }),
            };
            assert_eq!(pushed, Err(expected));
            flips += 1;
        }
        let pushed = match step {
            Step::Parent { .. } => decoder.push_parent(bytes.as_slice().try_into().unwrap()),
            Step::Leaf { .. } => decoder.push_leaf(&bytes),
        };
        assert_eq!(pushed, Ok(()), "the true bytes are still welcome");
        bytes = rest;
    }
    assert!(decoder.is_done() && bytes.is_empty());
    assert_eq!(flips, 3 * (8 + 7));
}

#[test]
fn what_comes_out_of_turn_is_refused() {
    let data = blob(GROUP_LEN + 1);
    let (digest, outboard) = outboard(&data);
    let pair: &[u8; PARENT_LEN] = outboard.as_slice().try_into().unwrap();
    let (first, last) = data.split_at(data.len() - 1);
    let tree = Tree::new(data.len() as u64);
    let mut decoder = Decoder::new(Digest::from_bytes(digest), tree, &GroupRanges::all(2));
    assert_eq!(decoder.push_leaf(first), Err(BadBytes::OutOfTurn));
    assert_eq!(decoder.push_parent(pair), Ok(()));
    assert_eq!(decoder.push_parent(pair), Err(BadBytes::OutOfTurn));
    for wrong in [&[], last, &first[1..], &data] {
        assert_eq!(decoder.push_leaf(wrong), Err(BadBytes::Group { group: 0 }));
    }
    assert_eq!(decoder.push_leaf(first), Ok(()));
    assert_eq!(decoder.push_leaf(first), Err(BadBytes::Group { group: 1 }));
    assert_eq!(decoder.push_leaf(last), Ok(()));
    assert_eq!((decoder.next_step(), decoder.next_len()), (None, 0));
    assert_eq!(decoder.push_leaf(last), Err(BadBytes::OutOfTurn));
    assert_eq!(decoder.push_parent(pair), Err(BadBytes::OutOfTurn));
}

/// A liar who knows the whole blob offers every true pair and every true piece of data at every step.
#[test]
fn no_mixture_of_true_bytes_proves_a_false_size() {
    let sizes = SIZES.iter().map(|&(size, _)| size).filter(|&size| size < 200_000);
    let sizes: Vec<u64> = sizes.flat_map(|size| [size.saturating_sub(1), size, size + 1]).collect();
    let mut lies = 0;
    for &size in &sizes {
        let data = blob(size);
        let (digest, outboard) = outboard(&data);
        for claim in sizes.iter().chain(&[1 << 40, u64::MAX]).copied().filter(|&claim| claim != size) {
            lies += 1;
            let last = GroupRanges::from(u64::MAX - 1..u64::MAX);
            let mut decoder = Decoder::new(Digest::from_bytes(digest), Tree::new(claim), &last);
            let accepts = |decoder: &mut Decoder| match decoder.next_step() {
                Some(Step::Parent { .. }) => {
                    outboard.as_chunks().0.iter().any(|pair| decoder.push_parent(pair).is_ok())
                }
                Some(Step::Leaf { len, .. }) => {
                    let starts = (0..data.len()).step_by(1024).filter(|at| at + len <= data.len());
                    starts.map(|at| &data[at..at + len]).any(|piece| decoder.push_leaf(piece).is_ok())
                }
                None => false,
            };
            while accepts(&mut decoder) {}
            assert!(!decoder.is_done() && !decoder.size_is_proven(), "{size} passed for {claim}");
        }
    }
    assert!(lies > 1000, "{lies} lies were told");
}

#[test]
fn the_largest_claim_is_refused_at_the_first_step() {
    let data = blob(3 * GROUP_LEN);
    let (_, outboard) = outboard(&data);
    let all = GroupRanges::all(u64::MAX);
    let got = receive(&data, u64::MAX, &all, &response(&data, &outboard, &all));
    assert!(!got.is_done && got.error.is_some() && got.groups.is_empty(), "{got:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn random_ranges_verify(
        size in 0..400_000u64,
        ranges in vec((0..30u64, 1..9u64).prop_map(|(start, len)| start..start + len), 0..5),
    ) {
        let data = blob(size);
        let ranges: GroupRanges = ranges.into_iter().collect();
        let got = receive(&data, size, &ranges, &response(&data, &outboard(&data).1, &ranges));
        prop_assert!(got.is_done && got.error.is_none());
        prop_assert_eq!(got.groups, Tree::new(size).clip(&ranges));
    }

    #[test]
    fn damaged_responses_yield_only_what_is_true(
        size in 0..200_000u64,
        claim_off_by in prop_oneof![3 => Just(0i64), 1 => -40_000..40_000i64],
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let data = blob(size);
        let all = GroupRanges::all(u64::MAX);
        let mut bytes = response(&data, &outboard(&data).1, &all);
        for (at, byte, kind) in damage {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= byte),
            }
        }
        // `receive` checks every group it accepts against the blob.
        let got = receive(&data, size.saturating_add_signed(claim_off_by), &all, &bytes);
        prop_assert!(got.groups.len() <= Tree::new(size).groups());
    }
}
