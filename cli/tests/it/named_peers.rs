//! Peers that a user names and that are of no use.

use std::{fs, net::TcpListener, process::Stdio};

use rustix::process::Signal;

use crate::sandbox::{Sandbox, check_events, wait_for_line};

/// A CID that nobody has.
const NOBODYS: &str = "bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// An address at which nobody listens, any more.
fn nobodys_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

#[test]
fn a_get_says_what_is_wrong_with_each() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let stranger = sandbox.daemon_with("stranger", "start --network other");
    let (address, _) = daemon.address.rsplit_once("/p2p/").unwrap();
    let (_, other_id) = stranger.address.rsplit_once("/p2p/").unwrap();
    let cases = [
        (nobodys_address(), "connection refused"),
        (format!("{address}/p2p/{other_id}"), "another peer lives there"),
        (stranger.address.clone(), "it is not a node of this network"),
    ];
    // A young node takes its time to say that it found nobody, so they all do that at once.
    std::thread::scope(|scope| {
        let commands = ["get", "find", "get --list", "get --json"];
        let all = cases.iter().flat_map(|case| commands.map(|command| (case, command)));
        for (number, ((peer, cause), command)) in all.enumerate() {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let line = format!("{command} {NOBODYS} --peer {peer}");
                let ran = sandbox.run(&format!("getter-{number}"), &line).exits(3);
                let sentence = format!("could not reach the peer at {peer}: {cause}");
                assert!(ran.stderr.contains(&sentence), "{command}: {}", ran.stderr);
                if command.ends_with("--json") {
                    let events = ran.events();
                    let warnings = events.iter().filter(|event| event["event"] == "warning");
                    let [warning] = warnings.collect::<Vec<_>>()[..] else { panic!("{events:?}") };
                    assert!(warning["message"].as_str().unwrap().starts_with(&sentence), "{warning}");
                }
            });
        }
    });
}

#[test]
fn a_get_goes_on_without_it() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    sandbox.file("file", b"content");
    let cid = sandbox.run("daemon", "publish file").exits(0).word();
    let nobody = nobodys_address();
    let line = format!("get {cid} -o copy --peer {nobody} --peer {}", daemon.address);
    let ran = sandbox.run("getter", &line).exits(0);
    let warning = format!("warning: could not reach the peer at {nobody}: connection refused");
    assert!(ran.stderr.contains(&warning), "{}", ran.stderr);
}

#[test]
fn a_publisher_that_a_ticket_names_and_that_is_gone_is_a_provider_out_of_reach() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    sandbox.file("file", b"content");
    let published = sandbox.run("daemon", "publish file --lan --json").exits(0).events();
    let ticket = published.iter().find_map(|event| event["ticket"].as_str()).unwrap();
    let found = sandbox.run("finder", &format!("find {ticket} --json")).exits(0).events();
    let looked = found.iter().find(|event| event["event"] == "looked").unwrap();
    assert_eq!((&looked["holders"], &looked["silent"]), (&1.into(), &0.into()), "{looked}");
    daemon.signal(Signal::INT);
    daemon.end();
    fs::remove_file(sandbox.work().join("file")).unwrap();
    sandbox.run("finder", &format!("find {ticket}")).exits(4);
    let ran = sandbox.run("getter", &format!("get {ticket}")).exits(4);
    assert!(!ran.stderr.contains("warning: "), "a ticket is no wish of the user: {}", ran.stderr);
    assert!(ran.stderr.contains("connection refused"), "{}", ran.stderr);
}

#[test]
fn a_node_that_cannot_join_says_so_and_runs() {
    let sandbox = Sandbox::new();
    let nobody = nobodys_address();
    for command in ["start", "publish ."] {
        sandbox.file("file", b"content");
        let mut running = sandbox.spawn("home", &format!("{command} --peer {nobody}"));
        let warning = running.wait_for("warning");
        let message = warning["message"].as_str().unwrap();
        assert_eq!(message, format!("could not reach the peer at {nobody}: connection refused"));
        let status = sandbox.run("home", "status").exits(0);
        assert!(status.stdout.contains(&format!("{nobody}: connection refused")), "{}", status.stdout);
        running.signal(Signal::INT);
        let (events, code) = running.end();
        check_events(&events, code);
        assert_eq!(code, Some(0));
    }
    let child = sandbox
        .shoal("home", &format!("start --peer {nobody}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = wait_for_line(child, "warning: ");
    assert!(stderr.ends_with("connection refused; trying again"), "{stderr}");
}
