//! The node itself: its state, its peers, what happens in it, its end.

use std::pin::pin;

use axum::{extract::State, response::Response};
use futures::StreamExt;
use shoal_node::Node;

use crate::{
    answer::{Asked, lines},
    json::{self, Event, Failure},
};

pub(crate) async fn status(State(node): State<Node>) -> Response {
    lines(|out| async move {
        let status = json::Status::of(&node.status().await, node.paths());
        out.event(Event::Status(Box::new(status))).await;
        Ok(())
    })
}

pub(crate) async fn peers(State(node): State<Node>) -> Response {
    lines(|out| async move {
        for peer in node.peers().await {
            out.event(Event::Peer(peer.into())).await;
        }
        Ok(())
    })
}

pub(crate) async fn rates(State(node): State<Node>) -> Response {
    lines(|out| async move {
        out.event(Event::Rates(node.rates().into())).await;
        Ok(())
    })
}

pub(crate) async fn set_rates(
    State(node): State<Node>,
    Asked(request): Asked<json::SetRates>,
) -> Result<Response, Failure> {
    node.set_rates(request.over(node.rates())?);
    Ok(rates(State(node)).await)
}

pub(crate) async fn follow(State(node): State<Node>, Asked(_): Asked<json::Follow>) -> Response {
    lines(|out| async move {
        // The node stops when its connections have ended, so the end of its events would come too late.
        let mut events = pin!(node.events().take_until(node.stop_asked()));
        while let Some(event) = events.next().await {
            if let Some(event) = json::of_node(event) {
                out.event(event).await;
            }
        }
        Ok(())
    })
}

pub(crate) async fn stop(State(node): State<Node>, Asked(_): Asked<json::Stop>) -> Response {
    lines(|_| async move {
        node.ask_to_stop();
        Ok(())
    })
}
