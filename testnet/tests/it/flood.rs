//! A daemon under floods: smaller ones than `shoal-testnet flood` makes, and the same promises.

use std::path::Path;

use shoal_testnet::{
    process::Launcher,
    scenarios::{
        flood::{Cost, Victim},
        with_logs,
    },
    shoal::Shoal,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shoal-testnet");

/// Memory that no flood of strangers may cost a daemon, in bytes.
const MEMORY: u64 = 64 << 20;

/// Connections that strangers may hold: those being negotiated, and those that are.
const CONNECTIONS: usize = 64 + 256;

fn check(name: &str, flood: impl FnOnce(&mut Victim) -> anyhow::Result<Cost>) {
    let dir = tempfile::tempdir().unwrap();
    let shoal = Shoal::new(Path::new(PROGRAM), Launcher::default(), format!("{name}-{}", std::process::id()));
    let flooded = || {
        let mut victim = Victim::start(&shoal, dir.path())?;
        let cost = flood(&mut victim)?;
        victim.stop()?;
        Ok(cost)
    };
    let cost = with_logs(dir.path(), flooded()).unwrap();
    println!("{cost:?}");
    assert!(cost.memory <= MEMORY, "{} bytes", cost.memory);
    assert!(cost.open_files <= CONNECTIONS + 32, "{} files", cost.open_files);
}

#[test]
fn connections_that_never_speak() {
    check("silence", |victim| victim.silence(2000));
}

#[test]
fn streams_without_end() {
    check("streams", |victim| victim.streams(2000));
}

#[test]
fn messages_that_lie_about_their_length() {
    check("bombs", |victim| victim.bombs(2));
}

#[test]
fn requests_a_byte_a_second() {
    check("trickles", Victim::trickles);
}

#[test]
fn windows_that_nobody_reads() {
    check("windows", Victim::windows);
}

#[test]
fn many_names_from_one_address() {
    let mut got = None;
    check("names", |victim| {
        let (cost, crowd) = victim.identities(500)?;
        got = Some(crowd);
        Ok(cost)
    });
    let crowd = got.unwrap();
    println!("{crowd:?}");
    assert!((1..=32).contains(&crowd.held), "{} connections of one address", crowd.held);
    assert!(crowd.honest < std::time::Duration::from_secs(5), "{:?}", crowd.honest);
}
