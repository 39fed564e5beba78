//! What goes to stdout and what to stderr, with and without `--json` and `-q`.

use std::{fs, process::Stdio};

use crate::sandbox::{Ran, Sandbox, noise};

#[test]
fn names_are_checksums() {
    let sandbox = Sandbox::new();
    sandbox.file("file", b"hello");
    let ran = sandbox.run("home", "publish -n file").exits(0);
    let cid = "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4";
    assert_eq!(ran.stdout, format!("{cid}  file\n"));
    assert_eq!(sandbox.run("home", "publish -n -q file").exits(0).stdout, format!("{cid}\n"));
    let events = sandbox.run("home", "publish -n file --json").exits(0).events();
    let published = events.iter().find(|event| event["event"] == "published").unwrap();
    assert_eq!((published["cid"].as_str(), published["ticket"].is_null()), (Some(cid), true));
    let digest = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";
    sandbox.run("home", &format!("verify file {digest}")).exits(0);
}

#[test]
fn every_command_ends_its_events_with_one_done() {
    let sandbox = Sandbox::new();
    sandbox.file("file", b"hello");
    let cid = sandbox.run("home", "publish -n file").exits(0).word();
    let without_node = ["id", "paths", "ls", "publish -n file", &format!("verify file {cid}")];
    for line in without_node {
        sandbox.run("home", &format!("{line} --json")).exits(0).events();
    }
    let _daemon = sandbox.daemon("home", None);
    let with_node = ["publish file", "id", "ls", "status", "peers", &format!("get {cid} -o copy")];
    let last = [&format!("unpublish {cid}"), "stop"];
    for line in with_node.into_iter().chain(last) {
        sandbox.run("home", &format!("{line} --json")).exits(0).events();
    }
}

#[test]
fn content_to_stdout() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let content = noise(5, 3_000_000);
    sandbox.file("file", &content);
    let cid = sandbox.run("daemon", "publish file").exits(0).word();
    let line = format!("get {cid} -o - --peer {}", daemon.address);
    let output = sandbox.shoal("getter", &line).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == content);
    let left = fs::read_dir(sandbox.home("getter").join("tmp")).unwrap().count();
    assert_eq!(left, 0, "no temporary file stays");

    let mut reader_that_leaves = sandbox.shoal("getter", &line);
    let mut reader_that_leaves =
        reader_that_leaves.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(reader_that_leaves.stdout.take());
    assert_eq!(reader_that_leaves.wait().unwrap().code(), Some(0), "a reader that has enough is no failure");

    sandbox.file("tree/file", b"x");
    let folder = sandbox.run("daemon", "publish tree").exits(0).word();
    sandbox.run("getter", &format!("get {folder} -o - --peer {}", daemon.address)).exits(2);
}

#[test]
fn notes_stay_off_stdout() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    sandbox.file("file", b"hello");
    let loud = sandbox.run("daemon", "publish file").exits(0);
    assert_eq!(loud.stdout.lines().count(), 1);
    assert!(loud.stderr.contains("1 file, 5 B"), "{}", loud.stderr);
    assert!(loud.stderr.contains("shoal get shoal1"), "{}", loud.stderr);
    let quiet = sandbox.run("daemon", "publish -q file").exits(0);
    assert_eq!((quiet.stdout.lines().count(), quiet.stderr.as_str()), (1, ""));
    let got =
        sandbox.run("getter", &format!("get -q {} -o copy --peer {}", quiet.word(), daemon.address)).exits(0);
    assert_eq!((got.stdout.lines().count(), got.stderr.as_str()), (1, ""));
}

#[test]
fn what_was_skipped_is_listed_and_counted() {
    let sandbox = Sandbox::new();
    sandbox.file("tree/file", b"x");
    std::os::unix::fs::symlink("/etc/passwd", sandbox.work().join("tree/link")).unwrap();
    let ran = sandbox.run("home", "publish -n tree").exits(0);
    assert!(ran.stderr.contains("tree/link: it is a symlink"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 skipped"), "{}", ran.stderr);
}

#[test]
fn remote_names_cannot_drive_the_terminal() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let name = "tree/exe\u{202e}gpj";
    sandbox.file(name, b"x");
    let cid = sandbox.run("daemon", "publish tree").exits(0).word();
    let get = format!("get --list {cid} --peer {}", daemon.address);
    let shown = sandbox.run("getter", &get).exits(0);
    assert!(
        shown.stdout.contains("exe\\u{202e}gpj") && !shown.stdout.contains('\u{202e}'),
        "{}",
        shown.stdout
    );
    let exact = sandbox.run("getter", &format!("{get} --json")).exits(0).events();
    assert_eq!(exact[0]["path"], "exe\u{202e}gpj");
}

#[test]
fn paths_and_ids() {
    let sandbox = Sandbox::new();
    let paths = sandbox.run("home", "paths --json").exits(0).events();
    let home = sandbox.home("home");
    assert_eq!(paths[0]["socket"], home.join("api.sock").to_str().unwrap());
    let mut xdg = sandbox.shoal("home", "paths");
    let xdg = Ran::from(xdg.env_remove("SHOAL_HOME").output().unwrap()).exits(0);
    assert!(xdg.stdout.contains("/.local/share/shoal\n"), "{}", xdg.stdout);
    assert!(xdg.stdout.contains("/.config/shoal/config.toml\n"), "{}", xdg.stdout);
    assert!(!home.exists());

    let id = sandbox.run("home", "id").exits(0).stdout;
    assert!(id.starts_with("12D3KooW"), "{id}");
    let daemon = sandbox.daemon("home", None);
    assert_eq!(sandbox.run("home", "id").exits(0).stdout, id, "with and without its node");
    assert!(daemon.address.ends_with(id.trim_end()));
}

#[test]
fn colors_are_as_the_user_wants_them_also_where_the_line_is_wrong() {
    let sandbox = Sandbox::new();
    let is_colored = |line: &str, variable: (&str, &str)| {
        let mut command = sandbox.shoal("home", line);
        let ran = Ran::from(command.env(variable.0, variable.1).output().unwrap()).exits(2);
        ran.stderr.contains('\u{1b}')
    };
    let none = ("UNUSED", "");
    assert!(is_colored("--color always frobnicate", none));
    assert!(is_colored("frobnicate --color=always", ("NO_COLOR", "1")));
    assert!(is_colored("frobnicate", ("SHOAL_COLOR", "always")));
    assert!(!is_colored("frobnicate --color never", ("SHOAL_COLOR", "always")));
    assert!(!is_colored("frobnicate", ("NO_COLOR", "1")));
}

#[test]
fn what_a_damaged_store_forgot_is_listed() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("file", b"x");
    let daemon = sandbox.daemon("home", None);
    sandbox.run("home", "publish file").exits(0);
    sandbox.run("home", "stop").exits(0);
    daemon.end();
    fs::write(sandbox.home("home").join("store/store.redb"), b"not a database any more").unwrap();
    let ran = sandbox.run("home", "ls").exits(0);
    let sentence = format!("warning: {} was shared, and the store was damaged since", file.display());
    assert!(ran.stderr.contains(&sentence) && !ran.stderr.contains("nothing is shared"), "{}", ran.stderr);
    assert_eq!(sandbox.run("home", "ls --json").exits(0).events()[0]["event"], "warning");
    fs::remove_file(&file).unwrap();
    let _daemon = sandbox.daemon("home", None);
    assert!(sandbox.run("home", "ls").exits(0).stderr.contains(&sentence), "also with a node");
}

#[test]
fn find_tells_what_is_in_a_directory() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    sandbox.file("tree/a", b"12345");
    sandbox.file("tree/b", b"12345");
    let cid = sandbox.run("daemon", "publish tree").exits(0).word();
    let alone = sandbox.run("daemon", &format!("find {cid}")).exits(3);
    assert!(alone.stderr.contains("this node has it itself"), "{}", alone.stderr);
    let line = format!("find {cid} --peer {}", daemon.address);
    let ran = sandbox.run("finder", &line).exits(0);
    assert!(ran.stdout.contains("the list of its files"), "{}", ran.stdout);
    assert!(ran.stderr.contains("; a directory of 2 files, 10 B"), "{}", ran.stderr);
}

#[test]
fn find_says_why_nobody_was_found() {
    const NOBODYS: &str = "bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("daemon", None);
    let file = sandbox.file("file", b"first");
    let cid = sandbox.run("daemon", "publish file").exits(0).word();
    let says = |line: &str, code: i32, words: [&str; 2]| {
        let ran = sandbox.run("finder", line).exits(code);
        assert!(words.iter().all(|words| ran.stderr.contains(words)), "{line}: {}", ran.stderr);
    };
    let peer = &daemon.address;
    says(&format!("find {NOBODYS}"), 3, ["no other node of this network is known", "--peer"]);
    says(&format!("find {NOBODYS} --peer {peer}"), 3, ["the only node that was asked", "its ticket"]);
    // What the daemon still announces.
    fs::write(file, b"other").unwrap();
    says(&format!("find {cid} --peer {peer}"), 3, ["says that it does not", "publish it again"]);
}

#[test]
fn flag_beats_environment_beats_file() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.home("home")).unwrap();
    fs::write(sandbox.home("home").join("config.toml"), "network = 'file'\n").unwrap();
    let network = |args: &str, variable: Option<&str>| {
        let mut command = sandbox.shoal("home", args);
        command.envs(variable.map(|value| ("SHOAL_NETWORK", value)));
        let mut child = command.arg("--json").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        ready["network"].as_str().unwrap().to_owned()
    };
    assert_eq!(network("start", None), "file");
    assert_eq!(network("start", Some("variable")), "variable");
    assert_eq!(network("start --network flag", Some("variable")), "flag");
}
