//! Several commands on one home: one runs the node, the others are its guests.

use std::fs;

use rustix::process::Signal;

use crate::sandbox::{Ran, Sandbox, check_events, noise, tree};

#[test]
fn two_terminals_one_home() {
    let sandbox = Sandbox::new();
    let elsewhere = sandbox.daemon("elsewhere", None);
    sandbox.file("theirs", b"from elsewhere");
    let theirs = sandbox.run("elsewhere", "publish theirs").exits(0).word();

    sandbox.file("first", b"first");
    let mut serving = sandbox.spawn("home", &format!("publish first --peer {}", elsewhere.address));
    let first = serving.wait_for("published");

    // The other terminal: all of these go through the first one's node.
    let got = sandbox.run("home", &format!("get {theirs} -o copy")).exits(0);
    assert_eq!(got.stdout.trim_end(), sandbox.work().join("copy").to_str().unwrap());
    assert_eq!(fs::read(sandbox.work().join("copy")).unwrap(), b"from elsewhere");
    sandbox.file("second", b"second");
    let second = sandbox.run("home", "publish second").exits(0);
    let listed = sandbox.run("home", "ls").exits(0).stdout;
    for cid in [first["cid"].as_str().unwrap(), &second.word(), &theirs] {
        assert!(listed.contains(cid), "{listed}");
    }
    let status = sandbox.run("home", "status --json").exits(0).events();
    assert_eq!(status[0]["shares"], 3);
    let dht = sandbox.run("home", "status --dht").exits(0).stdout;
    for part in ["table", "reach", "held", "own", "backlog", "sweep", "problem"] {
        assert!(dht.contains(part), "{part} is missing: {dht}");
    }
    assert!(sandbox.run("home", "peers -q").exits(0).stdout.trim_end().len() > 40);

    // A third home gets from it what the guest published.
    let holders = sandbox.run("elsewhere", &format!("find {} --json", second.word())).exits(0).events();
    assert_eq!(holders[0]["event"], "holder");

    serving.signal(Signal::TERM);
    let (events, code) = serving.end();
    check_events(&events, code);
    assert_eq!(code, Some(0), "a clean stop of a serving publish");
    let offline = sandbox.run("home", "ls").exits(0).stdout;
    assert_eq!(offline, listed, "the store says the same without its node");
}

#[test]
fn stop_stops_whoever_runs_the_node() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("home", None);
    assert_eq!(sandbox.run("home", "stop").exits(0).stdout, "");
    let (events, code) = daemon.end();
    check_events(&events, code);
    assert_eq!(code, Some(0));
    assert!(!sandbox.home("home").join("api.sock").exists());
    drop(sandbox.daemon("home", None));
    // That one was killed and left its socket behind.
    assert!(sandbox.home("home").join("api.sock").exists());
    let again = sandbox.daemon("home", None);
    sandbox.run("home", "status").exits(0);
    drop(again);
    sandbox.run("home", "status").exits(10);
}

#[test]
fn a_get_that_runs_the_node_waits_for_its_guests() {
    let sandbox = Sandbox::new();
    let provider = sandbox.daemon("provider", None);
    sandbox.file("long", &noise(1, 64 << 20));
    let long = sandbox.run("provider", "publish long").exits(0).word();
    sandbox.file("short", b"short");
    let short = sandbox.run("provider", "publish short").exits(0).word();

    let mut host = sandbox.spawn("home", &format!("get {long} -o long.copy --peer {}", provider.address));
    host.wait_until(|event| event["event"] == "progress" && event["stage"] == "fetching");
    sandbox.run("home", &format!("get {short} -o short.copy")).exits(0);
    let mut guest = sandbox.spawn("home", &format!("get {long} -o second.copy"));
    guest.wait_for("progress");
    let (_, code) = host.end();
    assert_eq!(code, Some(0));
    let (_, code) = guest.end();
    assert_eq!(code, Some(0));
    assert!(fs::read(sandbox.work().join("second.copy")).unwrap() == noise(1, 64 << 20));
}

#[test]
fn a_guest_that_leaves_takes_its_job_along() {
    let sandbox = Sandbox::new();
    let provider = sandbox.daemon("provider", None);
    let home = sandbox.daemon("home", Some(&provider));
    sandbox.file("long", &noise(2, 64 << 20));
    let long = sandbox.run("provider", "publish long").exits(0).word();
    let mut guest = sandbox.spawn("home", &format!("get {long} -o copy --timeout 60s"));
    guest.wait_until(|event| event["event"] == "progress" && event["bytes"].as_u64() > Some(0));
    assert_eq!(sandbox.run("home", "status --json").exits(0).events()[0]["jobs"], 1);
    drop(guest);
    let start = std::time::Instant::now();
    while sandbox.run("home", "status --json").exits(0).events()[0]["jobs"] != 0 {
        assert!(start.elapsed() < crate::sandbox::DEADLINE, "the job goes on without its reader");
    }
    assert!(!sandbox.work().join("copy").exists());
    drop(home);
}

#[test]
fn a_directory_goes_from_one_home_to_another_by_its_cid_alone() {
    let sandbox = Sandbox::new();
    let provider = sandbox.daemon("provider", None);
    sandbox.file("tree/a.txt", b"a");
    sandbox.file("tree/b/c.bin", &noise(3, 300_000));
    sandbox.file("tree/empty", b"");
    let cid = sandbox.run("provider", "publish tree").exits(0).word();

    let list = sandbox.run("getter", &format!("get --list -q {cid} --peer {}", provider.address)).exits(0);
    assert_eq!(list.stdout, "a.txt\nb/c.bin\nempty\n");
    let got = sandbox.run("getter", &format!("get {cid} -o copy --peer {}", provider.address)).exits(0);
    assert!(got.stderr.contains("from 1 peer, verified"), "{}", got.stderr);
    assert_eq!(tree(&sandbox.work().join("copy")), tree(&sandbox.work().join("tree")));
    sandbox.run("getter", &format!("verify copy {cid}")).exits(0);

    let some =
        sandbox.run("third", &format!("get {cid} -o some --include *.txt --peer {}", provider.address));
    assert_eq!(some.exits(0).stdout.trim_end(), sandbox.work().join("some").to_str().unwrap());
    assert_eq!(tree(&sandbox.work().join("some")), [("a.txt".into(), b"a".to_vec())]);
}

#[test]
fn a_node_that_tells_others_than_it_should_is_said_and_not_used() {
    let sandbox = Sandbox::new();
    let _daemon = sandbox.daemon_with("home", "start --announce roots --scope both");
    sandbox.file("file", b"x");
    for (option, said) in [
        ("--network other", "is on network main, not other"),
        ("--announce none", "announces roots, not none"),
        ("--scope lan", "has scope both, not lan"),
    ] {
        let ran = sandbox.run("home", &format!("publish file {option}")).exits(2);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert_eq!(sandbox.run("home", "ls").exits(0).stdout, "");
    sandbox.run("home", "publish file --network main --announce roots --scope both").exits(0);
}

#[test]
fn options_that_a_running_node_does_not_take_over_are_said() {
    let sandbox = Sandbox::new();
    let _daemon = sandbox.daemon("home", None);
    sandbox.file("file", b"x");
    for command in ["publish file", "find bafkr4icavvl7w3m6v3ejfcgrl6n7fucxq4ls3qcwagfgssu6wejnyvvaum"] {
        for option in ["--listen /ip4/127.0.0.1/tcp/9", "--external /ip4/192.0.2.1/tcp/9"] {
            let name = option.split(' ').next().unwrap();
            let said = sandbox.run("home", &format!("{command} {option}")).stderr;
            let expected = format!("warning: {name} does not change the running node of this home");
            assert!(said.contains(&expected) && said.contains("shoal stop"), "{said}");
            let events = sandbox.run("home", &format!("{command} {option} --json")).events();
            let first = &events[0];
            assert!(first["event"] == "warning" && first["message"].as_str().unwrap().starts_with(name));
        }
        let said = sandbox.run("home", command).stderr;
        assert!(!said.contains("warning: --"), "what it was started with needs no word: {said}");
    }
    let said = sandbox.run("home", "publish file --peer 127.0.0.1:9").exits(0).stderr;
    assert!(said.contains("warning: --peer does not make the running node"), "{said}");
    // From the environment it means the same.
    let mut command = sandbox.shoal("home", "publish file");
    let ran = Ran::from(command.env("SHOAL_EXTERNAL", "/ip4/192.0.2.1/tcp/9").output().unwrap()).exits(0);
    assert!(ran.stderr.contains("warning: --external does not change"), "{}", ran.stderr);
}

#[test]
fn what_was_saved_under_another_name_is_not_saved_again() {
    let sandbox = Sandbox::new();
    let provider = sandbox.daemon("provider", None);
    sandbox.file("there/file.txt", &noise(7, 2_000_000));
    sandbox.file("there/tree/file", b"y");
    for (name, option) in [("file.txt", ""), ("file.txt", "--no-seed"), ("tree", "")] {
        let cid = sandbox.run("provider", &format!("publish there/{name}")).exits(0).word();
        let folder = format!("to{option}");
        sandbox.file(&format!("{folder}/file.txt"), b"another");
        sandbox.file(&format!("{folder}/tree/other"), b"another");
        sandbox.file(&format!("{folder}/file (1).txt"), b"a third");
        let line = format!("get {cid} -o {folder} --rename {option} --peer {}", provider.address);
        let first = sandbox.run("home", &line).exits(0);
        assert!(first.stdout.contains("("), "{}", first.stdout);
        let files = tree(&sandbox.work().join(&folder));
        let again = sandbox.run("home", &line).exits(0);
        assert_eq!(again.stdout, first.stdout);
        assert!(again.stderr.contains("already there"), "{}", again.stderr);
        assert!(tree(&sandbox.work().join(&folder)) == files);
        // One that was changed since is another file.
        if name == "file.txt" {
            fs::write(first.stdout.trim_end(), "changed").unwrap();
            assert_ne!(sandbox.run("home", &line).exits(0).stdout, first.stdout);
        }
    }
}

#[test]
fn targets_are_named_by_the_user_the_ticket_the_provider_or_the_cid() {
    let sandbox = Sandbox::new();
    let provider = sandbox.daemon("provider", None);
    sandbox.file("there/photo.jpg", b"x");
    let published =
        sandbox.run("provider", "publish --json --name best.jpg there/photo.jpg").exits(0).events();
    let published = published.iter().find(|event| event["event"] == "published").unwrap();
    let (cid, ticket) = (published["cid"].as_str().unwrap(), published["ticket"].as_str().unwrap());
    let get = |home: &str, what: &str, more: &str| {
        let got = sandbox.run(home, &format!("get {what} --peer {} {more}", provider.address)).exits(0);
        let path = got.stdout.trim_end().to_owned();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        path.strip_prefix(sandbox.work().to_str().unwrap()).unwrap().to_owned()
    };
    assert_eq!(get("by-hint", cid, ""), "/best.jpg");
    fs::remove_file(sandbox.work().join("best.jpg")).unwrap();
    assert_eq!(get("by-ticket", ticket, ""), "/best.jpg");
    assert_eq!(get("by-user", cid, "-o mine.jpg"), "/mine.jpg");
    fs::create_dir(sandbox.work().join("folder")).unwrap();
    assert_eq!(get("in-folder", cid, "-o folder"), "/folder/best.jpg");
}
