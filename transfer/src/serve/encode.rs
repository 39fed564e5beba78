//! Reads a blob and encodes the ranges of a response, batch by batch, on a thread that may block.

use shoal_content::{Decoder, GroupRanges, PARENT_LEN, Plan, Step};
use shoal_store::{Blob, ReadError};

use super::Outcome;
use crate::wire::{MAX_HEADER_LEN, Mark, Request, Want};

/// Bytes of encoding per batch: large against a system call, small against the second-level cache.
const BATCH_LEN: usize = 256 * 1024;

/// Room a batch may need beyond [`BATCH_LEN`]: its last step, the marks around it, and a header of many ranges.
const SLACK_LEN: usize = 64 * 1024;

/// Length of a mark.
const MARK_LEN: usize = 4;

/// A response in the making.
pub(super) struct Encoder {
    blob: Blob,
    plan: Plan,
    want: Want,
    /// Checks what is sent, if the file may have changed without a trace.
    verifier: Option<Decoder>,
    /// Bytes still to be encoded, as far as known: what a buffer is worth allocating.
    left: u64,
}

/// Some of a response, ready to be written.
pub(super) struct Batch {
    pub(super) buffer: Vec<u8>,
    pub(super) filled: usize,
    /// Bytes of encoding in it.
    pub(super) payload: u64,
    /// What goes on with the next batch, or how the response ends with this one.
    pub(super) next: Result<Encoder, End>,
}

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Changed,
    /// Changed without a trace: a group does not match its hash.
    Bad,
    Failed,
}

impl End {
    fn mark(self) -> Mark {
        match self {
            End::Complete => Mark::Complete,
            End::Changed | End::Bad => Mark::Changed,
            End::Failed => Mark::Failed,
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            End::Complete => Outcome::Sent,
            End::Changed | End::Bad => Outcome::Changed,
            End::Failed => Outcome::Unreadable,
        }
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Changed { .. } | ReadError::Missing { .. } => End::Changed,
            // A partial blob that was given up, or whose size was a lie, is not here any more either.
            ReadError::NotHere => End::Changed,
            error => {
                tracing::debug!(%error, "a response ends early");
                End::Failed
            }
        }
    }
}

impl Encoder {
    pub(super) fn new(blob: Blob, request: &Request, ranges: &GroupRanges) -> Self {
        let tree = blob.tree();
        let verifier = (blob.needs_verifying() && request.want == Want::Content)
            .then(|| Decoder::new(request.digest, tree, ranges));
        Encoder {
            plan: tree.plan(ranges),
            want: request.want,
            verifier,
            left: tree.encoded_len(ranges),
            blob,
        }
    }

    /// A buffer for the next batch; empty if one batch will be all.
    pub(super) fn buffer(&self) -> Vec<u8> {
        if self.left > BATCH_LEN as u64 { vec![0; BATCH_LEN + SLACK_LEN] } else { Vec::new() }
    }

    /// Encodes the next batch after `prefix`.
    pub(super) fn fill(mut self, prefix: &[u8], mut buffer: Vec<u8>) -> Batch {
        if buffer.is_empty() {
            let left = usize::try_from(self.left).unwrap_or(BATCH_LEN);
            buffer.resize(left.min(BATCH_LEN) + SLACK_LEN, 0);
        }
        let mut out = Out { buffer: &mut buffer, filled: 0 };
        out.put(prefix);
        let mark_at = out.filled;
        out.put(&[0; MARK_LEN]);
        let start = out.filled;
        let mut end = None;
        while end.is_none() && out.filled - start < BATCH_LEN {
            end = match self.plan.next() {
                Some(step) => self.step(step, &mut out).err(),
                None => Some(self.blob.recheck().map_or_else(End::from, |()| End::Complete)),
            };
        }
        let payload = out.filled - start;
        if payload == 0 {
            out.filled = mark_at;
        } else {
            let mark = Mark::Chunk(u32::try_from(payload).unwrap_or(0)).to_bytes();
            out.put_at(mark_at, &mark);
        }
        if let Some(end) = end {
            out.put(&end.mark().to_bytes());
        }
        let filled = out.filled;
        let payload = payload as u64;
        self.left = self.left.saturating_sub(payload);
        Batch { buffer, filled, payload, next: end.map_or(Ok(self), Err) }
    }

    fn step(&mut self, step: Step, out: &mut Out<'_>) -> Result<(), End> {
        match step {
            Step::Parent { index, .. } => {
                let pair = self.blob.parent(index)?;
                if let Some(verifier) = &mut self.verifier {
                    verifier.push_parent(&pair).map_err(|_| End::Bad)?;
                }
                out.put(&pair);
            }
            Step::Leaf { offset, len, .. } if self.want == Want::Content => {
                let Some(bytes) = out.space(len) else {
                    return Err(End::Failed);
                };
                self.blob.read_at(offset, bytes)?;
                if let Some(verifier) = &mut self.verifier {
                    verifier.push_leaf(bytes).map_err(|_| End::Bad)?;
                }
                out.filled += len;
            }
            Step::Leaf { .. } => {}
        }
        Ok(())
    }
}

/// A buffer that is filled from the front. It is as long as a batch can be, so that nothing is lost.
struct Out<'a> {
    buffer: &'a mut [u8],
    filled: usize,
}

impl Out<'_> {
    fn space(&mut self, len: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.filled..)?.get_mut(..len)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.put_at(self.filled, bytes);
        self.filled += bytes.len();
    }

    fn put_at(&mut self, at: usize, bytes: &[u8]) {
        if let Some(space) = self.buffer.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            space.copy_from_slice(bytes);
        }
    }
}

// The slack holds what a batch can have beyond its length; the largest header is well below half its cap.
const _: () = assert!(
    SLACK_LEN as u64 >= (MAX_HEADER_LEN / 2 + PARENT_LEN + 3 * MARK_LEN) as u64 + shoal_content::GROUP_LEN
);
