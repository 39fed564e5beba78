//! What needs no running node: the store of a home that nobody holds.

use shoal_gateway::json::{self, Share, Unpublish, Warning};
use shoal_node::Home;

use crate::{failure::Failure, places::Places};

/// What is shared, and warnings of what should be.
pub(crate) fn shares(places: &Places) -> Result<(Vec<Share>, Vec<Warning>), Failure> {
    if !places.node.store.exists() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (shares, lost) = Home::open(&places.node.home)?.shares()?;
    Ok((shares.iter().map(Into::into).collect(), lost.iter().map(|path| json::lost(path)).collect()))
}

/// Takes back what is shared.
pub(crate) fn unpublish(places: &Places, request: &Unpublish) -> Result<Vec<Share>, Failure> {
    let selectors = request.selectors()?;
    if !places.node.store.exists() {
        return Err(request.not_shared());
    }
    let home = Home::open(&places.node.home)?;
    for selector in selectors {
        let shares = home.unpublish(&selector)?;
        if !shares.is_empty() {
            return Ok(shares.iter().map(Into::into).collect());
        }
    }
    Err(request.not_shared())
}
