//! `shoal limit`, and the limits that a node starts with.

use std::fs;

use crate::sandbox::Sandbox;

#[test]
fn a_running_node_changes_its_limits() {
    let sandbox = Sandbox::new();
    sandbox.run("home", "limit").exits(10);
    fs::create_dir_all(sandbox.home("home")).unwrap();
    fs::write(sandbox.home("home").join("config.toml"), "up = \"2M\"\n").unwrap();
    let _daemon = sandbox.daemon("home", None);
    // What the file says is for a node that starts, not for one that is asked.
    for _ in 0..2 {
        let shown = sandbox.run("home", "limit").exits(0).stdout;
        let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "up             2.0 MB/s",
                "down           no limit",
                "up per peer    no limit",
                "down per peer  no limit"
            ]
        );
    }
    let events = sandbox.run("home", "limit --up none --down-per-peer 1.5M --json").exits(0).events();
    assert_eq!(events[0]["event"], "rates");
    assert!(events[0]["up"].is_null());
    assert_eq!(events[0]["down_per_peer"], 1_500_000);
    let status = sandbox.run("home", "status --json").exits(0).events();
    assert_eq!(status[0]["rates"]["down_per_peer"], 1_500_000);
    assert!(sandbox.run("home", "status").exits(0).stdout.contains("speed      down per peer 1.5 MB/s"));
    for wrong in ["limit --up 5", "limit --up fast", "limit --down -1"] {
        sandbox.run("home", wrong).exits(2);
    }
}

#[test]
fn a_guest_is_told_that_its_limit_is_not_the_nodes() {
    let sandbox = Sandbox::new();
    let _daemon = sandbox.daemon("home", None);
    sandbox.file("file", b"content");
    let told = sandbox.run("home", "publish file --up 1M").exits(0);
    assert!(told.stderr.contains("--up does not change the running node"), "{}", told.stderr);
    assert!(sandbox.run("home", "limit").exits(0).stdout.starts_with("up             no limit"));
    let told = sandbox.run("home", "publish file --up none").exits(0);
    assert!(!told.stderr.contains("--up"), "{}", told.stderr);
}
