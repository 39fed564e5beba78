//! Tests of what a command makes of a node that runs already.

use shoal_gateway::json::Event;

use super::*;

/// A node that looks for peers by multicast, or not.
fn running(mdns: bool) -> json::Status {
    let line = format!(
        r#"{{"v":1,"event":"status","version":"0.1.0","peer_id":"12D3","network":"main","scope":"both","announce":"files","pid":7,"home":"/h","uptime_s":1,"addresses":[],"external":[],"peers":0,"members":0,"tables":{{}},"overlays":[],"problems":[],"records":0,"shares":0,"announced":0,"sent":0,"received":0,"sending":0,"jobs":0,"panics":0,"mdns_failure":null,"started_with":{{"listen":[],"external":[],"peers":[],"mdns":{mdns}}},"limits":{{}}}}"#
    );
    match json::decode(line.as_bytes()).unwrap() {
        Event::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_that_looks_for_peers_by_multicast_is_not_used_where_that_is_not_to_be() {
    let asked = NodeArgs { no_mdns: true, ..NodeArgs::default() };
    let refused = asked.hold_for(&running(true)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Usage);
    assert!(refused.message.contains("--no-mdns"), "{refused:?}");
    assert!(refused.hint.is_some_and(|hint| hint.contains("shoal stop")));
    assert!(asked.hold_for(&running(false)).is_ok());
    assert!(NodeArgs::default().hold_for(&running(true)).is_ok());
}
