//! The API of a real node: answers, cancellation, many connections.

#![cfg(test)]

use std::{path::Path, time::Duration};

use serde_json::Value;
use shoal_gateway::{Authority, json, serve_connection, unix};
use shoal_node::{Node, Transport};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    net::UnixStream,
    sync::oneshot,
    time::timeout,
};

/// How long anything may take before the test gives up on it.
const DEADLINE: Duration = Duration::from_secs(30);

async fn node(home: &TempDir) -> Node {
    Node::builder()
        .home(home.path().join("home"))
        .mdns(false)
        .transport(Transport::Memory)
        .start()
        .await
        .unwrap()
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let kind = "Content-Type: application/json";
    let len = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {len}\r\n\r\n{body}")
        .into_bytes()
}

/// A request under way: the bytes of its answer, and the future that serves it.
fn ask(node: &Node, request: &[u8]) -> (DuplexStream, impl Future<Output = ()> + use<>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut ours, request) = (ours, request.to_vec());
    let serving = serve_connection(theirs, node.clone(), Authority::Uid(0));
    let waker = futures::task::noop_waker();
    // It fits into the pipe, so this is done at once.
    let written = std::pin::pin!(ours.write_all(&request)).poll(&mut std::task::Context::from_waker(&waker));
    assert!(written.is_ready());
    (ours, serving)
}

/// The status and the events of a whole answer.
async fn answer(node: &Node, method: &str, path: &str, body: &str) -> (String, Vec<Value>) {
    let (ours, serving) = ask(node, &request(method, path, body));
    let read = async {
        let mut text = Vec::new();
        BufReader::new(ours).read_to_end(&mut text).await.unwrap();
        text
    };
    let ((), text) = timeout(DEADLINE, async { tokio::join!(serving, read) }).await.unwrap();
    parse(&String::from_utf8(text).unwrap())
}

fn parse(text: &str) -> (String, Vec<Value>) {
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let events = text.lines().filter(|line| line.starts_with('{'));
    (status, events.map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Checks that there is exactly one `done`, and that it is the last.
#[track_caller]
fn done(events: &[Value]) -> &Value {
    assert_eq!(events.iter().filter(|event| event["event"] == "done").count(), 1, "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(last["event"], "done");
    last
}

#[tokio::test]
async fn publish_list_and_take_back() {
    let home = tempfile::tempdir().unwrap();
    let node = node(&home).await;
    let file = home.path().join("file");
    std::fs::write(&file, "hello").unwrap();
    let body = serde_json::json!({"paths": [file], "wait_ms": 0}).to_string();
    let (status, events) = answer(&node, "POST", "/v1/publish", &body).await;
    assert_eq!(status, "200");
    assert_eq!(done(&events)["ok"], true);
    let published = events.iter().find(|event| event["event"] == "published").unwrap();
    assert_eq!(published["size"], 5);
    assert!(published["ticket"].as_str().unwrap().starts_with("shoal1"));

    let (_, shares) = answer(&node, "GET", "/v1/shares", "").await;
    assert_eq!(
        (shares[0]["cid"].clone(), shares[0]["state"].clone()),
        (published["cid"].clone(), "ok".into())
    );
    let (_, status) = answer(&node, "GET", "/v1/status", "").await;
    assert_eq!((status[0]["shares"].clone(), status[0]["jobs"].clone()), (1.into(), 0.into()));

    let body = serde_json::json!({"path": file}).to_string();
    let (_, gone) = answer(&node, "POST", "/v1/unpublish", &body).await;
    assert_eq!(gone[0]["event"], "unpublished");
    let (_, again) = answer(&node, "POST", "/v1/unpublish", &body).await;
    assert_eq!(done(&again)["exit"], 3);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_requests_have_their_own_answers() {
    let home = tempfile::tempdir().unwrap();
    let node = node(&home).await;
    let directory = "bafyr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let cases = [
        ("GET", "/", "", "404", 2),
        ("GET", "/metrics", "", "404", 2),
        ("GET", "/v1/publish", "", "405", 2),
        ("POST", "/v1/status", "{}", "405", 2),
        ("POST", "/v1/publish", r#"{"paths":["relative"]}"#, "400", 2),
        ("POST", "/v1/publish", r#"{"paths":["/a","/b"],"name":"x"}"#, "400", 2),
        ("POST", "/v1/publish", r#"{"paths":["/a"],"name":"a/b"}"#, "400", 2),
        ("POST", "/v1/publish", r#"{"paths":[]}"#, "400", 2),
        ("POST", "/v1/publish", r#"{"paths":["/nowhere/at/all"]}"#, "200", 9),
        ("POST", "/v1/publish", r#"{"paths":["/dev/zero"]}"#, "200", 1),
        ("POST", "/v1/get", r#"{"link":"hello","to":"/tmp"}"#, "400", 2),
        ("POST", "/v1/get", r#"{"link":"hello","to":"/tmp""#, "400", 2),
        ("POST", "/v1/get", r#"{"link":"hello"}"#, "422", 2),
        ("POST", "/v1/get", r#"{"link":7,"to":"/tmp"}"#, "422", 2),
        ("POST", "/v1/get", r#"{"link":"hello","to":"/tmp","into":"/tmp"}"#, "422", 2),
        ("POST", "/v1/get", "", "400", 2),
        ("POST", "/v1/cat", r#"{"link":"hello"}"#, "400", 2),
        ("POST", "/v1/contents", r#"{"link":"hello"}"#, "400", 2),
        ("POST", "/v1/find", r#"{"link":"hello"}"#, "400", 2),
        ("POST", "/v1/unpublish", r#"{"path":"relative"}"#, "400", 2),
        ("POST", "/v1/unpublish", r#"{"cid":"hello"}"#, "400", 2),
        ("POST", "/v1/rates", r#"{"up":5}"#, "400", 2),
        ("POST", "/v1/rates", r#"{"up":-5}"#, "422", 2),
        ("DELETE", "/v1/rates", "", "405", 2),
    ];
    for (method, path, body, status, exit) in cases {
        let (said, events) = answer(&node, method, path, body).await;
        assert_eq!(
            (said.as_str(), done(&events)["exit"].as_i64()),
            (status, Some(exit)),
            "{path} {body}: {events:?}"
        );
    }
    for more in [r#""include":["a["]"#, r#""peers":["nowhere"]"#, r#""down":1"#] {
        let body = format!(r#"{{"link":"{directory}","to":"/tmp",{more}}}"#);
        let (status, events) = answer(&node, "POST", "/v1/get", &body).await;
        assert_eq!((status.as_str(), &done(&events)["exit"]), ("400", &2.into()), "{events:?}");
    }
    let (status, events) = answer(&node, "POST", "/v1/cat", &format!(r#"{{"link":"{directory}"}}"#)).await;
    assert_eq!((status.as_str(), &done(&events)["exit"]), ("400", &2.into()), "{events:?}");
    assert_eq!(node.status().await.jobs, 0);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let node = node(&home).await;
    let get = |body: &'static str| ("POST", "/v1/get", body);
    let cases = [
        (get(r#"{"link":"hello","to":"/tmp"}"#), "not a CID", ""),
        (get(r#"{"link":7,"to":"/tmp"}"#), "link: invalid type: integer `7`, expected a string", ""),
        (get(r#"{"link":"a","to":"/b","into":"c"}"#), "unknown field `into`, expected one of `link`", ""),
        (("DELETE", "/v1/get", ""), "does not answer DELETE", "use POST"),
        (("POST", "/v1/status", ""), "does not answer POST", "use GET"),
        (("PUT", "/v1/rates", ""), "does not answer PUT", "use GET or POST"),
    ];
    for ((method, path, body), cause, hint) in cases {
        let (_, events) = answer(&node, method, path, body).await;
        let error = &done(&events)["error"];
        let said = error.to_string();
        assert!(said.contains(cause) && error["hint"].as_str().unwrap_or_default().contains(hint), "{said}");
    }
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut reading, mut writing) = tokio::io::split(ours);
    let serving = serve_connection(theirs, node.clone(), Authority::Uid(0));
    let long = request("POST", "/v1/get", &format!("{{{}", " ".repeat(1 << 20)));
    let write = async { drop(writing.write_all(&long).await) };
    let read = async {
        let mut text = String::new();
        drop(reading.read_to_string(&mut text).await);
        text
    };
    let ((), (), text) = timeout(DEADLINE, async { tokio::join!(serving, write, read) }).await.unwrap();
    let (status, events) = parse(&text);
    assert_eq!(status, "413");
    assert!(done(&events)["error"]["hint"].as_str().unwrap().contains("1048576 bytes"), "{events:?}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_work_along() {
    let home = tempfile::tempdir().unwrap();
    let node = node(&home).await;
    let nobodys = "bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let body = serde_json::json!({"link": nobodys, "to": home.path().join("copy")}).to_string();
    let (ours, serving) = ask(&node, &request("POST", "/v1/get", &body));
    let leave = async {
        let started = async {
            while node.status().await.jobs == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, started).await.unwrap();
        drop(ours);
    };
    let ((), ()) = timeout(DEADLINE, async { tokio::join!(serving, leave) }).await.unwrap();
    timeout(DEADLINE, node.jobs_done()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test]
async fn events_are_followed_until_the_node_stops() {
    let home = tempfile::tempdir().unwrap();
    let node = node(&home).await;
    let file = home.path().join("file");
    std::fs::write(&file, "hello").unwrap();
    let (ours, serving) = ask(&node, &request("POST", "/v1/events", "{}"));
    let mut lines = BufReader::new(ours).lines();
    let follow = async {
        // The head of the answer is there once the node's events are watched.
        while lines.next_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
        let cid = node.publish(&file).await.unwrap().cid();
        let mut events = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            events.extend(line.starts_with('{').then(|| json::decode(line.as_bytes()).unwrap()));
            if matches!(events.last(), Some(json::Event::Shared(_))) {
                let (_, stop) = answer(&node, "POST", "/v1/stop", "{}").await;
                assert_eq!(done(&stop)["ok"], true);
            }
        }
        let shared = json::Event::Shared(json::CidNamed { cid: cid.to_string() });
        assert_eq!(events, [shared, json::Event::Done(Ok(()).into())]);
    };
    timeout(DEADLINE, async { tokio::join!(serving, follow) }).await.unwrap();
    timeout(DEADLINE, node.stop_asked()).await.unwrap();
    node.stop().await.unwrap();
}

async fn status_over(socket: &Path) -> Vec<Value> {
    let mut stream = unix::connect(socket).await.unwrap();
    stream.write_all(&request("GET", "/v1/status", "")).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    parse(&text).1
}

#[tokio::test]
async fn half_open_connections_do_not_keep_others_out() {
    let home = tempfile::tempdir().unwrap();
    let node = node(&home).await;
    let socket = home.path().join("api.sock");
    let listener = unix::Listener::bind(&socket, home.path()).unwrap();
    let (close, closing) = oneshot::channel::<()>();
    let serving = unix::serve(listener, node.clone(), async { drop(closing.await) });
    let clients = async {
        let mut half_open: Vec<UnixStream> = Vec::new();
        for _ in 0..200 {
            let mut stream = unix::connect(&socket).await.unwrap();
            stream.write_all(b"GET /v1/st").await.unwrap();
            half_open.push(stream);
        }
        let events = timeout(Duration::from_secs(5), status_over(&socket)).await.unwrap();
        assert_eq!(done(&events)["ok"], true);
        drop(half_open);
        drop(close);
    };
    timeout(DEADLINE, async { tokio::join!(serving, clients) }).await.unwrap();
    assert!(!socket.exists());
    node.stop().await.unwrap();
}
