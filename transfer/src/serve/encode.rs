//! Reads blobs and encodes the answers to a request, batch by batch, on a thread that may block.
//!
//! Small blobs share a batch: opening, reading and encoding many of them is one job and one write.

use std::vec;

use libp2p::PeerId;
use shoal_content::{Decoder, Digest, GroupRanges, MAX_RANGE_PAIRS, PARENT_LEN, Plan, Step};
use shoal_store::{Blob, Lead, ReadError};

use super::spread::{Sending, Spread};
use super::{Library, Outcome, Served};
use crate::wire::{self, Body, Header, MAX_HEADER_LEN, Mark, Name, Request, Want};

/// Bytes of a batch: large against a system call, small against the second-level cache.
const BATCH_LEN: usize = 256 * 1024;

/// Room a batch may need beyond [`BATCH_LEN`]: its last header or step, and the marks around it.
const SLACK_LEN: usize = 64 * 1024;

/// Room for what a blob has in a batch beside its encoding.
const OVERHEAD_LEN: u64 = 64;

/// Wants looked up at once. More would find the files of a directory a little quicker, and hold the hash trees of more files
/// for as long as a slow peer takes: 4 KiB for each of a megabyte.
const LOOKED_UP_AT_ONCE: usize = 256;

/// Length of a mark.
const MARK_LEN: usize = 4;

/// The answers to a request, in the making.
pub(super) struct Answers<L> {
    library: L,
    spread: Spread,
    between: Between,
    body: Body,
    wants: vec::IntoIter<Want>,
    /// What the next of these are, and where they may be found.
    found: vec::IntoIter<(Option<Digest>, Lead)>,
    current: Option<Encoder>,
}

/// Who asks whom: a pass is good between these two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    pub(super) asker: PeerId,
    pub(super) holder: PeerId,
}

/// Some of a response, ready to be written.
pub(super) struct Batch<L> {
    pub(super) out: Out,
    /// Bytes of encoding in it.
    pub(super) payload: u64,
    /// What the wants name whose answers begin in it, whether that is here or not.
    pub(super) asked: Vec<Digest>,
    /// The wants whose answers end in it.
    pub(super) answered: Vec<Served>,
    /// A blob that turned out not to be what it was, without a trace: a group does not match its hash.
    pub(super) bad: Option<Digest>,
    /// What goes on with the next batch, if this was not all.
    pub(super) rest: Option<Answers<L>>,
}

/// One blob on its way out.
struct Encoder {
    digest: Digest,
    blob: Blob,
    plan: Plan,
    body: Body,
    /// Checks what is sent, if the file may have changed without a trace.
    verifier: Option<Decoder>,
    /// Bytes still to be encoded, as far as known: what a buffer is worth growing for.
    left: u64,
    /// What of it is still to be sent, if anybody keeps count.
    sending: Option<Sending>,
}

/// How the encoding of a blob ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Changed,
    /// Changed without a trace.
    Bad,
    Failed,
}

impl<L: Library + Clone> Answers<L> {
    pub(super) fn new(library: L, spread: Spread, between: Between, request: Request) -> Self {
        let (body, wants, found) = (request.body, request.wants.into_iter(), Vec::new().into_iter());
        Answers { library, spread, between, body, wants, found, current: None }
    }

    pub(super) fn library(&self) -> L {
        self.library.clone()
    }

    /// Fills a batch.
    pub(super) fn fill(mut self, mut out: Out) -> Batch<L> {
        out.filled = 0;
        let (mut payload, mut asked, mut answered, mut bad) = (0, Vec::new(), Vec::new(), None);
        if let Some(encoder) = &self.current {
            out.expect(encoder.left);
        }
        // A bad blob ends its batch, so that one is all there is to report.
        while !out.is_full() && bad.is_none() {
            if let Some(encoder) = &mut self.current {
                let (encoded, end) = encoder.encode(&mut out);
                payload += encoded;
                let Some(end) = end else { break };
                bad = (end == End::Bad).then_some(encoder.digest);
                answered.push(Served { digest: Some(encoder.digest), outcome: end.outcome() });
                self.current = None;
            } else if let Some((want, (digest, lead))) = self.next_want() {
                asked.extend(digest);
                match self.open(digest, &want, lead) {
                    Ok((header, encoder)) => {
                        out.put(&header.to_frame());
                        out.expect(encoder.left);
                        self.current = Some(encoder);
                    }
                    Err((header, outcome)) => {
                        out.put(&header.to_frame());
                        answered.push(Served { digest, outcome });
                    }
                }
            } else {
                return Batch { out, payload, asked, answered, bad, rest: None };
            }
        }
        let is_done = self.current.is_none() && self.wants.len() == 0;
        Batch { out, payload, asked, answered, bad, rest: (!is_done).then_some(self) }
    }

    /// The digest of what is wanted, if whoever asks knows it. With a wrong pass nothing is here.
    fn digest_of(&self, name: &Name) -> Option<Digest> {
        match name {
            Name::Digest(digest) => Some(*digest),
            Name::Key { key, pass } => {
                let Between { asker, holder } = &self.between;
                self.library.digest_for(key).filter(|digest| wire::pass(digest, asker, holder) == *pass)
            }
        }
    }

    /// The next want, its digest if whoever asks knows it, and where it may be found.
    fn next_want(&mut self) -> Option<(Want, (Option<Digest>, Lead))> {
        if self.found.len() == 0 {
            let next = self.wants.as_slice().iter().take(LOOKED_UP_AT_ONCE);
            let digests: Vec<_> = next.map(|want| self.digest_of(&want.name)).collect();
            let known: Vec<_> = digests.iter().flatten().copied().collect();
            // Of one by itself there is nothing to gain.
            let leads = if known.len() > 1 { self.library.look_up(&known) } else { Vec::new() };
            let mut leads = leads.into_iter();
            let mut lead = |digest: &Option<Digest>| digest.and_then(|_| leads.next()).unwrap_or_default();
            let found: Vec<_> = digests.iter().map(|digest| (*digest, lead(digest))).collect();
            self.found = found.into_iter();
        }
        Some((self.wants.next()?, self.found.next().unwrap_or_default()))
    }

    /// Finds what is here of what is wanted.
    fn open(
        &self,
        digest: Option<Digest>,
        want: &Want,
        lead: Lead,
    ) -> Result<(Header, Encoder), (Header, Outcome)> {
        let Some(digest) = digest else { return Err((Header::NotFound, Outcome::NotFound)) };
        match self.library.open(&digest, lead) {
            Ok(Some(blob)) => Ok(Encoder::new(blob, digest, want, self.body, &self.spread)),
            Ok(None) | Err(ReadError::NotHere) => Err((Header::NotFound, Outcome::NotFound)),
            Err(ReadError::Changed { .. } | ReadError::Missing { .. }) => {
                Err((Header::Changed, Outcome::Changed))
            }
            Err(ReadError::Checking { .. }) => Err((Header::Busy, Outcome::Checking)),
            Err(error) => {
                tracing::debug!(%digest, %error, "cannot serve");
                Err((Header::Failed, Outcome::Unreadable))
            }
        }
    }
}

impl End {
    fn mark(self) -> Mark {
        match self {
            End::Complete => Mark::Complete,
            End::Changed | End::Bad => Mark::Changed,
            End::Failed => Mark::Failed,
        }
    }

    fn outcome(self) -> Outcome {
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
    fn new(blob: Blob, digest: Digest, want: &Want, body: Body, spread: &Spread) -> (Header, Self) {
        let tree = blob.tree();
        let asked = tree.clip(&want.ranges);
        let held = asked.intersection(blob.ranges());
        // A set cut short on its way out is as good as one that was held in part.
        let held: GroupRanges = held.iter().take(MAX_RANGE_PAIRS).collect();
        let (here, sending) = match body {
            Body::Content => spread.choose(digest, tree, held, want.most),
            Body::HashesOnly => {
                (want.most.map_or_else(|| held.clone(), |most| held.first_groups(most)), None)
            }
        };
        let header = Header::Follows { size: tree.size(), ranges: (here != asked).then(|| here.clone()) };
        let verifier =
            (blob.needs_verifying() && body == Body::Content).then(|| Decoder::new(digest, tree, &here));
        let (plan, left) = (tree.plan(&here), tree.encoded_len(&here));
        (header, Encoder { digest, plan, body, verifier, left, sending, blob })
    }

    /// Encodes into what room the batch has. Gives the bytes of encoding, and how it ended if it did.
    fn encode(&mut self, out: &mut Out) -> (u64, Option<End>) {
        let mark_at = out.filled;
        out.put(&[0; MARK_LEN]);
        let start = out.filled;
        let (mut end, mut is_done, mut leaves) = (None, false, Leaves::default());
        while end.is_none() && !is_done && !out.is_full() {
            match self.plan.next() {
                Some(step) => end = self.step(step, out, &mut leaves).err(),
                None => is_done = true,
            }
        }
        if let Err(error) = leaves.read(&self.blob, out) {
            out.filled = start;
            end = Some(error.into());
        } else if is_done {
            end = Some(self.blob.recheck().map_or_else(End::from, |()| End::Complete));
        }
        if let Some(sending) = self.sending.as_mut().filter(|_| out.filled > start) {
            sending.sent_before(leaves.end);
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
        let payload = payload as u64;
        self.left = self.left.saturating_sub(payload);
        (payload, end)
    }

    fn step(&mut self, step: Step, out: &mut Out, leaves: &mut Leaves) -> Result<(), End> {
        match step {
            Step::Parent { index, .. } => {
                let pair = self.blob.parent(index)?;
                if let Some(verifier) = &mut self.verifier {
                    verifier.push_parent(&pair).map_err(|_| End::Bad)?;
                }
                out.put(&pair);
            }
            Step::Leaf { group, offset, len, .. } if self.body == Body::Content => {
                let (at, bytes) = (out.filled, out.space(len));
                if let Some(verifier) = &mut self.verifier {
                    self.blob.read_at(offset, bytes)?;
                    verifier.push_leaf(bytes).map_err(|_| End::Bad)?;
                } else {
                    leaves.unread.push(Leaf { offset, at, len });
                }
                out.filled += len;
                leaves.end = group + 1;
            }
            Step::Leaf { .. } => {}
        }
        Ok(())
    }
}

/// The groups of a blob in a batch.
#[derive(Default)]
struct Leaves {
    /// Those that have their place and are yet to be read: neighbours in the file are read with one call.
    unread: Vec<Leaf>,
    /// The group after the last.
    end: u64,
}

struct Leaf {
    offset: u64,
    at: usize,
    len: usize,
}

impl Leaves {
    fn read(&mut self, blob: &Blob, out: &mut Out) -> Result<(), ReadError> {
        let mut rest = out.buffer.as_mut_slice();
        let mut rest_at = 0;
        let (mut run, mut run_from, mut run_to) = (Vec::new(), 0, 0);
        for Leaf { offset, at, len } in self.unread.drain(..) {
            let (_, from_here) = rest.split_at_mut_checked(at - rest_at).ok_or(ReadError::NotHere)?;
            let (place, behind) = from_here.split_at_mut_checked(len).ok_or(ReadError::NotHere)?;
            (rest, rest_at) = (behind, at + len);
            if offset != run_to {
                blob.read_slices_at(run_from, &mut run)?;
                run.clear();
                run_from = offset;
            }
            run.push(place);
            run_to = offset + len as u64;
        }
        blob.read_slices_at(run_from, &mut run)
    }
}

/// A buffer that is filled from the front, and keeps its memory from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Out {
    buffer: Vec<u8>,
    filled: usize,
}

impl Out {
    /// What was put.
    pub(super) fn ready(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.filled >= BATCH_LEN
    }

    /// Makes room for an encoding of this length, or for as much of it as goes into a batch.
    fn expect(&mut self, encoded: u64) {
        let wanted = encoded.saturating_add(OVERHEAD_LEN);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).saturating_add(self.filled);
        let len = wanted.min(BATCH_LEN + SLACK_LEN);
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
    }

    fn space(&mut self, len: usize) -> &mut [u8] {
        let end = self.filled + len;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        self.buffer.get_mut(self.filled..end).unwrap_or_default()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
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
