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
    scenarios::{demo, kill, with_logs},
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
fn a_getter_that_is_killed_goes_on_where_it_was() {
    let options = kill::Options { size: 192 << 20, kills: 4, seed: rand::random() };
    check_kills(kill::getter, &options);
}

#[test]
fn a_get_survives_that_its_provider_is_killed() {
    let options = kill::Options { size: 192 << 20, kills: 4, seed: rand::random() };
    check_kills(kill::provider, &options);
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
