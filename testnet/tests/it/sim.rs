//! The simulator, with networks so small that its numbers mean nothing: everything is found, and every part reports.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// Runs a scenario; the rows of its tables, and the picture where there is one.
fn sim(dir: &Path, args: &[&str]) -> (Vec<Vec<Value>>, Option<String>) {
    let (json, svg) = (dir.join("sim.json"), dir.join("sim.svg"));
    let mut sim = Command::new(env!("CARGO_BIN_EXE_shoal-testnet"));
    sim.arg("sim")
        .args(args)
        .args(["--seed", "1", "--rtt", "10"])
        .arg("--json")
        .arg(&json)
        .arg("--svg")
        .arg(&svg);
    let output = sim.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!(found["settings"]["seed"], 1);
    let rows = |table: &Value| table["rows"].as_array().unwrap().clone();
    let tables = found["tables"].as_array().unwrap().iter().map(rows).collect();
    (tables, fs::read_to_string(svg).ok())
}

#[test]
fn a_network_grows_and_everything_in_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let plan = ["--lookups", "10", "--rest", "0", "--whose", "both"];
    sim(dir.path(), &[&["growth", "28"], &plan[..]].concat());
    // Sizes that were measured one by one are told as if they had been measured together.
    let (tables, svg) = sim(dir.path(), &[&["growth", "12", "--append"], &plan[..]].concat());
    let [lookups, joining] = tables.as_slice() else { panic!("{tables:?}") };
    for (row, nodes) in lookups.iter().zip([12.0, 28.0, 12.0, 28.0]) {
        assert_eq!((row["nodes"].as_f64(), row["found %"].as_f64()), (Some(nodes), Some(100.0)), "{row}");
        // An announcement is done when most of those that it chose have said that they keep it.
        if row["overlay"] == "Shoal" {
            assert!(row["copies"].as_f64().unwrap() >= 8.0, "{row}");
        }
    }
    // Whoever came had to ask somebody, and every connection but those of the first one was dialled.
    for row in joining {
        assert!(row["requests"].as_f64().unwrap() > 1.0 && row["dials"].as_f64().unwrap() > 1.0, "{row}");
    }
    assert!(svg.unwrap().contains("a doubling"));
}

#[test]
fn what_the_dead_held_is_found_all_the_same_by_ours_and_by_stock_kademlia() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["lookup", "--nodes", "28", "--dead", "20", "--lookups", "8", "--rest", "0"];
    let (tables, _) = sim(dir.path(), &args);
    let [lookups] = tables.as_slice() else { panic!("{tables:?}") };
    for (row, overlay) in lookups.iter().zip(["Shoal", "stock kad"]) {
        assert_eq!(row["overlay"], overlay);
        assert_eq!((row["lookups"].as_f64(), row["found %"].as_f64()), (Some(8.0), Some(100.0)), "{row}");
        assert!(row["all requests"].as_f64().unwrap() > 1.0, "{row}");
    }
}

#[test]
fn everything_that_one_node_of_a_private_network_has_is_held_by_all_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["lan", "--nodes", "4", "--items", "300", "--others", "20", "--lookups", "20"];
    let (tables, _) = sim(dir.path(), &args);
    let [held, lookups] = tables.as_slice() else { panic!("{tables:?}") };
    for (row, items) in held.iter().zip([300.0, 60.0]) {
        assert_eq!((row["items"].as_f64(), row["copies min"].as_f64()), (Some(items), Some(3.0)), "{row}");
    }
    let [row] = lookups.as_slice() else { panic!("{lookups:?}") };
    assert_eq!((row["lookups"].as_f64(), row["found %"].as_f64()), (Some(20.0), Some(100.0)), "{row}");
}

#[test]
fn many_items_cost_no_more_messages_than_few_and_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = vec!["announce", "200", "2000", "--nodes", "28", "--sample", "10", "--publishes", "4"];
    args.extend(["--rest", "0", "--stock-keys", "4", "--stock-nodes", "28"]);
    let (tables, svg) = sim(dir.path(), &args);
    let [sweeps, publishes] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!(sweeps.len(), 4);
    for row in sweeps {
        assert_eq!((row["lookups"].as_f64(), row["found %"].as_f64()), (Some(10.0), Some(100.0)), "{row}");
        let messages = row["messages"].as_f64().unwrap();
        assert!((10.0..200.0).contains(&messages), "{row}");
        assert!(row["stock"].as_f64().unwrap() > 20.0 * messages, "{row}");
    }
    for row in publishes {
        assert_eq!(
            (row["publishes"].as_f64(), row["found at once %"].as_f64()),
            (Some(4.0), Some(100.0)),
            "{row}"
        );
        assert!(row["whole p50"].as_f64().unwrap() > row["walk p50"].as_f64().unwrap(), "{row}");
    }
    assert!(svg.unwrap().contains("2000 items"));
}

#[test]
fn what_was_published_stays_found_while_nodes_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = vec!["churn", "--nodes", "24", "--items", "30", "--lasts", "10", "--minute", "400"];
    args.extend(["--again", "1"]);
    let (tables, svg) = sim(dir.path(), &args);
    let [coming, gone] = tables.as_slice() else { panic!("{tables:?}") };
    let [window] = coming.as_slice() else { panic!("{coming:?}") };
    assert!(window["joined"].as_f64().unwrap() >= 3.0, "{window}");
    assert!(
        window["lookups"].as_f64().unwrap() >= 20.0 && window["found %"].as_f64().unwrap() >= 90.0,
        "{window}"
    );
    assert_eq!(gone.len(), 2);
    for row in gone {
        assert_eq!((row["lookups"].as_f64(), row["found %"].as_f64()), (Some(30.0), Some(100.0)), "{row}");
    }
    assert!(svg.unwrap().contains("right after 30 % are gone, handed on"));
}

/// Runs an attack; its rows, each with the defence or without.
fn attack(args: &[&str]) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let (tables, svg) = sim(dir.path(), &[&["attack"], args].concat());
    assert!(svg.unwrap().contains("without"));
    tables.into_iter().flatten().collect()
}

#[test]
fn strangers_who_fill_every_store_keep_nobody_from_being_found() {
    let args = ["--nodes", "30", "--keys", "900", "--records", "150", "--senders", "3", "--lookups", "20"];
    let rows = attack(&[&["spam", "--from", "one-block"][..], &args].concat());
    let [with, without] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(
        (with["published %"].as_f64(), with["found %"].as_f64()),
        (Some(100.0), Some(100.0)),
        "{with}"
    );
    assert!(with["their records"].as_f64().unwrap() <= 150.0, "{with}");
    assert_eq!(without["copies"], 0.0, "{without}");
}

#[test]
fn nobody_takes_back_what_somebody_else_announced() {
    let rows = attack(&["forge", "--nodes", "40", "--strangers", "1", "--lookups", "20"]);
    let [with, without] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(with["found %"], 100.0, "{with}");
    assert_eq!(
        (without["copies left"].as_f64(), without["found %"].as_f64()),
        (Some(0.0), Some(0.0)),
        "{without}"
    );
}

#[test]
fn one_address_block_does_not_get_a_table_for_itself() {
    let rows = attack(&["takeover", "--nodes", "12", "--identities", "40"]);
    let [with, without] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(with["keys found %"], 100.0, "{with}");
    assert!(with["of them attackers"].as_f64().unwrap() <= 3.0, "{with}");
    assert!(without["of them attackers"].as_f64().unwrap() > 10.0, "{without}");
}

#[test]
fn nobody_can_aim_dials_of_many_at_one_machine() {
    let rows = attack(&["reflection", "--nodes", "8", "--attackers", "2", "--keys", "3", "--lookups", "8"]);
    let [with, without] = rows.as_slice() else { panic!("{rows:?}") };
    assert!((1.0..=16.0).contains(&with["of one node"].as_f64().unwrap()), "{with}");
    assert!(without["of one node"].as_f64().unwrap() > 20.0, "{without}");
}

#[test]
fn a_node_that_starts_again_goes_on_announcing_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["restart", "--nodes", "24", "--items", "2000", "--ttl", "300", "--watch", "4", "--lookups", "10"];
    let (tables, _) = sim(dir.path(), &args);
    let [runs] = tables.as_slice() else { panic!("{tables:?}") };
    let messages: Vec<_> = runs.iter().map(|row| row["messages"].as_f64().unwrap()).collect();
    let [first, running, resumed, anew] = messages.as_slice() else { panic!("{messages:?}") };
    assert!(*first >= 24.0 && *anew >= 24.0, "{messages:?}");
    // Whoever comes anew looks around, and nothing else.
    assert!(running.max(*resumed) < first / 2.0, "{messages:?}");
    for row in &runs[2..] {
        assert_eq!(row["found %"].as_f64(), Some(100.0), "{row}");
    }
}
