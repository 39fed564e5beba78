//! What a tap device hands over: one packet, or several of one connection that the kernel has not taken apart yet.
//!
//! Kernels hand a network card up to 64 KiB at a time and have it make packets of them, and cards hand over what came in
//! merged again. A link that carries each packet by itself costs more than all else that runs on the machine; one
//! that carries only merged ones loses them all or none. So here they stay together as long as nothing parts them, and
//! are counted, delayed and lost one by one.

use std::ops::Range;

/// The kernel's remarks on a packet: what it is yet to do with it.
const REMARKS: usize = 10;
const ETHERNET: usize = 14;

/// Bytes for the longest that a kernel hands over, and some more.
pub(super) const LONGEST: usize = 80 * 1024;

/// Bytes before the IP header. A link carries neither of the two.
const BEFORE_IP: usize = REMARKS + ETHERNET;

/// Where in the remarks the kind of merging is, and how many bytes each packet holds.
const KIND: usize = 1;
const SEGMENT: usize = 4;

const NOT_MERGED: u8 = 0;
const TCP_V4: u8 = 1;
const UDP: u8 = 5;

/// Set beside the kind where the first packet alone tells of congestion.
const CONGESTION: u8 = 0x80;

const IP_LENGTH: usize = 2;
const IP_NUMBER: usize = 4;
const IP_CHECKSUM: usize = 10;
const IP_ADDRESSES: Range<usize> = 12..20;
const UDP_LENGTH: usize = 4;
const UDP_HEADER: usize = 8;
const UDP_CHECKSUM: usize = 6;
const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;

/// Flags of TCP that only the first packet has, and only the last.
const REDUCED: u8 = 0x80;
const FINISHED_PUSH: u8 = 0x01 | 0x08;

/// Bytes as the device hands them over, remarks first.
pub(super) struct Frame<'a> {
    bytes: &'a [u8],
    merged: Option<Merged>,
}

/// How packets of one connection are merged.
#[derive(Debug, Clone, Copy)]
struct Merged {
    is_tcp: bool,
    /// Where the header above IP starts, and where it ends.
    header: usize,
    payload: usize,
    /// Bytes of payload in each packet but the last.
    segment: usize,
}

impl<'a> Frame<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, merged: merged(bytes) }
    }

    /// How many packets it stands for.
    pub(super) fn packets(&self) -> usize {
        self.merged.map_or(1, |merged| (self.bytes.len() - merged.payload).div_ceil(merged.segment))
    }

    /// How long one of them is, from the IP header on.
    pub(super) fn len_of(&self, packet: usize) -> usize {
        match self.merged {
            None => self.bytes.len().saturating_sub(BEFORE_IP),
            Some(merged) => merged.payload - BEFORE_IP + merged.part(packet..packet + 1, self.bytes).len(),
        }
    }

    /// Some of them, as the kernel would have merged them.
    pub(super) fn cut(&self, packets: Range<usize>) -> Vec<u8> {
        let Some(merged) = self.merged.filter(|_| packets.len() < self.packets()) else {
            return self.bytes.to_vec();
        };
        let part = merged.part(packets.clone(), self.bytes);
        let mut cut = Vec::with_capacity(merged.payload + part.len());
        cut.extend_from_slice(&self.bytes[..merged.payload]);
        cut.extend_from_slice(part);
        merged.correct(&mut cut, packets, self.packets());
        cut
    }
}

impl Merged {
    fn part<'a>(&self, packets: Range<usize>, bytes: &'a [u8]) -> &'a [u8] {
        let end = (self.payload + packets.end * self.segment).min(bytes.len());
        &bytes[self.payload + packets.start * self.segment..end]
    }

    /// Makes headers that were those of `all` packets the ones of these.
    fn correct(&self, cut: &mut [u8], packets: Range<usize>, all: usize) {
        let (is_first, is_last) = (packets.start == 0, packets.end == all);
        if packets.len() == 1 {
            cut[KIND] = NOT_MERGED;
            cut[SEGMENT..SEGMENT + 2].fill(0);
        } else if !is_first {
            cut[KIND] &= !CONGESTION;
        }
        let (ip_len, above) = (cut.len() - BEFORE_IP, cut.len() - self.header);
        let number = be16(cut, BEFORE_IP + IP_NUMBER).wrapping_add(low16(packets.start));
        put(cut, BEFORE_IP + IP_LENGTH, low16(ip_len));
        put(cut, BEFORE_IP + IP_NUMBER, number);
        put(cut, BEFORE_IP + IP_CHECKSUM, 0);
        let checksum = !sum(&cut[BEFORE_IP..self.header], 0);
        put(cut, BEFORE_IP + IP_CHECKSUM, checksum);
        let (protocol, field) = if self.is_tcp { (6, TCP_CHECKSUM) } else { (17, UDP_CHECKSUM) };
        if self.is_tcp {
            let at = self.header + TCP_SEQUENCE;
            let sequence = u32::from(be16(cut, at)) << 16 | u32::from(be16(cut, at + 2));
            let skipped = u32::try_from(packets.start * self.segment).unwrap_or(0);
            cut[at..at + 4].copy_from_slice(&sequence.wrapping_add(skipped).to_be_bytes());
            let flags = &mut cut[self.header + TCP_FLAGS];
            *flags &= if is_first { 0xff } else { !REDUCED };
            *flags &= if is_last { 0xff } else { !FINISHED_PUSH };
        } else {
            put(cut, self.header + UDP_LENGTH, low16(above));
        }
        // The kernel wants the sum of what IP adds to the header, and takes the rest upon itself.
        let addresses = BEFORE_IP + IP_ADDRESSES.start..BEFORE_IP + IP_ADDRESSES.end;
        let pseudo = sum(&cut[addresses], protocol + u32::from(low16(above)));
        put(cut, self.header + field, pseudo);
    }
}

/// How it is merged, where it is and can be taken apart.
fn merged(bytes: &[u8]) -> Option<Merged> {
    let is_tcp = match bytes.get(KIND)? & !CONGESTION {
        TCP_V4 => true,
        UDP => false,
        _ => return None,
    };
    let segment = usize::from(u16::from_ne_bytes([*bytes.get(SEGMENT)?, *bytes.get(SEGMENT + 1)?]));
    let first = *bytes.get(BEFORE_IP)?;
    let header = BEFORE_IP + usize::from(first & 0xf) * 4;
    let above = if is_tcp { usize::from(*bytes.get(header + 12)? >> 4) * 4 } else { UDP_HEADER };
    let payload = header + above;
    (first >> 4 == 4 && segment > 0 && payload < bytes.len()).then_some(Merged {
        is_tcp,
        header,
        payload,
        segment,
    })
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The lower half. No frame is longer than that, and numbers of packets start again after it.
fn low16(number: usize) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or(0)
}

/// The sum that Internet checksums are made of.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut total = pairs.iter().fold(start, |total, pair| total + u32::from(u16::from_be_bytes(*pair)));
    total += rest.iter().map(|byte| u32::from(*byte) << 8).sum::<u32>();
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    low16(total as usize)
}

#[cfg(test)]
mod tests;
