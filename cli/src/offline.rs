//! What needs no running node: the store of a home that nobody holds.

use shoal_gateway::json::{Share, Unpublish};
use shoal_node::Home;

use crate::{failure::Failure, places::Places};

/// What is shared.
pub(crate) fn shares(places: &Places) -> Result<Vec<Share>, Failure> {
    if !places.node.store.exists() {
        return Ok(Vec::new());
    }
    let shares = Home::open(&places.node.home)?.shares()?;
    Ok(shares.iter().map(Into::into).collect())
}

/// Takes back what is shared.
pub(crate) fn unpublish(places: &Places, request: &Unpublish) -> Result<Vec<Share>, Failure> {
    let selector = request.selector()?;
    if !places.node.store.exists() {
        return Err(request.not_shared());
    }
    let shares = Home::open(&places.node.home)?.unpublish(&selector)?;
    if shares.is_empty() { Err(request.not_shared()) } else { Ok(shares.iter().map(Into::into).collect()) }
}
