//! What a server chooses for several who leave the choice to it.

use shoal_content::GROUP_LEN;

use super::*;

const GROUPS: u64 = 1024;

struct Blob(Spread, Digest, Tree);

impl Blob {
    fn new(groups: u64) -> Self {
        Blob(Spread::default(), Digest::of(b"a"), Tree::new(groups * GROUP_LEN))
    }

    /// Asks for `wanted`; the answer is sent to its end.
    fn ask(&self, wanted: GroupRanges, most: Option<u64>) -> GroupRanges {
        let (chosen, sending) = self.0.choose(self.1, self.2, wanted, most);
        if let Some(mut sending) = sending {
            sending.sent_before(u64::MAX);
        }
        chosen
    }
}

fn ranges<const N: usize>(ranges: [std::ops::Range<u64>; N]) -> GroupRanges {
    ranges.into_iter().collect()
}

#[test]
fn nothing_is_sent_twice_before_all_was_sent_once() {
    let blob = Blob::new(GROUPS);
    let mut sent = GroupRanges::empty();
    while sent.len() < GROUPS {
        let chosen = blob.ask(GroupRanges::all(GROUPS), Some(100));
        assert!(!chosen.is_empty() && chosen.intersection(&sent).is_empty(), "{chosen:?}");
        assert_eq!(chosen.iter().count(), 1, "in order, so that the disk reads on");
        sent = sent.union(&chosen);
    }
    // From then on, what was sent least.
    assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(64)), GroupRanges::from(0..64));
    assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(10)), GroupRanges::from(64..74));
    assert_eq!(blob.ask(ranges([0..70, 300..310]), Some(16)), GroupRanges::from(300..310));
    assert_eq!(blob.ask(ranges([0..70, 300..310]), Some(16)), GroupRanges::from(0..16));
}

#[test]
fn who_asks_without_leaving_the_choice_gets_what_it_asked_for() {
    let blob = Blob::new(GROUPS);
    for _ in 0..2 {
        assert_eq!(blob.ask(GroupRanges::from(10..20), None), GroupRanges::from(10..20));
    }
    assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(20)), ranges([0..10, 20..30]));
    assert_eq!(
        blob.ask(GroupRanges::from(12..14), Some(20)),
        GroupRanges::from(12..14),
        "although others never were sent"
    );
}

#[test]
fn what_was_cut_off_counts_as_never_sent() {
    let blob = Blob::new(GROUPS);
    let (chosen, sending) = blob.0.choose(blob.1, blob.2, GroupRanges::all(GROUPS), Some(100));
    assert_eq!(chosen, GroupRanges::from(0..100));
    let mut sending = sending.unwrap();
    sending.sent_before(30);
    assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(10)), GroupRanges::from(100..110));
    drop(sending);
    assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(80)), ranges([30..100, 110..120]));
}

#[test]
fn a_small_blob_is_not_remembered_and_the_number_of_others_is_bounded() {
    let small = Blob::new(MIN_GROUPS - 1);
    for _ in 0..2 {
        assert_eq!(small.ask(GroupRanges::all(MIN_GROUPS - 1), Some(9)), GroupRanges::from(0..9));
    }
    assert!(small.0.blobs().of.is_empty());
    for number in 0..200_u8 {
        small.0.choose(Digest::of(&[number]), Tree::new(GROUPS * GROUP_LEN), GroupRanges::from(0..1), None);
    }
    assert_eq!(small.0.blobs().of.len(), MAX_BLOBS);
    assert!(small.0.blobs().of.contains_key(&Digest::of(&[199])));
}

#[test]
fn strange_requests_for_a_huge_blob_do_not_fill_the_memory() {
    let mut sent = Sent::new(1 << 40);
    for request in 0..100 {
        let start = request * 10_000;
        let strange: GroupRanges = (0..1024).map(|at| start + at * 2..start + at * 2 + 1).collect();
        sent.begin(&strange);
        assert!(sent.at_most.iter().all(|sent| sent.range_count() <= MAX_RANGES));
    }
}

#[test]
fn what_was_sent_more_often_than_anybody_counts_is_still_sent() {
    let blob = Blob::new(GROUPS);
    for _ in 0..3 * TIMES {
        assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(GROUPS)).len(), GROUPS);
    }
    let (_, sending) = blob.0.choose(blob.1, blob.2, GroupRanges::all(GROUPS), Some(9));
    drop(sending);
    assert_eq!(blob.ask(GroupRanges::all(GROUPS), Some(9)), GroupRanges::from(0..9));
}
