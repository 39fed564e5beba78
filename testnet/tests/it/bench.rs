//! The benchmarks, so small that their numbers mean nothing: they measure what they say and leave nothing behind.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn bench(dir: &Path, args: &[&str]) -> Output {
    let (json, svg) = (dir.join("bench.json"), dir.join("bench.svg"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_shoal-testnet"));
    bench.arg("bench").args(args).args(["--quick", "--blocks", "2", "--seed", "1", "--append"]);
    bench.arg("--dir").arg(dir.join("work")).arg("--json").arg(json).arg("--svg").arg(svg);
    fs::create_dir_all(dir.join("work")).unwrap();
    let output = bench.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert_eq!(fs::read_dir(dir.join("work")).unwrap().count(), 0, "something is left in the folder");
    output
}

/// How many blocks were kept of a quantity.
fn blocks(dir: &Path, bench: &str, quantity: &str) -> usize {
    let json: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("bench.json")).unwrap()).unwrap();
    json[bench]["samples"][quantity].as_array().map_or(0, Vec::len)
}

#[test]
fn a_transfer_is_compared_with_its_floors() {
    let dir = tempfile::tempdir().unwrap();
    let transfer = ["transfer", "--size", "1MiB", "--only", "shoal,floor full,floor tls,floor raw"];
    let output = bench(dir.path(), &transfer);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("G1 speed, by that of floor full"), "{printed}");
    for contender in ["shoal", "floor full", "floor tls", "floor raw"] {
        assert_eq!(blocks(dir.path(), "transfer", &format!("{contender} wall")), 2, "{contender}");
    }
    let svg = fs::read_to_string(dir.path().join("bench.svg")).unwrap();
    assert!(svg.contains("floor full") && svg.ends_with("</svg>\n"), "{svg}");

    bench(dir.path(), &transfer);
    assert_eq!(blocks(dir.path(), "transfer", "shoal wall"), 4, "the blocks of two runs join");
}

#[test]
fn publishes_and_small_files_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    bench(dir.path(), &["publish"]);
    bench(dir.path(), &["small-files", "--only", "shoal"]);
    for (name, quantity) in [("publish", "many again wall"), ("small-files", "shoal receive cpu")] {
        assert_eq!(blocks(dir.path(), name, quantity), 2, "{name}: {quantity}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (nowhere, notes) = (dir.path().join("none/out"), dir.path().join("notes"));
    fs::write(&notes, "no results").unwrap();
    let runs = [
        (["bench", "transfer"], "--json", &nowhere),
        (["bench", "transfer"], "--svg", &nowhere),
        (["bench", "transfer"], "--json", &notes),
        (["sim", "growth"], "--json", &nowhere),
        (["sim", "growth"], "--svg", &nowhere),
    ];
    for (command, option, file) in runs {
        let mut program = Command::new(env!("CARGO_BIN_EXE_shoal-testnet"));
        let output = program.args(command).arg(option).arg(file).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {complaint}");
        assert!(complaint.contains(file.to_str().unwrap()), "{command:?}: {complaint}");
        assert!(
            !String::from_utf8_lossy(&output.stdout).contains("block"),
            "{command:?} measured before it failed"
        );
    }
    assert_eq!(fs::read_to_string(&notes).unwrap(), "no results");
}
