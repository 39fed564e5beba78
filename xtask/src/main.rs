//! Development commands: `cargo xtask ci` runs exactly what CI runs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a terminal is this program's only reader")]

mod ci;
mod deny;
mod layers;
mod process;
mod tidy;

use std::env;
use std::process::ExitCode;

use process::{Outcome, cargo, run};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  ci             fmt, tidy, clippy, test, doc, layers, deny: exactly what CI runs
  tidy           the rules of this project that neither rustfmt nor clippy knows
  layers         no crate reaches a dependency it must not know, however indirectly
  deny           licences, banned crates, sources and advisories of all dependencies
  test CRATE     the tests of one crate, named by its folder; further arguments go to `cargo test`
  review         look at changed snapshots and accept or reject them one by one
  net N          a local test network of N nodes
";

/// What a shell expects of a program that was called in the wrong way.
const USAGE_EXIT_CODE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["ci"] => ci::run_all(),
        ["tidy"] => tidy::check_workspace(),
        ["layers"] => layers::check(),
        ["deny"] => deny::check(),
        ["test", folder, rest @ ..] => test_one(folder, rest),
        ["review"] => review(),
        ["net", nodes] => net(nodes),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(USAGE_EXIT_CODE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn test_one(folder: &str, rest: &[&str]) -> Outcome {
    let package = tidy::package_of(folder);
    run(cargo().args(["test", "--locked", "--package", &package]).args(rest))
}

fn review() -> Outcome {
    process::require(
        "insta",
        "install it with `cargo install --locked cargo-insta`, \
         or run the tests with INSTA_UPDATE=always and read `git diff`",
    )?;
    run(cargo().args(["insta", "review"]))
}

fn net(nodes: &str) -> Outcome {
    run(cargo()
        .args(["run", "--release", "--locked", "--package", "shoal-testnet", "--"])
        .args(["up", "--nodes", nodes]))
}
