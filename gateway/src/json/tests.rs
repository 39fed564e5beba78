//! The bytes of every event and request: what users' scripts rely on.

use shoal_node::ErrorKind;

use super::*;

/// The page that users read.
const PAGE: &str = include_str!("../../../docs/api.md");

/// Checks that an event is written as this line, is read back from it, and is documented with all its fields.
fn golden(event: &Event, line: &str) {
    let text = String::from_utf8(encode(event)).unwrap();
    assert_eq!(text, format!("{line}\n"));
    assert_eq!(decode(line.as_bytes()).unwrap(), *event);
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    let name = fields["event"].as_str().unwrap();
    let row = PAGE.split("## Events").nth(1).and_then(|events| {
        events
            .lines()
            .find(|row| row.split('|').nth(1).is_some_and(|names| names.contains(&format!("`{name}`"))))
    });
    let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
    for field in fields.keys().filter(|field| !["v", "event"].contains(&field.as_str())) {
        assert!(row.contains(&format!("`{field}`")), "{field} of {name} is not documented");
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn events_of_publish() {
    golden(
        &Event::Progress(Progress {
            stage: Stage::Hashing,
            bytes: 5,
            total: None,
            files: 1,
            files_total: Some(2),
            sources: Vec::new(),
        }),
        r#"{"v":1,"event":"progress","stage":"hashing","bytes":5,"total":null,"files":1,"files_total":2}"#,
    );
    golden(
        &Event::Skipped(Skipped { path: text("/p/link"), reason: text("it is a symlink") }),
        r#"{"v":1,"event":"skipped","path":"/p/link","reason":"it is a symlink"}"#,
    );
    golden(
        &Event::Warning(Warning { message: text("\u{1b}[31m") }),
        r#"{"v":1,"event":"warning","message":"\u001b[31m"}"#,
    );
    golden(
        &Event::Published(Published {
            cid: text("bafk"),
            path: text("/p"),
            name: text("p"),
            size: 7,
            files: 1,
            hashed: 7,
            unchanged: 0,
            skipped: 2,
            ticket: Some(text("shoal1")),
            elapsed_ms: 3,
        }),
        r#"{"v":1,"event":"published","cid":"bafk","path":"/p","name":"p","size":7,"files":1,"hashed":7,"unchanged":0,"skipped":2,"ticket":"shoal1","elapsed_ms":3}"#,
    );
    golden(
        &Event::Announced(Announced { cid: text("bafk"), acknowledged: 18, asked: 20, elapsed_ms: 400 }),
        r#"{"v":1,"event":"announced","cid":"bafk","acknowledged":18,"asked":20,"elapsed_ms":400}"#,
    );
}

#[test]
fn events_of_get() {
    golden(
        &Event::Progress(Progress {
            stage: Stage::Fetching,
            bytes: 1,
            total: Some(2),
            files: 0,
            files_total: Some(1),
            sources: vec![PeerBytes { peer: text("12D3"), bytes: 1 }],
        }),
        r#"{"v":1,"event":"progress","stage":"fetching","bytes":1,"total":2,"files":0,"files_total":1,"sources":[{"peer":"12D3","bytes":1}]}"#,
    );
    golden(&Event::Source(PeerNamed { peer: text("12D3") }), r#"{"v":1,"event":"source","peer":"12D3"}"#);
    golden(
        &Event::Dropped(Dropped { peer: text("12D3"), reason: text("sent bad bytes") }),
        r#"{"v":1,"event":"dropped","peer":"12D3","reason":"sent bad bytes"}"#,
    );
    golden(
        &Event::Waiting(Waiting { path: text("/t"), cid: Some(text("bafk")), pid: Some(7) }),
        r#"{"v":1,"event":"waiting","path":"/t","cid":"bafk","pid":7}"#,
    );
    golden(
        &Event::Fetched(Fetched {
            cid: text("bafk"),
            path: Some(text("/t")),
            size: 2,
            files: 1,
            received: 2,
            elapsed_ms: 9,
            sources: vec![PeerBytes { peer: text("12D3"), bytes: 2 }],
            dropped: Vec::new(),
            silent: vec![text("12D4")],
            already_there: false,
            merged: true,
        }),
        r#"{"v":1,"event":"fetched","cid":"bafk","path":"/t","size":2,"files":1,"received":2,"elapsed_ms":9,"sources":[{"peer":"12D3","bytes":2}],"dropped":[],"silent":["12D4"],"already_there":false,"merged":true}"#,
    );
    golden(
        &Event::Entry(Entry { path: text("a/b"), size: 3, executable: true, cid: text("bafk") }),
        r#"{"v":1,"event":"entry","path":"a/b","size":3,"executable":true,"cid":"bafk"}"#,
    );
    golden(&Event::Bytes(Bytes { size: 3 }), r#"{"v":1,"event":"bytes","size":3}"#);
}

#[test]
fn events_of_find_and_shares() {
    golden(
        &Event::Holder(Holder {
            peer: text("12D3"),
            addresses: vec![text("/ip4/192.0.2.1/tcp/1")],
            complete: false,
            held: 1,
            size: 2,
            via: text("dht"),
            round_trip_us: 1500,
        }),
        r#"{"v":1,"event":"holder","peer":"12D3","addresses":["/ip4/192.0.2.1/tcp/1"],"complete":false,"held":1,"size":2,"via":"dht","round_trip_us":1500}"#,
    );
    golden(
        &Event::Looked(Looked {
            holders: 1,
            gone: 1,
            silent: 2,
            asked: 14,
            hops: 2,
            messages: 17,
            timeouts: 1,
            directory: Some(Directory { files: 3, size: 9 }),
            elapsed_ms: 300,
        }),
        r#"{"v":1,"event":"looked","holders":1,"gone":1,"silent":2,"asked":14,"hops":2,"messages":17,"timeouts":1,"directory":{"files":3,"size":9},"elapsed_ms":300}"#,
    );
    let share = Share {
        cid: text("bafk"),
        path: text("/p"),
        name: text("p"),
        size: 7,
        files: 1,
        published_at: 1_700_000_000,
        state: text("ok"),
    };
    golden(
        &Event::Share(share.clone()),
        r#"{"v":1,"event":"share","cid":"bafk","path":"/p","name":"p","size":7,"files":1,"published_at":1700000000,"state":"ok"}"#,
    );
    golden(
        &Event::Unpublished(share),
        r#"{"v":1,"event":"unpublished","cid":"bafk","path":"/p","name":"p","size":7,"files":1,"published_at":1700000000,"state":"ok"}"#,
    );
}

#[test]
fn events_of_the_node() {
    golden(
        &Event::Ready(Ready {
            peer_id: text("12D3"),
            addresses: vec![text("/ip4/127.0.0.1/tcp/1/p2p/12D3")],
            socket: text("/h/api.sock"),
            home: text("/h"),
            network: text("main"),
            pid: 7,
        }),
        r#"{"v":1,"event":"ready","peer_id":"12D3","addresses":["/ip4/127.0.0.1/tcp/1/p2p/12D3"],"socket":"/h/api.sock","home":"/h","network":"main","pid":7}"#,
    );
    golden(
        &Event::Status(Box::new(Status {
            version: text("0.1.0"),
            peer_id: text("12D3"),
            network: text("main"),
            scope: text("both"),
            announce: text("files"),
            pid: 7,
            home: text("/h"),
            uptime_s: 1,
            addresses: Vec::new(),
            external: Vec::new(),
            peers: 2,
            members: 1,
            tables: [(text("lan"), 1)].into(),
            overlays: vec![Overlay {
                scope: text("lan"),
                peers: 1,
                buckets: 1,
                nodes: 1,
                serves: true,
                records: 4,
                keys: 3,
                told: 2,
                waiting: 1,
                messages: 0,
                sent: 8,
                last_told_s: Some(9),
            }],
            problems: vec![text("alone")],
            records: 4,
            shares: 5,
            announced: 0,
            sent: 6,
            received: 7,
            sending: 1,
            jobs: 0,
            panics: 0,
            unreached: vec![Unreached { addresses: vec![text("/memory/1")], reason: text("timed out") }],
            mdns_failure: None,
            rates: Rates { up: Some(500_000), ..Rates::default() },
            started_with: StartedWith { mdns: true, ..StartedWith::default() },
            limits: [(text("connections"), 384)].into(),
        })),
        r#"{"v":1,"event":"status","version":"0.1.0","peer_id":"12D3","network":"main","scope":"both","announce":"files","pid":7,"home":"/h","uptime_s":1,"addresses":[],"external":[],"peers":2,"members":1,"tables":{"lan":1},"overlays":[{"scope":"lan","peers":1,"buckets":1,"nodes":1,"serves":true,"records":4,"keys":3,"told":2,"waiting":1,"messages":0,"sent":8,"last_told_s":9}],"problems":["alone"],"records":4,"shares":5,"announced":0,"sent":6,"received":7,"sending":1,"jobs":0,"panics":0,"unreached":[{"addresses":["/memory/1"],"reason":"timed out"}],"mdns_failure":null,"rates":{"up":500000,"down":null,"up_per_peer":null,"down_per_peer":null},"started_with":{"listen":[],"external":[],"peers":[],"mdns":true},"limits":{"connections":384}}"#,
    );
    golden(
        &Event::Rates(Rates { down: Some(1000), ..Rates::default() }),
        r#"{"v":1,"event":"rates","up":null,"down":1000,"up_per_peer":null,"down_per_peer":null}"#,
    );
    golden(
        &Event::Peer(Peer {
            peer: text("12D3"),
            addresses: Vec::new(),
            agent: text("shoal/0.1.0"),
            direction: text("out"),
            round_trip_us: None,
            connected_s: 5,
            member: true,
        }),
        r#"{"v":1,"event":"peer","peer":"12D3","addresses":[],"agent":"shoal/0.1.0","direction":"out","round_trip_us":null,"connected_s":5,"member":true}"#,
    );
    golden(
        &Event::Listening(AddressNamed { address: text("/memory/1") }),
        r#"{"v":1,"event":"listening","address":"/memory/1"}"#,
    );
    golden(
        &Event::Connected(PeerNamed { peer: text("12D3") }),
        r#"{"v":1,"event":"connected","peer":"12D3"}"#,
    );
    golden(
        &Event::Disconnected(PeerNamed { peer: text("12D3") }),
        r#"{"v":1,"event":"disconnected","peer":"12D3"}"#,
    );
    golden(&Event::Shared(CidNamed { cid: text("bafk") }), r#"{"v":1,"event":"shared","cid":"bafk"}"#);
    golden(&Event::Got(CidNamed { cid: text("bafk") }), r#"{"v":1,"event":"got","cid":"bafk"}"#);
    golden(&Event::Broken(CidNamed { cid: text("bafk") }), r#"{"v":1,"event":"broken","cid":"bafk"}"#);
    golden(&Event::Alive, r#"{"v":1,"event":"alive"}"#);
    golden(&Event::Missed(Missed { count: 3 }), r#"{"v":1,"event":"missed","count":3}"#);
}

#[test]
fn events_without_a_node() {
    golden(
        &Event::Verified(Verified { cid: text("bafk"), path: text("/p") }),
        r#"{"v":1,"event":"verified","cid":"bafk","path":"/p"}"#,
    );
    golden(
        &Event::Identity(Identity { peer_id: text("12D3") }),
        r#"{"v":1,"event":"identity","peer_id":"12D3"}"#,
    );
    let path = || text("/h");
    golden(
        &Event::Paths(PathList {
            home: path(),
            config: path(),
            identity: path(),
            store: path(),
            socket: path(),
            lock: path(),
        }),
        r#"{"v":1,"event":"paths","home":"/h","config":"/h","identity":"/h","store":"/h","socket":"/h","lock":"/h"}"#,
    );
}

#[test]
fn the_end() {
    golden(&Event::Done(Ok(()).into()), r#"{"v":1,"event":"done","ok":true,"exit":0}"#);
    let failure = Failure::new(ErrorKind::Disk, "could not write /t")
        .because(&std::io::Error::other("no space"))
        .hint("free some");
    golden(
        &Event::Done(Err(failure).into()),
        r#"{"v":1,"event":"done","ok":false,"exit":8,"error":{"kind":"disk","message":"could not write /t","causes":["no space"],"hint":"free some"}}"#,
    );
}

#[test]
fn a_newer_version_may_say_more() {
    let line = r#"{"v":1,"event":"source","peer":"12D3","mood":"good"}"#;
    assert_eq!(decode(line.as_bytes()).unwrap(), Event::Source(PeerNamed { peer: text("12D3") }));
    let line = r#"{"v":1,"event":"danced","steps":3}"#;
    assert_eq!(decode(line.as_bytes()).unwrap(), Event::Unknown);
    let line = r#"{"v":1,"event":"done","ok":false,"exit":1,"error":{"kind":"new","message":"m"}}"#;
    let Event::Done(done) = decode(line.as_bytes()).unwrap() else { panic!() };
    assert_eq!(done.error, Some(Failure::new(ErrorKind::Other, "m")));
}

#[test]
fn requests_are_small_and_strict() {
    let get: Get = serde_json::from_str(r#"{"link":"bafk","to":"/t"}"#).unwrap();
    let expected = Get {
        link: text("bafk"),
        to: text("/t"),
        include: Vec::new(),
        replace: Replace::Never,
        seed: true,
        timeout_ms: None,
        peers: Vec::new(),
        down: 0,
    };
    assert_eq!(get, expected);
    let written = r#"{"link":"bafk","to":"/t","include":[],"replace":"never","seed":true,"timeout_ms":null,"peers":[],"down":0}"#;
    assert_eq!(serde_json::to_string(&get).unwrap(), written);
    assert!(serde_json::from_str::<Get>(r#"{"link":"bafk","to":"/t","sede":false}"#).is_err());
    assert_eq!(serde_json::to_string(&Unpublish::Cid(text("bafk"))).unwrap(), r#"{"cid":"bafk"}"#);
    assert_eq!(serde_json::from_str::<Unpublish>(r#"{"path":"/p"}"#).unwrap(), Unpublish::Path(text("/p")));
}

#[test]
fn every_kind_of_failure_is_documented_with_its_exit_code() {
    for kind in ErrorKind::ALL {
        let row = format!("| `{}` | {} |", kind.word(), kind.exit_code());
        assert!(PAGE.contains(&row), "{row}");
    }
}

#[test]
fn a_failure_does_not_say_the_same_thing_twice() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Inner(#[source] Silent);
    #[derive(Debug, thiserror::Error)]
    #[error("")]
    struct Silent(#[source] std::io::Error);
    let failure = Failure::of(ErrorKind::Other, &Outer(Inner(Silent(std::io::Error::other("disk")))));
    assert_eq!(failure.causes, ["disk"]);
}
