//! Checks a stored hash tree against its digest, without reading the blob.

use std::io;

use shoal_content::{Digest, PARENT_LEN, Tree, left_groups, parent_cv};

use crate::{blob::pair_in, files::Handle};

#[cfg(test)]
mod tests;

/// Pairs read at once.
const CHUNK_PAIRS: u64 = 4096;

/// Whether each pair hashes to the value above it, and the first to the digest.
///
/// What a pair says about groups is covered too: it is part of what is hashed.
pub(crate) fn is_right_in_memory(digest: &Digest, tree: Tree, pairs: &[u8]) -> bool {
    let mut index = 0;
    let right = is_right(digest, tree, || {
        index += 1;
        Ok(pair_in(pairs, index - 1))
    });
    right.unwrap_or(false)
}

/// The same for a tree in a file.
pub(crate) fn is_right_in_file(digest: &Digest, tree: Tree, file: &Handle) -> io::Result<bool> {
    let (mut index, mut start, mut chunk) = (0, 0, Vec::new());
    is_right(digest, tree, || {
        if index >= start + chunk.len() as u64 / PARENT_LEN as u64 {
            start = index;
            let pairs = (tree.parents() - start).min(CHUNK_PAIRS);
            chunk.resize(usize::try_from(pairs).map_err(io::Error::other)? * PARENT_LEN, 0);
            match file.read_exact_at(&mut chunk, start * PARENT_LEN as u64) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
        }
        index += 1;
        Ok(pair_in(&chunk, index - 1 - start))
    })
}

/// Walks the tree in the order in which its pairs are stored.
fn is_right(
    digest: &Digest,
    tree: Tree,
    mut next_pair: impl FnMut() -> io::Result<Option<[u8; PARENT_LEN]>>,
) -> io::Result<bool> {
    // Nodes to come, the next one last: how many groups, and the value that it must have.
    let mut nodes = vec![(tree.groups(), *digest.as_bytes())];
    while let Some((groups, expected)) = nodes.pop() {
        if groups == 1 {
            continue;
        }
        let Some(pair) = next_pair()? else {
            return Ok(false);
        };
        let (&[left, right], _) = pair.as_chunks::<32>() else {
            return Ok(false);
        };
        if parent_cv(&left, &right, groups == tree.groups()) != expected {
            return Ok(false);
        }
        let left_groups = left_groups(groups);
        nodes.extend([(groups - left_groups, right), (left_groups, left)]);
    }
    Ok(true)
}
