//! One small blob on its way in: its encoding, verified as it comes, and taken apart when it is whole.

use shoal_content::{BadBytes, Decoder, Digest, GroupRanges, PARENT_LEN, Step, Tree};

/// The encoding of one blob on its way in, verified as far as it came.
pub(super) struct Blob {
    tree: Tree,
    decoder: Decoder,
    encoding: Vec<u8>,
    len: usize,
    verified: usize,
    /// What does not match. The rest is read, for other blobs come after it, and not looked at.
    pub(super) bad: Option<BadBytes>,
}

impl Blob {
    /// Expects the encoding of `ranges`, of a blob that is known to be small.
    pub(super) fn new(digest: Digest, tree: Tree, ranges: &GroupRanges) -> Self {
        let len = usize::try_from(tree.encoded_len(ranges)).unwrap_or(usize::MAX);
        let decoder = Decoder::new(digest, tree, ranges);
        let encoding = Vec::with_capacity(len);
        let mut blob = Self { tree, decoder, encoding, len, verified: 0, bad: None };
        // Of the empty blob nothing comes, and that is to be verified too.
        blob.verify();
        blob
    }

    /// Bytes that are still to come.
    pub(super) fn left(&self) -> usize {
        self.len.saturating_sub(self.encoding.len())
    }

    /// Takes what came. Tells whether any more of it is verified.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        self.encoding.extend_from_slice(bytes);
        let before = self.verified;
        self.verify();
        self.verified > before
    }

    fn verify(&mut self) {
        while let Some(step) = self.decoder.next_step().filter(|_| self.bad.is_none()) {
            let end = self.verified + step.len();
            let Some(part) = self.encoding.get(self.verified..end) else { return };
            let pushed = match step {
                Step::Parent { .. } => match part.first_chunk::<PARENT_LEN>() {
                    Some(pair) => self.decoder.push_parent(pair),
                    None => return,
                },
                Step::Leaf { .. } => self.decoder.push_leaf(part),
            };
            match pushed {
                Ok(()) => self.verified = end,
                Err(bad) => self.bad = Some(bad),
            }
        }
    }

    /// Takes a whole one apart into bytes and hash tree.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<u8>) {
        if self.tree.parents() == 0 {
            return (self.encoding, Vec::new());
        }
        let mut bytes = Vec::with_capacity(self.encoding.len());
        let mut pairs = Vec::new();
        let mut rest = self.encoding.as_slice();
        for step in self.tree.plan(&GroupRanges::all(self.tree.groups())) {
            let (part, after) = rest.split_at_checked(step.len()).unwrap_or((rest, &[]));
            rest = after;
            match step {
                Step::Parent { .. } => pairs.extend_from_slice(part),
                Step::Leaf { .. } => bytes.extend_from_slice(part),
            }
        }
        (bytes, pairs)
    }
}

#[cfg(test)]
mod tests {
    use shoal_content::{group_cv, parent_cv};

    use super::*;

    /// Bytes of a group.
    const GROUP: usize = 16 * 1024;

    /// Two groups: the digest, the pair and the bytes.
    fn two_groups() -> (Digest, Vec<u8>, Vec<u8>) {
        let bytes: Vec<u8> = (0..GROUP + 100).map(|at| (at / 7).to_le_bytes()[0]).collect();
        let (first, second) = bytes.split_at(GROUP);
        let pair = [group_cv(first, 0, false), group_cv(second, 1, false)];
        let digest = Digest::from_bytes(parent_cv(&pair[0], &pair[1], true));
        (digest, pair.concat(), bytes)
    }

    fn expected(digest: Digest, len: usize) -> Blob {
        let tree = Tree::new(len as u64);
        Blob::new(digest, tree, &GroupRanges::all(tree.groups()))
    }

    #[test]
    fn bytes_and_hash_tree_come_apart_however_they_came() {
        let (digest, pair, bytes) = two_groups();
        let encoding = [pair.as_slice(), &bytes].concat();
        for piece in [1, 63, 64, GROUP, GROUP + 64, encoding.len()] {
            let mut blob = expected(digest, bytes.len());
            let grew = encoding.chunks(piece).filter(|part| blob.take(part)).count();
            assert!((1..=3).contains(&grew), "the pair and two groups are proven one by one or together");
            assert_eq!((blob.left(), blob.verified), (0, encoding.len()));
            assert!(blob.bad.is_none());
            assert_eq!(blob.into_parts(), (bytes.clone(), pair.clone()));
        }
    }

    #[test]
    fn every_wrong_part_is_noticed_and_nothing_after_it_is_believed() {
        let (digest, pair, bytes) = two_groups();
        let encoding = [pair.as_slice(), &bytes].concat();
        for (wrong, believed) in [(0, 0), (63, 0), (64, 64), (64 + GROUP, 64 + GROUP)] {
            let mut forged = encoding.clone();
            forged[wrong] ^= 1;
            let mut blob = expected(digest, bytes.len());
            blob.take(&forged);
            assert!(blob.bad.is_some(), "byte {wrong}");
            assert_eq!((blob.left(), blob.verified), (0, believed), "byte {wrong}");
        }
    }

    #[test]
    fn an_empty_one_is_verified_though_nothing_comes() {
        assert!(expected(Digest::of(b""), 0).bad.is_none());
        assert!(expected(Digest::of(b"something"), 0).bad.is_some());
    }
}
