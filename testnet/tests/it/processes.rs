//! Real `shoal` processes on loopback: the demo, and kill -9.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    ops::RangeInclusive,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use shoal_testnet::{
    process::Launcher,
    scenarios::{crowd, demo, kill, with_logs},
    shoal::Shoal,
};

/// What may be sent for 100 bytes of a file while processes are killed. Less would be a wrong count.
const PERCENT: RangeInclusive<u64> = 100..=110;

const PROGRAM: &str = env!("CARGO_BIN_EXE_shoal-testnet");

/// A network that no other test uses, of processes that are the test's own build of the program.
fn shoal(network: &str) -> Shoal {
    Shoal::new(Path::new(PROGRAM), Launcher::default(), format!("{network}-{}", std::process::id()))
}

#[test]
fn twelve_daemons_in_a_chain_give_the_demo() {
    let dir = tempfile::tempdir().unwrap();
    let options = demo::Options { nodes: 12, size: 4 << 20, files: 40, seed: 1 };
    let result = demo::run(&shoal("demo"), dir.path(), &options, &mut io::stdout());
    with_logs(dir.path(), result).unwrap();
}

#[test]
fn ctrl_c_ends_the_demo_and_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Command::new(PROGRAM)
        .args(["demo", "--size", "1MiB"])
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.starts_with("daemon 3")), "no daemon was started");
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left in the temporary folder");
    // The homes of its daemons, and so their command lines, have that folder in them.
    let folder = dir.path().to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    assert_eq!(commands.filter(|command| command.contains(folder)).count(), 0, "a daemon is left");
}

#[test]
fn ctrl_c_leaves_no_folder_of_a_scenario_that_has_no_process_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut sim = Command::new(PROGRAM)
        .args(["sim", "lookup", "--nodes", "20", "--rest", "600", "--whose", "shoal"])
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(sim.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("seed"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "it has a folder while it runs");
    kill_process(Pid::from_child(&sim), Signal::INT).unwrap();
    assert_eq!(sim.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left in the temporary folder");
}

#[test]
fn a_network_stays_until_ctrl_c_and_its_homes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let homes = dir.path().join("homes");
    let file = dir.path().join("file");
    fs::write(&file, "something to try").unwrap();
    let start = || {
        let mut command = Command::new(PROGRAM);
        let command = command.args(["up", "--nodes", "3", "--dir"]).arg(&homes);
        let mut up = command.env("TMPDIR", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("3 daemons are up")));
        // The examples that it prints; the pipe stays open.
        let examples: Vec<_> = lines.by_ref().take(3).collect();
        (up, lines, examples)
    };
    let words = |example: &str| example.split_whitespace().map(String::from).collect::<Vec<_>>();
    let shoal = |words: &[String], args: &[&str]| {
        let done = Command::new(&words[0]).args(&words[1..4]).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };

    let (mut up, lines, examples) = start();
    let cid = shoal(&words(&examples[0]), &["publish", file.to_str().unwrap(), "-q"]);
    let cid = cid.split_whitespace().next().unwrap();
    assert_eq!(shoal(&words(&examples[1]), &["get", cid, "-o", "-"]), "something to try");
    kill_process(Pid::from_child(&up), Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    drop(lines);

    let (mut up, lines, examples) = start();
    assert!(shoal(&words(&examples[0]), &["ls"]).contains(cid), "what the home shared is forgotten");
    kill_process(Pid::from_child(&up), Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    drop(lines);
}

#[test]
fn a_getter_that_is_killed_goes_on_where_it_was() {
    // A kill loses what was under way, ten megabytes whatever the size: of a smaller file that is more than is allowed.
    let options = kill::Options { size: 640 << 20, kills: 4, seed: rand::random() };
    check_kills(kill::getter, &options);
}

#[test]
fn a_get_survives_that_its_provider_is_killed() {
    let options = kill::Options { size: 192 << 20, kills: 4, seed: rand::random() };
    check_kills(kill::provider, &options);
}

#[test]
fn those_who_get_the_same_at_once_help_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let options = crowd::Options { size: 32 << 20, files: 1, peers: 4, up: 6_000_000, leave: false };
    let result = crowd::one_to_many(&shoal("crowd"), dir.path(), &options, &mut io::stdout());
    let outcome = with_logs(dir.path(), result).unwrap();
    // Alone it would have sent everything four times.
    let sent = outcome.of_size(options.size);
    assert!((1.0..2.5).contains(&sent), "the first sent {sent:.2} times the file: {outcome:?}");
    assert!(outcome.elapsed >= outcome.bound.mul_f64(0.9), "faster than its limit: {outcome:?}");
}

#[test]
fn gets_without_a_daemon_help_each_other_too() {
    let dir = tempfile::tempdir().unwrap();
    let options = crowd::Options { size: 32 << 20, files: 1, peers: 3, up: 6_000_000, leave: true };
    let result = crowd::one_to_many(&shoal("leave"), dir.path(), &options, &mut io::stdout());
    let outcome = with_logs(dir.path(), result).unwrap();
    let sent = outcome.of_size(options.size);
    assert!((1.0..2.5).contains(&sent), "the first sent {sent:.2} times the file: {outcome:?}");
}

#[test]
fn those_who_get_the_same_directory_at_once_help_each_other() {
    // Many small files, some long ones, and one that is passed on while it comes. Without any help it would be four times.
    for (files, most) in [(256, 2.0), (16, 3.0), (2, 2.5)] {
        let dir = tempfile::tempdir().unwrap();
        let options = crowd::Options { size: 32 << 20, files, peers: 4, up: 6_000_000, leave: false };
        let result = crowd::one_to_many(&shoal("folder"), dir.path(), &options, &mut io::stdout());
        let outcome = with_logs(dir.path(), result).unwrap();
        let sent = outcome.of_size(options.size);
        assert!(
            (1.0..most).contains(&sent),
            "of {files} files the first sent {sent:.2} times all: {outcome:?}"
        );
    }
}

#[test]
fn many_sources_are_used_together_and_one_of_them_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let options = crowd::Options { size: 32 << 20, files: 1, peers: 3, up: 4_000_000, leave: false };
    let many = crowd::many_to_one;
    let result = many(&shoal("many"), dir.path(), &options, crowd::Kill::One, &mut io::stdout());
    let outcome = with_logs(dir.path(), result).unwrap();
    let sent = outcome.of_size(options.size);
    assert!((1.0..1.2).contains(&sent), "{sent:.2} times the file was sent: {outcome:?}");
}

type Scenario = fn(&Shoal, &Path, &kill::Options, &mut dyn io::Write) -> anyhow::Result<kill::Outcome>;

fn check_kills(scenario: Scenario, options: &kill::Options) {
    println!("seed {}", options.seed);
    let dir = tempfile::tempdir().unwrap();
    let result = scenario(&shoal("kill"), dir.path(), options, &mut io::stdout());
    let outcome = with_logs(dir.path(), result).unwrap();
    assert!(outcome.kills > 0, "nobody was killed");
    let percent = outcome.percent_of(options.size);
    assert!(PERCENT.contains(&percent), "{percent} % sent: {outcome:?}");
}
