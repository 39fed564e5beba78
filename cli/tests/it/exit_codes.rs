//! Every exit code that these commands can end with is reached here.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};

use crate::sandbox::{DEADLINE, Ran, Running, Sandbox, check_events, noise};

/// Content that takes long enough to fetch that something can happen meanwhile.
const LONG: usize = 64 << 20;

/// A CID that nobody has.
const NOBODYS: &str = "bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn code_0_done_and_1_home_in_use() {
    let sandbox = Sandbox::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        if signal == Signal::HUP && hangups_are_ignored() {
            continue;
        }
        let daemon = sandbox.daemon("home", None);
        let second = sandbox.run("home", "start").exits(1);
        assert!(second.stderr.starts_with("error: already running (pid "), "{}", second.stderr);
        daemon.signal(signal);
        let (events, code) = daemon.end();
        assert_eq!(code, Some(0), "{signal:?}: {events:?}");
        check_events(&events, code);
    }
}

/// Whether these tests run with `nohup`: what they start inherits that, and goes on when its terminal is gone.
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn code_141_nobody_reads_the_rest() {
    let sandbox = Sandbox::new();
    let _daemon = sandbox.daemon("home", None);
    sandbox.file("file", b"x");
    // Takes no room, and longer to hash than anybody waits.
    File::create(sandbox.work().join("endless")).unwrap().set_len(1 << 38).unwrap();
    for (line, code) in [("publish --wait file --json", 0), ("publish -n file endless", 141)] {
        let mut child = sandbox.shoal("home", line).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !line.contains("bafkr4i") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0);
        }
        drop(stdout);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{line}");
    }
}

#[test]
fn whoever_serves_does_so_with_no_reader() {
    let sandbox = Sandbox::new();
    sandbox.file("file", b"x");
    for line in ["start", "publish file"] {
        let mut child = sandbox.shoal("home", line).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            sandbox.run("home", "status").exits(0);
        }
        sandbox.run("home", "stop").exits(0);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn code_2_usage() {
    let sandbox = Sandbox::new();
    let lines = [
        "",
        "frobnicate",
        "get",
        "get not-a-cid",
        "get --overwrite --rename x",
        "get -o - --json bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "publish --name x a b",
        "publish --name= a",
        "publish --name ../x a",
        "get bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --include *.jpg",
        "start --peer nowhere",
        "start --scope moon",
        "verify file bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
    ];
    for line in lines {
        let ran = sandbox.run("home", line).exits(2);
        assert!(ran.stderr.contains("error: ") || ran.stderr.contains("Usage: "), "{line}: {}", ran.stderr);
        if line.contains("--json") {
            ran.events();
        }
    }
    sandbox.run("home", "--json get").exits(2).events();
    fs::create_dir_all(sandbox.home("home")).unwrap();
    fs::write(sandbox.home("home").join("config.toml"), "netwrok = 'main'").unwrap();
    let config = sandbox.run("home", "--json ls").exits(2);
    assert_eq!(config.events()[0]["error"]["hint"], "did you mean network?");
}

#[test]
fn code_3_nobody_offers_it() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let asking = ["get", "find"]
        .map(|command| sandbox.spawn(command, &format!("{command} {NOBODYS} --peer {}", daemon.address)));
    for asking in asking {
        let (events, code) = asking.end();
        assert_eq!(code, Some(3));
        check_events(&events, code);
        assert_eq!(events.last().unwrap()["error"]["kind"], "not-found");
    }
    sandbox.run("daemon", &format!("unpublish {NOBODYS} --json")).exits(3).events();
    sandbox.run("home", &format!("unpublish {NOBODYS} --json")).exits(3).events();
}

#[test]
fn code_4_providers_known_and_none_reachable() {
    let sandbox = Sandbox::new();
    let middle = sandbox.daemon("middle", None);
    let provider = sandbox.daemon("provider", Some(&middle));
    sandbox.file("file", b"soon gone");
    let published = sandbox.run("provider", "publish --wait file").exits(0);
    // No farewell: what it announced stays where it announced it.
    provider.signal(Signal::KILL);
    drop(provider);
    let ran = sandbox
        .run("getter", &format!("get {} -o copy --peer {}", published.word(), middle.address))
        .exits(4);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(!sandbox.work().join("copy").exists());
}

#[test]
fn code_3_a_file_of_a_directory_changed() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    sandbox.file("tree/good", b"good");
    sandbox.file("tree/sub/bad", b"good too");
    let cid = sandbox.run("daemon", "publish tree").exits(0).word();
    sandbox.file("tree/sub/bad", b"not any more");
    let line = format!("get {cid} -o copy --json --peer {}", daemon.address);
    let events = sandbox.run("getter", &line).exits(3).events();
    let error = &events.last().unwrap()["error"];
    assert!(error["message"].as_str().unwrap().contains("sub/bad"), "{error}");
    assert!(error["causes"][0].as_str().unwrap().contains("its file changed"), "{error}");
}

#[test]
fn code_5_it_does_not_verify() {
    let sandbox = Sandbox::new();
    sandbox.file("right", b"right");
    sandbox.file("wrong", b"wrong");
    let cid = sandbox.run("home", "publish -n right").exits(0).word();
    sandbox.run("home", &format!("verify right {cid}")).exits(0);
    let ran = sandbox.run("home", &format!("verify wrong {cid} --json")).exits(5);
    assert_eq!(ran.events()[0]["error"]["kind"], "mismatch");
    assert!(!sandbox.home("home").exists(), "neither needs a home");
}

#[test]
fn code_7_the_target_exists() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let cid = publish(&sandbox, "file", b"the right bytes");
    let target = sandbox.file("target", b"other bytes");
    let get =
        |more: &str| sandbox.run("getter", &format!("get {cid} -o target --peer {} {more}", daemon.address));
    get("").exits(7);
    assert_eq!(fs::read(&target).unwrap(), b"other bytes");
    let renamed = get("--rename").exits(0);
    assert_eq!(fs::read(renamed.stdout.trim_end()).unwrap(), b"the right bytes");
    assert_eq!(fs::read(&target).unwrap(), b"other bytes");
    get("--overwrite").exits(0);
    assert_eq!(fs::read(&target).unwrap(), b"the right bytes");
    let again = get("").exits(0);
    assert!(again.stderr.contains("already there"), "{}", again.stderr);

    let elsewhere = sandbox.work().join("elsewhere");
    fs::rename(&target, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &target).unwrap();
    let linked = get("").exits(0);
    assert!(linked.stderr.contains("already there"), "{}", linked.stderr);
    assert!(target.is_symlink());
    fs::write(&elsewhere, b"other bytes").unwrap();
    get("").exits(7);
}

#[test]
fn code_8_the_disk_does_not_take_it() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let cid = publish(&sandbox, "file", b"bytes");
    sandbox.file("not-a-folder", b"");
    let line = format!("get {cid} --peer {} -o not-a-folder/copy --json", daemon.address);
    let events = sandbox.run("getter", &line).exits(8).events();
    let message = events.last().unwrap()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("not-a-folder is not a folder"), "{message}");

    let line = format!("get {cid} --peer {} -o -", daemon.address);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ran = Ran::from(sandbox.shoal("getter", &line).stdout(Stdio::from(full)).output().unwrap()).exits(8);
    assert!(ran.stderr.contains("no space left on device"), "{}", ran.stderr);
}

#[test]
fn code_9_the_source_is_missing() {
    let sandbox = Sandbox::new();
    for line in ["publish nothing", "publish -n nothing", "verify nothing"] {
        let line = if line.starts_with("verify") { format!("{line} {NOBODYS}") } else { line.to_owned() };
        let ran = sandbox.run("home", &line).exits(9);
        assert!(ran.stderr.contains("nothing") && ran.stderr.contains("no such file"), "{}", ran.stderr);
    }
}

#[test]
fn code_10_no_daemon() {
    let sandbox = Sandbox::new();
    for line in ["status", "peers", "stop"] {
        let ran = sandbox.run("home", line).exits(10);
        assert!(ran.stderr.contains("hint: start one with `shoal start`"), "{}", ran.stderr);
        sandbox.run("home", &format!("{line} --json")).exits(10).events();
    }
    assert!(!sandbox.home("home").exists(), "asking must not make a home");
}

#[test]
fn code_10_a_home_whose_holder_does_not_answer() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.home("home")).unwrap();
    let lock = File::create(sandbox.home("home").join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let ran = sandbox.run("home", "ls").exits(10);
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);
}

#[test]
fn code_10_the_node_is_frozen() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("home", None);
    sandbox.file("file", b"x");
    let guest = sandbox.spawn("home", &format!("get {NOBODYS}"));
    wait_for_a_job(&sandbox);
    daemon.signal(Signal::STOP);

    let pid = daemon.pid().to_string();
    let lines = ["status", "ls", "stop", "publish file", "unpublish file", "id", "find {NOBODYS}"];
    let commands = lines.map(|line| sandbox.spawn("home", &line.replace("{NOBODYS}", NOBODYS)));
    for (command, line) in commands.into_iter().chain([guest]).zip(lines.into_iter().chain(["get"])) {
        let (events, code) = command.end();
        assert_eq!(code, Some(10), "{line}: {events:?}");
        check_events(&events, code);
        let error = &events.last().unwrap()["error"];
        assert!(error["message"].as_str().unwrap().contains("does not answer"), "{line}: {error}");
        assert!(error["hint"].as_str().unwrap().contains(&format!("kill -CONT {pid}")), "{line}: {error}");
    }

    daemon.signal(Signal::CONT);
    sandbox.run("home", "status").exits(0);
}

#[test]
fn code_10_the_node_dies_under_its_guest() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("home", None);
    let guest = sandbox.spawn("home", &format!("get {NOBODYS}"));
    wait_for_a_job(&sandbox);
    drop(daemon);
    let (events, code) = guest.end();
    assert_eq!(code, Some(10));
    check_events(&events, code);
}

#[test]
fn code_11_timed_out() {
    let sandbox = Sandbox::new();
    let (daemon, getter) = long_get(&sandbox, "--timeout 2s");
    daemon.signal(Signal::STOP);
    let (events, code) = getter.end();
    assert_eq!(code, Some(11), "{:?}", events.last());
    check_events(&events, code);
    assert!(!sandbox.work().join("copy").exists());
}

#[test]
fn code_130_interrupted_and_then_resumed() {
    let sandbox = Sandbox::new();
    let (daemon, getter) = long_get(&sandbox, "");
    getter.signal(Signal::INT);
    let (events, code) = getter.end();
    assert_eq!(code, Some(130), "{:?}", events.last());
    check_events(&events, code);
    assert!(!sandbox.work().join("copy").exists(), "nothing half-written has the final name");

    let again = sandbox
        .run("getter", &format!("get {} -o copy --json --peer {}", cid_of_long(&sandbox), daemon.address));
    let events = again.exits(0).events();
    let fetched = events.iter().find(|event| event["event"] == "fetched").unwrap();
    assert!(fetched["received"].as_u64() < fetched["size"].as_u64(), "{fetched}");
    assert!(fs::read(sandbox.work().join("copy")).unwrap() == noise(7, LONG));
}

/// A daemon that has told a peer of what it shares, a peer that answers nothing any more.
fn daemon_with_a_frozen_peer(sandbox: &Sandbox) -> (Running, Running) {
    let peer = sandbox.daemon("peer", None);
    let daemon = sandbox.daemon("daemon", Some(&peer));
    sandbox.file("file", b"x");
    sandbox.run("daemon", "publish --wait file").exits(0);
    peer.signal(Signal::STOP);
    (daemon, peer)
}

#[test]
fn a_signal_stops_in_time_whatever_the_peers_do() {
    let sandbox = Sandbox::new();
    let (daemon, _peer) = daemon_with_a_frozen_peer(&sandbox);
    let start = Instant::now();
    daemon.signal(Signal::TERM);
    let (events, code) = daemon.end();
    assert_eq!(code, Some(0), "{events:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_does_not_wait() {
    let sandbox = Sandbox::new();
    let (daemon, _peer) = daemon_with_a_frozen_peer(&sandbox);
    daemon.signal(Signal::INT);
    let start = Instant::now();
    while sandbox.home("daemon").join("api.sock").exists() {
        assert!(start.elapsed() < DEADLINE, "the first signal was not heard");
    }
    daemon.signal(Signal::INT);
    let (_, code) = daemon.end();
    assert_eq!(code, Some(130));
}

fn publish(sandbox: &Sandbox, name: &str, content: &[u8]) -> String {
    sandbox.file(name, content);
    sandbox.run("daemon", &format!("publish {name}")).exits(0).word()
}

/// Waits until the node of the home is at work for somebody.
fn wait_for_a_job(sandbox: &Sandbox) {
    let start = Instant::now();
    while sandbox.run("home", "status --json").exits(0).events()[0]["jobs"] == 0 {
        assert!(start.elapsed() < DEADLINE, "the work does not begin");
    }
}

fn cid_of_long(sandbox: &Sandbox) -> String {
    sandbox.run("daemon", "publish -n long").exits(0).word()
}

/// A provider, and a get from it that has received something and is far from done.
fn long_get(sandbox: &Sandbox, more: &str) -> (Running, Running) {
    let daemon = sandbox.daemon("daemon", None);
    let cid = publish(sandbox, "long", &noise(7, LONG));
    let mut getter = sandbox.spawn("getter", &format!("get {cid} -o copy --peer {} {more}", daemon.address));
    getter.wait_until(|event| event["event"] == "progress" && event["bytes"].as_u64() > Some(0));
    (daemon, getter)
}
