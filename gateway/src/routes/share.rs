//! What is shared, and taking it back.

use axum::{extract::State, response::Response};
use shoal_node::Node;

use crate::{
    answer::{Asked, lines},
    json::{self, Event, Failure},
};

pub(crate) async fn shares(State(node): State<Node>) -> Response {
    lines(|out| async move {
        for share in node.shares().await? {
            out.event(Event::Share((&share).into())).await;
        }
        for path in node.lost() {
            out.event(Event::Warning(json::lost(&path))).await;
        }
        Ok(())
    })
}

pub(crate) async fn unpublish(
    State(node): State<Node>,
    Asked(request): Asked<json::Unpublish>,
) -> Result<Response, Failure> {
    let selectors = request.selectors()?;
    Ok(lines(|out| async move {
        for selector in selectors {
            let shares = node.unpublish(selector).await?;
            for share in &shares {
                out.event(Event::Unpublished(share.into())).await;
            }
            if !shares.is_empty() {
                return Ok(());
            }
        }
        Err(request.not_shared())
    }))
}
