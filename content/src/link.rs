//! What a person pastes to say which content they want.

use std::str::FromStr;

use crate::{Cid, ParseCidError, Ticket, TicketError};

/// A CID in any of its forms, or a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// The name alone, which is always enough.
    Cid(Cid),
    /// The name with hints.
    Ticket(Ticket),
}

impl Link {
    /// The content that is wanted.
    pub const fn cid(&self) -> Cid {
        match self {
            Self::Cid(cid) => *cid,
            Self::Ticket(ticket) => ticket.cid,
        }
    }
}

impl From<Cid> for Link {
    fn from(cid: Cid) -> Self {
        Self::Cid(cid)
    }
}

impl From<Ticket> for Link {
    fn from(ticket: Ticket) -> Self {
        Self::Ticket(ticket)
    }
}

impl FromStr for Link {
    type Err = ParseLinkError;

    fn from_str(text: &str) -> Result<Self, ParseLinkError> {
        // No CID starts like this, so a mistyped ticket is told what is wrong with it as a ticket.
        let is_ticket = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("shoal"));
        if is_ticket { Ok(Self::Ticket(text.parse()?)) } else { Ok(Self::Cid(text.parse()?)) }
    }
}

/// Why a text names no content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLinkError {
    /// It looks like a ticket and is not a good one.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// It is not a CID.
    #[error(transparent)]
    Cid(#[from] ParseCidError),
}
