//! Finds out which groups of a part file are what they should be.

use std::{
    io, panic,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use shoal_content::{Digest, GROUP_LEN, GroupRanges, PARENT_LEN, Tree, group_cv, left_groups, parent_cv};

use super::Disk;
use crate::{blob::all_threads, hash::SPAN_GROUPS, lock::lock};

#[expect(clippy::cast_possible_truncation, reason = "a group fits in any memory")]
const GROUP_BYTES: usize = GROUP_LEN as usize;

/// A subtree whose hash is known to be right.
struct Node {
    first: u64,
    groups: u64,
    slot: u64,
    cv: [u8; 32],
    is_root: bool,
}

/// Hashes what is in the part file against the pairs in the hash tree, and those against the digest.
///
/// Nothing is believed; what does not verify is simply not there. Only subtrees that the pairs lead to are
/// read, so the work is that of what was received, not that of the size that was claimed.
pub(super) fn recover(digest: &Digest, tree: Tree, disk: &Disk) -> io::Result<GroupRanges> {
    let root = Node { first: 0, groups: tree.groups(), slot: 0, cv: *digest.as_bytes(), is_root: true };
    let mut spans = Vec::new();
    find_spans(disk, root, &mut spans)?;
    let next = AtomicUsize::new(0);
    let have = Mutex::new(GroupRanges::empty());
    let work = || -> io::Result<()> {
        let mut buffer = vec![0; GROUP_BYTES];
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut found = GroupRanges::empty();
            check_node(disk, tree, span, &mut buffer, &mut found)?;
            let mut have = lock(&have);
            found.iter().for_each(|range| have.insert(range));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..all_threads().get()).map(|_| scope.spawn(work)).collect();
        work()?;
        helpers.into_iter().try_for_each(|h| h.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })?;
    Ok(have.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Walks down from the root as far as the pairs are right, to subtrees that one thread checks alone.
fn find_spans(disk: &Disk, node: Node, spans: &mut Vec<Node>) -> io::Result<()> {
    if node.groups <= SPAN_GROUPS {
        spans.push(node);
    } else if let Some([left, right]) = children(disk, &node)? {
        find_spans(disk, left, spans)?;
        find_spans(disk, right, spans)?;
    }
    Ok(())
}

fn check_node(
    disk: &Disk,
    tree: Tree,
    node: &Node,
    buffer: &mut [u8],
    found: &mut GroupRanges,
) -> io::Result<()> {
    if node.groups > 1 {
        for child in children(disk, node)?.iter().flatten() {
            check_node(disk, tree, child, buffer, found)?;
        }
        return Ok(());
    }
    let span = tree.group_span(node.first);
    let len = usize::try_from(span.end - span.start).map_err(io::Error::other)?;
    let Some(buffer) = buffer.get_mut(..len) else {
        return Ok(());
    };
    if is_there(disk.data.read_exact_at(buffer, span.start))?
        && group_cv(buffer, node.first, node.is_root) == node.cv
    {
        found.insert(node.first..node.first + 1);
    }
    Ok(())
}

/// The children of a node of two groups or more, if its pair is there and right.
fn children(disk: &Disk, node: &Node) -> io::Result<Option<[Node; 2]>> {
    let mut pair = [0; PARENT_LEN];
    if !is_there(disk.pairs.read_exact_at(&mut pair, node.slot * PARENT_LEN as u64))? {
        return Ok(None);
    }
    let (halves, _) = pair.as_chunks::<32>();
    let [left_cv, right_cv] = *halves else {
        return Ok(None);
    };
    if parent_cv(&left_cv, &right_cv, node.is_root) != node.cv {
        return Ok(None);
    }
    let left = left_groups(node.groups);
    let right = node.groups - left;
    Ok(Some([
        Node { first: node.first, groups: left, slot: node.slot + 1, cv: left_cv, is_root: false },
        Node {
            first: node.first + left,
            groups: right,
            slot: node.slot + left,
            cv: right_cv,
            is_root: false,
        },
    ]))
}

/// Reading beyond the end of a file finds nothing there, which is no failure of the disk.
fn is_there(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
