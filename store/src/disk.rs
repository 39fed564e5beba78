//! The rows of the database and the records in files, byte for byte.
//!
//! Each is a DAG-CBOR array that starts with the version of its form. A row that does not decode is
//! [`Damaged`], never a panic: disks rot.

use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::{ByteArray, ByteBuf, Bytes};
use shoal_content::{Cid, Digest, GroupRanges};

use crate::stamp::{FileId, Stamp};

#[cfg(test)]
mod tests;

/// Version of every form below; they change together.
const VERSION: u8 = 1;

/// Most ranges kept in the record of a partial blob. What is left out is found again by hashing; without a
/// bound, a peer that sends every other group makes each sync write megabytes.
const MAX_RECORDED_RANGES: usize = 64 * 1024;

/// Length of the checksum that ends a record in a file.
const CHECKSUM_LEN: usize = 16;

/// Bytes on disk are not what was written.
#[derive(Debug)]
pub(crate) struct Damaged;

/// Where the hash tree of a blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outboard {
    /// In the row. Empty for a blob of one group.
    Inline(Vec<u8>),
    /// In a file named after the digest.
    File,
}

/// Table `blobs`, by digest: what is known of a blob wherever it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobRow {
    pub(crate) size: u64,
    pub(crate) outboard: Outboard,
}

impl BlobRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let inline = match &self.outboard {
            Outboard::Inline(pairs) => Some(Bytes::new(pairs)),
            Outboard::File => None,
        };
        encode(&(VERSION, self.size, inline))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (version, size, inline): (u8, u64, Option<ByteBuf>) = decode(bytes)?;
        check(version)?;
        Ok(Self { size, outboard: inline.map_or(Outboard::File, |pairs| Outboard::Inline(pairs.into_vec())) })
    }
}

/// What is known of the bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceState {
    /// They have the digest as long as the stamp holds.
    Good,
    /// So they had, but they were so fresh that each group is to be verified as it is sent.
    Fresh,
    /// They have another digest as long as the stamp holds.
    Changed,
}

/// Table `sources`, by path: the content of a file in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceRow {
    pub(crate) digest: Digest,
    pub(crate) stamp: Stamp,
    pub(crate) state: SourceState,
}

impl SourceRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let state: u8 = match self.state {
            SourceState::Good => 0,
            SourceState::Fresh => 1,
            SourceState::Changed => 2,
        };
        encode(&(VERSION, ByteArray::new(*self.digest.as_bytes()), stamp_tuple(&self.stamp), state))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (version, digest, stamp, state): (u8, ByteArray<32>, StampTuple, u8) = decode(bytes)?;
        check(version)?;
        let state = match state {
            0 => SourceState::Good,
            1 => SourceState::Fresh,
            2 => SourceState::Changed,
            _ => return Err(Damaged),
        };
        Ok(Self { digest: Digest::from_bytes(digest.into_array()), stamp: stamp_of(stamp), state })
    }
}

/// Table `shares`, by path: what the user published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareRow {
    pub(crate) cid: Cid,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) files: u64,
    /// Seconds since 1970.
    pub(crate) published_at: u64,
}

impl ShareRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let cid = self.cid.to_bytes();
        encode(&(VERSION, Bytes::new(&cid), &self.name, self.size, self.files, self.published_at))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (version, cid, name, size, files, published_at): (u8, ByteBuf, String, u64, u64, u64) =
            decode(bytes)?;
        check(version)?;
        let cid = Cid::from_bytes(&cid).map_err(|_| Damaged)?;
        Ok(Self { cid, name, size, files, published_at })
    }
}

/// Table `downloads`, by path: a folder in which a directory is being put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DownloadRow {
    pub(crate) cid: Cid,
    pub(crate) id: FileId,
}

impl DownloadRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(&(VERSION, Bytes::new(&self.cid.to_bytes()), self.id.inode, self.id.born_ns))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (version, cid, inode, born_ns): (u8, ByteBuf, u64, i64) = decode(bytes)?;
        check(version)?;
        Ok(Self { cid: Cid::from_bytes(&cid).map_err(|_| Damaged)?, id: FileId { inode, born_ns } })
    }
}

/// Files `partials/NAME.a` and `.b`: how far a partial blob has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialRecord {
    /// One more than in the record before; the higher of two is the later.
    pub(crate) sequence: u64,
    pub(crate) digest: Digest,
    /// The part file, as the bytes of its path.
    pub(crate) part: Vec<u8>,
    pub(crate) id: FileId,
    /// The stamp of the part file after everything in `have` was durable.
    pub(crate) stamp: Stamp,
    /// The size somebody claimed, under which everything was verified.
    pub(crate) size: u64,
    pub(crate) have: GroupRanges,
}

type PartialTuple = (u8, u64, ByteArray<32>, ByteBuf, (u64, i64), StampTuple, u64, Vec<(u64, u64)>);

impl PartialRecord {
    /// Encodes the record, with fewer ranges rather than too many, and a checksum at its end.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let have: Vec<_> = self.have.pairs().take(MAX_RECORDED_RANGES).collect();
        let tuple: PartialTuple = (
            VERSION,
            self.sequence,
            ByteArray::new(*self.digest.as_bytes()),
            ByteBuf::from(self.part.clone()),
            (self.id.inode, self.id.born_ns),
            stamp_tuple(&self.stamp),
            self.size,
            have,
        );
        let mut bytes = encode(&tuple);
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(Damaged)?;
        if checksum(body) != *sum {
            return Err(Damaged);
        }
        let (version, sequence, digest, part, (inode, born_ns), stamp, size, have): PartialTuple =
            decode(body)?;
        check(version)?;
        let mut ranges = GroupRanges::empty();
        for (start, len) in have {
            ranges.insert(start..start.checked_add(len).ok_or(Damaged)?);
        }
        Ok(Self {
            sequence,
            digest: Digest::from_bytes(digest.into_array()),
            part: part.into_vec(),
            id: FileId { inode, born_ns },
            stamp: stamp_of(stamp),
            size,
            have: ranges,
        })
    }
}

/// A line of the journal: what a share became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalLine {
    pub(crate) path: Vec<u8>,
    /// Nothing when the path was unpublished.
    pub(crate) cid: Option<Cid>,
}

/// How bytes at the end of [`encode`](JournalLine::encode)d lines are told from text that was cut off.
const JOURNAL_SEPARATOR: u8 = b'\n';

impl JournalLine {
    /// Encodes the line as text: checksum, CID or `-`, path in hexadecimal.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let cid = self.cid.map_or_else(|| "-".to_owned(), |cid| cid.to_string());
        let body = format!("{VERSION} {cid} {}", hex(&self.path));
        let mut line = format!("{} {body}", hex(&checksum(body.as_bytes()))).into_bytes();
        line.push(JOURNAL_SEPARATOR);
        line
    }

    /// Reads as many lines as are whole; the others were never acknowledged, or are damaged.
    pub(crate) fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        bytes.split(|&byte| byte == JOURNAL_SEPARATOR).filter_map(|line| Self::decode(line).ok())
    }

    fn decode(line: &[u8]) -> Result<Self, Damaged> {
        let line = std::str::from_utf8(line).map_err(|_| Damaged)?;
        let (sum, body) = line.split_once(' ').ok_or(Damaged)?;
        if sum != hex(&checksum(body.as_bytes())) {
            return Err(Damaged);
        }
        let mut words = body.split(' ');
        let (Some(version), Some(cid), Some(path), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Damaged);
        };
        check(version.parse().map_err(|_| Damaged)?)?;
        let cid = if cid == "-" { None } else { Some(cid.parse().map_err(|_| Damaged)?) };
        Ok(Self { path: unhex(path)?, cid })
    }
}

type StampTuple = (u64, i64, i64, u64);

fn stamp_tuple(stamp: &Stamp) -> StampTuple {
    (stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode)
}

fn stamp_of((size, mtime_ns, ctime_ns, inode): StampTuple) -> Stamp {
    Stamp { size, mtime_ns, ctime_ns, inode }
}

fn check(version: u8) -> Result<(), Damaged> {
    if version == VERSION { Ok(()) } else { Err(Damaged) }
}

#[expect(
    clippy::expect_used,
    reason = "these tuples hold only integers, text and bytes, all of which encode"
)]
fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(row).expect("a row encodes")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damaged> {
    serde_ipld_dagcbor::from_slice(bytes).map_err(|_| Damaged)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut sum = [0; CHECKSUM_LEN];
    blake3::Hasher::new().update(bytes).finalize_xof().fill(&mut sum);
    sum
}

/// Lower-case hexadecimal, for names of files and lines of text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Damaged> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return Err(Damaged);
    };
    pairs
        .iter()
        .map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|_| Damaged)?;
            u8::from_str_radix(pair, 16).map_err(|_| Damaged)
        })
        .collect()
}
