//! Tests of what a connection may and may not do, whatever it asks for.

use axum::routing::{get, post};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::*;
use crate::{
    answer::{Asked, BODY_TIMEOUT},
    json,
};

fn router() -> Router {
    let echo = post(async |Asked(request): Asked<json::Find>| request.link);
    Router::new().route("/", get(async || "fine")).route(<json::Find as json::Request>::PATH, echo)
}

/// Sends `request` and gives everything that comes back before the connection closes.
async fn exchange(request: &[u8]) -> String {
    let (mut ours, theirs) = tokio::io::duplex(1024);
    let talk = async {
        // A server that refuses does not read to the end.
        drop(ours.write_all(request).await);
        let mut answer = Vec::new();
        drop(ours.read_to_end(&mut answer).await);
        String::from_utf8(answer).unwrap()
    };
    tokio::join!(serve_router(theirs, router()), talk).1
}

#[track_caller]
fn check(answer: &str, status: &str, says: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(answer.contains(says), "{answer}");
    assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
}

#[tokio::test]
async fn one_request_is_answered_and_the_connection_closes() {
    let answer = exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    check(&answer, "200", "fine");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn web_pages_are_not_answered() {
    let heads = [
        "Host: evil.example",
        "Host: localhost.evil.example",
        "Host: 127.0.0.1",
        "X-Host: localhost",
        "Host: localhost\r\nHost: evil.example",
        "Host: localhost\r\nOrigin: http://evil.example",
        "Host: localhost\r\nOrigin: null",
        "Host: localhost\r\nReferer: http://localhost/",
    ];
    for head in heads {
        for line in ["GET / HTTP/1.1", "GET /none HTTP/1.1", "POST / HTTP/1.1", "OPTIONS / HTTP/1.1"] {
            let answer = exchange(format!("{line}\r\n{head}\r\n\r\n").as_bytes()).await;
            check(&answer, "403", r#""event":"done","ok":false,"exit":6,"error":{"kind":"refused""#);
        }
    }
    let answer = exchange(b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    check(&answer, "403", "refused");
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused_with_a_reason() {
    let post = |kind: &str, body: &str| {
        let len = body.len();
        format!("POST /v1/find HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: {len}\r\n\r\n{body}")
            .into_bytes()
    };
    let json = "Content-Type: application/json\r\n";
    check(&exchange(&post(json, r#"{"link":"it"}"#)).await, "200", "it");
    check(&exchange(&post("", r#"{"link":"it"}"#)).await, "415", "send Content-Type: application/json");
    check(&exchange(&post("Content-Type: text/plain\r\n", r#"{"link":"it"}"#)).await, "415", "done");
    check(&exchange(&post(json, "{")).await, "400", "done");
    check(&exchange(&post(json, "{}")).await, "422", "missing field `link`");
    check(&exchange(&post(json, r#"{"link":"it","depth":1}"#)).await, "422", "unknown field `depth`");
    let long = format!(r#"{{"link":"{}"}}"#, "x".repeat(MAX_BODY));
    check(&exchange(&post(json, &long)).await, "413", "done");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let head = "POST /v1/find HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for body in ["Content-Length: 20\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let start = Instant::now();
        let answer = exchange(format!("{head}{body}").as_bytes()).await;
        check(&answer, "408", r#""kind":"timed-out""#);
        let waited = start.elapsed();
        assert!(waited >= BODY_TIMEOUT && waited < BODY_TIMEOUT * 2, "{body:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_comes_is_not_waited_for() {
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: local"] {
        let (mut ours, theirs) = tokio::io::duplex(1024);
        ours.write_all(beginning.as_bytes()).await.unwrap();
        let start = Instant::now();
        serve_router(theirs, router()).await;
        let waited = start.elapsed();
        assert!(waited >= HEADER_TIMEOUT && waited < HEADER_TIMEOUT * 2, "{beginning:?}: {waited:?}");
    }
}
