//! What must hold for any bytes whatever: shared by the fuzz targets and the replay of their seeds.

use data_encoding::BASE32_NOPAD;
use shoal_content::{
    Cid, Decoder, Digest, GROUP_LEN, GroupRanges, Link, PARENT_LEN, RelPath, Root, Step, Ticket, Tree,
    group_cv, left_groups, parent_cv,
};

/// Checks one input, and says whether it was accepted.
pub(crate) type Check = fn(&[u8]) -> bool;

/// Every target by name, which is also the name of its folder of seeds.
#[allow(dead_code, reason = "each fuzz target uses one check and not the list")]
pub(crate) const CHECKS: [(&str, Check); 4] =
    [("cid_link", cid_link), ("manifest", manifest), ("range_decoder", range_decoder), ("ticket", ticket)];

/// Any text is refused as a link, or prints as a text that means the same.
pub(crate) fn cid_link(input: &[u8]) -> bool {
    let from_bytes = Cid::from_bytes(input);
    if let Ok(cid) = from_bytes {
        assert_eq!(cid.to_bytes(), input);
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return from_bytes.is_ok();
    };
    if let Ok(path) = RelPath::parse(text) {
        assert_eq!(path.as_str(), text);
        assert!(path.components().all(|name| !matches!(name, "" | "." | "..")));
    }
    match text.parse() {
        Ok(Link::Cid(cid)) => {
            assert_eq!(cid.to_string().parse(), Ok(cid));
            true
        }
        _ => false,
    }
}

/// Any bytes are refused as a ticket, or are the one way to write it.
pub(crate) fn ticket(input: &[u8]) -> bool {
    if let Some(ticket) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<Ticket>().ok()) {
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
        return true;
    }
    // A fuzzer does not guess checksums.
    let hash = blake3::hash(input);
    let bytes = [input, &hash.as_bytes()[..4]].concat();
    let text = format!("shoal1{}", BASE32_NOPAD.encode(&bytes).to_lowercase());
    let ticket = text.parse::<Ticket>();
    if let Ok(ticket) = &ticket {
        assert_eq!(ticket.to_string(), text);
    }
    ticket.is_ok()
}

/// Any bytes are refused as a manifest, or are the one way to write it.
pub(crate) fn manifest(input: &[u8]) -> bool {
    let root = Root::decode(input);
    match &root {
        Ok(Root::Flat(manifest)) => {
            let encoded = manifest.encode();
            assert_eq!(encoded.root, input);
            assert!(encoded.pages.is_empty());
            assert!(manifest.entries().is_sorted_by(|a, b| a.path < b.path));
            let sizes = manifest.entries().iter().map(|e| u128::from(e.size));
            assert_eq!(u128::from(manifest.total_size()), sizes.sum::<u128>());
        }
        // No input is long enough to be the pages of a manifest that needs them.
        Ok(Root::Paged(pages)) => assert!(pages.assemble([input]).is_err()),
        Err(_) => {}
    }
    root.is_ok()
}

/// Plays a script of true, damaged and misplaced bytes to a decoder.
///
/// The first six bytes say how large the blob is, what size is claimed, and which groups are asked for; each
/// byte after them is one push. Whatever the script, only true bytes are accepted and only the true size is proven.
pub(crate) fn range_decoder(input: &[u8]) -> bool {
    let Some((&[size_low, size_high, size_top, lie, start, len], script)) = input.split_first_chunk() else {
        return false;
    };
    let size = u32::from_le_bytes([size_low, size_high, size_top & 1, 0]);
    let data: Vec<u8> = (0..size).map(|i| (i / 5 + i / 1024 * 3).to_le_bytes()[0]).collect();
    let outboard = outboard(&data, 0, true).1;
    let claim = u64::from(size).saturating_add_signed(i64::from(lie.cast_signed()) * 257);
    let ranges = GroupRanges::from(u64::from(start)..u64::from(start) + u64::from(len));
    let mut decoder = Decoder::new(Digest::of(&data), Tree::new(claim), &ranges);
    for op in script {
        let Some(step) = decoder.next_step() else { break };
        let (source, at) = match step {
            Step::Parent { index, .. } => (&outboard, index * PARENT_LEN as u64),
            Step::Leaf { offset, .. } => (&data, offset),
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(source.len());
        let mut item = source[at..].to_vec();
        item.resize(step.len(), 0);
        let truth = item.clone();
        match op % 4 {
            0 => {}
            1 if !item.is_empty() => {
                let at = usize::from(*op) * 67 % item.len();
                item[at] ^= op | 1;
            }
            2 => item.push(*op),
            _ => item.truncate(usize::from(*op)),
        }
        let is_pair = matches!(step, Step::Parent { .. }) != (op & 0x80 != 0);
        let pushed = match item.first_chunk() {
            Some(pair) if is_pair => decoder.push_parent(pair),
            _ => decoder.push_leaf(&item),
        };
        if pushed.is_ok() && matches!(step, Step::Leaf { .. }) {
            assert!(item == truth && at + item.len() <= data.len(), "accepted what is not in the blob");
        }
        assert!(pushed.is_ok() || decoder.next_step() == Some(step), "a refusal changed something");
    }
    assert!(!decoder.size_is_proven() || claim == u64::from(size));
    decoder.is_done()
}

/// Gives the hash of a subtree and its part of the outboard.
fn outboard(data: &[u8], first_group: u64, is_root: bool) -> ([u8; 32], Vec<u8>) {
    let groups = Tree::new(data.len() as u64).groups();
    if groups == 1 {
        return (group_cv(data, first_group, is_root), Vec::new());
    }
    let left = left_groups(groups);
    let (left_data, right_data) = data.split_at(usize::try_from(left * GROUP_LEN).unwrap_or(usize::MAX));
    let (left_cv, left_pairs) = outboard(left_data, first_group, false);
    let (right_cv, right_pairs) = outboard(right_data, first_group + left, false);
    let pairs = [&left_cv, &right_cv, left_pairs.as_slice(), &right_pairs].concat();
    (parent_cv(&left_cv, &right_cv, is_root), pairs)
}
