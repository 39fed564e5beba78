//! Tests of checking a hash tree without its blob.

use std::io::Write;

use shoal_content::SIZES;

use super::*;
use crate::{
    files::Files,
    testing::{Sender, pattern},
};

fn in_file(digest: &Digest, tree: Tree, pairs: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pairs).unwrap();
    is_right_in_file(digest, tree, &Files::default().open_source(file.path()).unwrap()).unwrap()
}

#[test]
fn a_right_tree_is_right_and_one_bit_makes_it_wrong() {
    for &(size, _) in SIZES {
        let sender = Sender::new(pattern(size, 1));
        assert!(is_right_in_memory(&sender.digest, sender.tree, &sender.pairs));
        assert!(in_file(&sender.digest, sender.tree, &sender.pairs));
        for at in (0..sender.pairs.len()).step_by(61) {
            let mut pairs = sender.pairs.clone();
            pairs[at] ^= 0x10;
            assert!(!is_right_in_memory(&sender.digest, sender.tree, &pairs), "{size} {at}");
        }
        if let Some((_, cut)) = sender.pairs.split_last() {
            assert!(!is_right_in_memory(&sender.digest, sender.tree, cut));
            assert!(!in_file(&sender.digest, sender.tree, cut));
        }
    }
}

#[test]
fn a_tree_longer_than_a_chunk_is_read_in_chunks() {
    let sender = Sender::new(pattern((CHUNK_PAIRS + 10) * shoal_content::GROUP_LEN, 1));
    assert!(in_file(&sender.digest, sender.tree, &sender.pairs));
    let mut pairs = sender.pairs.clone();
    *pairs.last_mut().unwrap() ^= 1;
    assert!(!in_file(&sender.digest, sender.tree, &pairs));
}
