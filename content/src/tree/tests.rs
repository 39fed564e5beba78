//! Our geometry against `bao-tree`'s, for every interesting size and for random ranges.

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        outboard::PreOrderMemOutboard,
        sync::{encode_ranges, truncate_ranges},
    },
    iter::BaoChunk,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    SIZES,
    reference::{blob, outboard, response},
};

/// Groups of `1 << 4` BLAKE3 chunks.
const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(4);
const CHUNKS: u64 = 16;

fn chunk_ranges(ranges: &GroupRanges) -> ChunkRanges {
    ranges
        .iter()
        .map(|r| ChunkRanges::from(ChunkNum(r.start * CHUNKS)..ChunkNum(r.end.saturating_mul(CHUNKS))))
        .fold(ChunkRanges::empty(), |all, one| all | one)
}

fn bao(data: &[u8]) -> PreOrderMemOutboard {
    PreOrderMemOutboard::create(data, BLOCK_SIZE)
}

/// Checks the plan for one set of ranges against the encoding that `bao-tree` makes.
fn check(data: &[u8], bao: &PreOrderMemOutboard, ranges: &GroupRanges) {
    let tree = Tree::new(data.len() as u64);
    let mut expected = Vec::new();
    // `bao-tree` sends no more than the last chunk for what is beyond the end; we send whole groups.
    encode_ranges(data, bao, &chunk_ranges(&tree.clip(ranges)), &mut expected).unwrap();
    let encoded = response(data, &bao.data, ranges);
    assert_eq!(encoded.len(), expected.len(), "{ranges:?} of {}", data.len());
    assert!(encoded == expected, "{ranges:?} of {}", data.len());
    assert_eq!(tree.encoded_len(ranges), encoded.len() as u64);
    let leaves = tree.plan(ranges).filter_map(|step| match step {
        Step::Leaf { group, .. } => Some(group..group + 1),
        Step::Parent { .. } => None,
    });
    assert_eq!(leaves.collect::<GroupRanges>(), tree.clip(ranges));
    // Both know the same groups to be asked for.
    let bao_tree = BaoTree::new(data.len() as u64, BLOCK_SIZE);
    let bao_ranges = chunk_ranges(ranges);
    let bao_leaves = bao_tree
        .ranges_pre_order_chunks_iter_ref(truncate_ranges(&bao_ranges, data.len() as u64), 0)
        .filter_map(|chunk| match chunk {
            BaoChunk::Leaf { start_chunk, .. } => Some(start_chunk.0 / CHUNKS),
            BaoChunk::Parent { .. } => None,
        });
    assert_eq!(bao_leaves.map(|group| group..group + 1).collect::<GroupRanges>(), tree.clip(ranges));
}

#[test]
fn outboards_and_digests_are_those_of_bao_tree_and_blake3() {
    for &(size, why) in SIZES {
        let data = blob(size);
        let (digest, outboard) = outboard(&data);
        assert_eq!(digest, *blake3::hash(&data).as_bytes(), "{why}");
        let bao = bao(&data);
        assert_eq!(bao.root, digest, "{why}");
        assert!(bao.data == outboard, "{why}");
        let tree = Tree::new(size);
        assert_eq!(tree.outboard_len(), BaoTree::new(size, BLOCK_SIZE).outboard_size(), "{why}");
        assert_eq!(tree.parents() + 1, tree.groups(), "{why}");
    }
}

#[test]
fn responses_are_those_of_bao_tree_for_every_size() {
    for &(size, _) in SIZES {
        let data = blob(size);
        let bao = bao(&data);
        let groups = Tree::new(size).groups();
        check(&data, &bao, &GroupRanges::empty());
        check(&data, &bao, &GroupRanges::all(groups));
        for (start, end) in
            [(0, 1), (groups - 1, groups), (groups / 2, groups), (groups, groups + 1), (groups + 5, 1 << 40)]
        {
            check(&data, &bao, &(start..end).into());
            check(&data, &bao, &[0..1, start..end].into_iter().collect());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn responses_are_those_of_bao_tree(
        size in 0..600_000u64,
        ranges in vec((0..45u64, 1..10u64).prop_map(|(start, len)| start..start + len), 0..6),
    ) {
        let data = blob(size);
        check(&data, &bao(&data), &ranges.into_iter().collect());
    }

    #[test]
    fn the_length_of_a_response_is_that_of_its_steps(
        size in 0..u64::MAX,
        ranges in vec((0..1u64 << 51, 1..300u64).prop_map(|(start, len)| start..start + len), 0..4),
    ) {
        let (tree, ranges) = (Tree::new(size), ranges.into_iter().collect());
        let walked: u64 = tree.plan(&ranges).map(|step| step.len() as u64).sum();
        prop_assert_eq!(tree.encoded_len(&ranges), walked);
    }
}

#[test]
fn the_largest_claims_cost_nothing() {
    let tree = Tree::new(u64::MAX);
    assert_eq!(tree.groups(), 1 << 50);
    assert_eq!(tree.group_span(tree.groups() - 1).end, u64::MAX);
    assert_eq!(tree.group_span(u64::MAX), u64::MAX..u64::MAX);
    assert_eq!(tree.encoded_len(&GroupRanges::all(u64::MAX)), u64::MAX, "saturated");
    assert_eq!(
        tree.plan(&GroupRanges::all(u64::MAX)).take_while(|s| matches!(s, Step::Parent { .. })).count(),
        50
    );
    let last: Vec<Step> = tree.plan(&(u64::MAX - 1..u64::MAX).into()).collect();
    assert_eq!(last.len(), 51);
    assert!(matches!(last[50], Step::Leaf { len: 16_383, is_root: false, .. }));
}

#[test]
fn the_empty_blob_has_one_empty_group() {
    let tree = Tree::new(0);
    assert_eq!((tree.groups(), tree.parents(), tree.outboard_len()), (1, 0, 0));
    let steps: Vec<Step> = tree.plan(&GroupRanges::all(1)).collect();
    assert_eq!(steps, [Step::Leaf { group: 0, offset: 0, len: 0, is_root: true }]);
    assert!(steps[0].is_empty());
    assert_eq!(tree.plan(&GroupRanges::empty()).next(), None);
}

#[test]
fn ranges_beyond_the_end_become_the_last_group() {
    let tree = Tree::new(5 * GROUP_LEN);
    let check = |asked: &[(u64, u64)], got: &[(u64, u64)]| {
        let set = |pairs| GroupRanges::try_from_pairs(pairs).unwrap();
        assert_eq!(tree.clip(&set(asked)), set(got), "{asked:?} as (start, length)");
    };
    check(&[], &[]);
    check(&[(0, 5)], &[(0, 5)]);
    check(&[(0, 4)], &[(0, 4)]);
    check(&[(1, 1 << 60)], &[(1, 4)]);
    check(&[(5, 1)], &[(4, 1)]);
    check(&[(0, 2), (90, 10)], &[(0, 2), (4, 1)]);
}

#[test]
fn left_halves_are_the_largest_powers_of_two_below_the_whole() {
    let halves = [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (1 << 50, 1 << 49)];
    for (groups, left) in halves {
        assert_eq!(left_groups(groups), left);
    }
}
