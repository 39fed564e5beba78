//! Tickets: what to get, and where it may be.

use shoal_content::{Cid, Ticket, TicketError, safe_file_name};

use crate::{listen, node::Node, publish::Shared};

impl Node {
    /// A ticket for content: its name and where this node can be reached, private addresses only with `lan`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn ticket(&self, cid: &Cid, lan: bool) -> Result<Ticket, TicketError> {
        let (store, digest) = (self.inner.store.clone(), cid.digest());
        let label = self.inner.tasks.blocking(move || store.label(&digest)).await;
        let label = label.and_then(Result::ok).flatten();
        let size = label.as_ref().map(|label| label.size);
        self.ticket_with(cid, size, label.map(|label| label.name).as_deref(), lan)
    }

    /// The same for something that was just published.
    pub fn ticket_of(&self, shared: &Shared, lan: bool) -> Result<Ticket, TicketError> {
        self.ticket_with(&shared.cid(), Some(shared.size()), Some(shared.name()), lan)
    }

    fn ticket_with(
        &self,
        cid: &Cid,
        size: Option<u64>,
        name: Option<&str>,
        lan: bool,
    ) -> Result<Ticket, TicketError> {
        let addresses = self.inner.config.external.iter().cloned().chain(self.addresses());
        let addresses = listen::for_ticket(addresses, self.peer_id(), lan);
        Ticket::new(*cid, size, name.and_then(safe_file_name), addresses)
    }
}
