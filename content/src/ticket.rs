//! A ticket: everything needed to fetch content, as one word to paste.

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use serde_bytes::Bytes;

use crate::{Cid, ParseCidError, safe_file_name};

#[cfg(test)]
mod tests;

/// Most addresses in a ticket. More would make us dial whatever a stranger lists, on their behalf.
pub const MAX_TICKET_ADDRESSES: usize = 8;

/// Longest text of a ticket. A ticket within the other limits is shorter; a longer text is not one.
pub const MAX_TICKET_LEN: usize = 4096;

/// Longest address. Every multiaddr that leads to a node is shorter.
const MAX_ADDRESS_LEN: usize = 256;

/// What every ticket of this version starts with.
const PREFIX: &str = "shoal1";

/// Length of the checksum that tells a mistyped ticket from a wrong one.
const CHECKSUM_LEN: usize = 4;

/// A CID with hints: how long the content is, what to call it, and whom to ask.
///
/// The CID is verified by fetching it; the rest is the word of whoever made the ticket. Addresses are text
/// here, since this crate knows no network. Made by [`Ticket::new`], so what it holds is within the limits.
///
/// ```
/// use shoal_content::{Cid, Digest, Ticket};
///
/// let cid = Cid::file(Digest::of(b"hello"));
/// let address = "/ip4/192.0.2.1/tcp/4001".to_owned();
/// let ticket = Ticket::new(cid, Some(5), Some("hello.txt".to_owned()), vec![address])?;
/// assert_eq!(ticket.to_string().parse(), Ok(ticket));
/// # Ok::<(), shoal_content::TicketError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// The content.
    pub cid: Cid,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// What to call it: a [safe file name](safe_file_name).
    pub name: Option<String>,
    /// Multiaddrs of nodes that had it.
    pub addresses: Vec<String>,
}

impl Ticket {
    /// Makes a ticket.
    pub fn new(
        cid: Cid,
        size: Option<u64>,
        name: Option<String>,
        addresses: Vec<String>,
    ) -> Result<Self, TicketError> {
        if addresses.len() > MAX_TICKET_ADDRESSES {
            return Err(TicketError::TooManyAddresses);
        }
        let is_fine = |address: &String| {
            (1..=MAX_ADDRESS_LEN).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_graphic())
        };
        if !addresses.iter().all(is_fine) {
            return Err(TicketError::Address);
        }
        if name.as_deref().is_some_and(|name| safe_file_name(name).is_none()) {
            return Err(TicketError::Name);
        }
        Ok(Self { cid, size, name, addresses })
    }

    /// `[CID, size, name, addresses]` in canonical DAG-CBOR, and the start of its hash.
    fn to_bytes(&self) -> Vec<u8> {
        let cid = self.cid.to_bytes();
        let fields = (Bytes::new(&cid), self.size, &self.name, &self.addresses);
        #[expect(
            clippy::expect_used,
            reason = "numbers, text and bytes all have an encoding, and memory grows"
        )]
        let mut bytes = serde_ipld_dagcbor::to_vec(&fields).expect("plain values encode");
        bytes.extend(checksum(&bytes));
        bytes
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&self.to_bytes()).to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Parses a ticket in any case: codes that are scanned or read aloud come in upper case.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_TICKET_LEN {
            return Err(TicketError::TooLong);
        }
        let (prefix, base32) = text.split_at_checked(PREFIX.len()).ok_or(TicketError::Prefix)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(TicketError::Prefix);
        }
        let bytes = BASE32_NOPAD_NOCASE.decode(base32.as_bytes()).map_err(|_| TicketError::Mistyped)?;
        let (fields, sum) = bytes.split_last_chunk().ok_or(TicketError::Mistyped)?;
        if checksum(fields) != *sum {
            return Err(TicketError::Mistyped);
        }
        let (cid, size, name, addresses): (&Bytes, _, _, _) =
            serde_ipld_dagcbor::from_slice(fields).map_err(|_| TicketError::Malformed)?;
        let ticket = Self::new(Cid::from_bytes(cid)?, size, name, addresses)?;
        if ticket.to_bytes() == bytes { Ok(ticket) } else { Err(TicketError::Malformed) }
    }
}

/// Why something is not a ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not start as the tickets of this version do.
    #[error("a ticket starts with {PREFIX}")]
    Prefix,
    /// Longer than [`MAX_TICKET_LEN`].
    #[error("a ticket is not longer than {MAX_TICKET_LEN} characters")]
    TooLong,
    /// Some characters were lost or changed on the way.
    #[error("the ticket is mistyped or cut short")]
    Mistyped,
    /// The checksum is right but the bytes are not a ticket.
    #[error("the ticket was made by a program that does not follow the format")]
    Malformed,
    /// It names content that is not ours.
    #[error("the ticket has a bad CID")]
    Cid(#[from] ParseCidError),
    /// The name could do harm: see [`safe_file_name`].
    #[error("the ticket suggests an unsafe file name")]
    Name,
    /// An address is empty, too long, or not plain text.
    #[error("the ticket has a malformed address")]
    Address,
    /// More than [`MAX_TICKET_ADDRESSES`].
    #[error("a ticket has at most {MAX_TICKET_ADDRESSES} addresses")]
    TooManyAddresses,
}
