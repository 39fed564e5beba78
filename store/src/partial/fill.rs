//! Takes what a blob misses from another copy on this disk.

use shoal_content::{Decoder, GroupRanges, PARENT_LEN, Step};

use super::{Partial, Verified, WriteError};
use crate::{Blob, Cancel, ReadError};

/// Groups copied at once.
const BATCH_GROUPS: u64 = 64;

impl Partial {
    /// Copies what is missing from `blob`, as far as it has it, verifying each group.
    ///
    /// `progress` hears of bytes as they are copied. Blobs of other content are refused with the first group.
    pub fn fill(
        &self,
        blob: &Blob,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), WriteError> {
        self.claim_size(blob.size())?;
        let mut wanted = self.missing().intersection(blob.ranges());
        // The last group first: it proves the size, and whether there is room for all of it.
        let last = blob.tree().groups() - 1;
        let mut batch = wanted.intersection(&GroupRanges::from(last..last + 1));
        while !wanted.is_empty() {
            if cancel.is_cancelled() {
                return Err(WriteError::Cancelled);
            }
            progress(self.fill_batch(blob, Decoder::new(self.digest(), blob.tree(), &batch))?);
            wanted = wanted.difference(&batch);
            batch = wanted.first_groups(BATCH_GROUPS);
        }
        blob.recheck().map_err(WriteError::Read)
    }

    fn fill_batch(&self, blob: &Blob, mut decoder: Decoder) -> Result<u64, WriteError> {
        let mut pairs: Vec<(u64, [u8; PARENT_LEN])> = Vec::new();
        let mut leaves: Vec<(u64, Vec<u8>)> = Vec::new();
        let bad = |_| WriteError::Read(ReadError::NotThis);
        while let Some(step) = decoder.next_step() {
            match step {
                Step::Parent { index, .. } => {
                    let pair = blob.parent(index).map_err(WriteError::Read)?;
                    decoder.push_parent(&pair).map_err(bad)?;
                    pairs.push((index, pair));
                }
                Step::Leaf { group, offset, len, .. } => {
                    let mut bytes = vec![0; len];
                    blob.read_at(offset, &mut bytes).map_err(WriteError::Read)?;
                    decoder.push_leaf(&bytes).map_err(bad)?;
                    leaves.push((group, bytes));
                }
            }
        }
        let pairs = pairs.iter().map(|(index, pair)| Verified::Parent { index: *index, pair });
        let groups = leaves.iter().map(|(group, bytes)| Verified::Leaf { group: *group, bytes });
        self.write(&pairs.chain(groups).collect::<Vec<_>>())?;
        Ok(leaves.iter().map(|(_, bytes)| bytes.len() as u64).sum())
    }
}
