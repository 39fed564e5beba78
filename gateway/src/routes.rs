//! The routes. Their meaning for a caller is written in `docs/api.md`.

mod content;
mod job;
mod publish;
mod share;
mod state;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    response::Response,
    routing::{get, post},
};
use shoal_node::{ErrorKind, Node};

use crate::{
    answer::refuse,
    json::{self, Failure, Request},
};

pub(crate) fn router(node: Node) -> Router {
    Router::new()
        .route(json::Publish::PATH, post(publish::publish))
        .route(json::Get::PATH, post(content::get))
        .route(json::Cat::PATH, post(content::cat))
        .route(json::Contents::PATH, post(content::contents))
        .route(json::Find::PATH, post(content::find))
        .route(json::SHARES, get(share::shares))
        .route(json::Unpublish::PATH, post(share::unpublish))
        .route(json::STATUS, get(state::status))
        .route(json::PEERS, get(state::peers))
        .route(json::RATES, get(state::rates).post(state::set_rates))
        .route(json::Follow::PATH, post(state::follow))
        .route(json::Stop::PATH, post(state::stop))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(node)
}

async fn no_such_route(uri: Uri) -> Response {
    let failure = Failure::new(ErrorKind::Usage, format!("there is no {}", uri.path()));
    refuse(StatusCode::NOT_FOUND, failure.hint("docs/api.md lists the routes of this version"))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let other = match uri.path() {
        json::RATES => "GET or POST",
        json::SHARES | json::STATUS | json::PEERS => "GET",
        _ => "POST",
    };
    let failure = Failure::new(ErrorKind::Usage, format!("{} does not answer {method}", uri.path()));
    refuse(StatusCode::METHOD_NOT_ALLOWED, failure.hint(format!("use {other}")))
}
