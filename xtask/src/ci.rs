//! Runs every check in one fixed order, cheap ones first, and stops at the first that fails.

use std::time::Instant;

use crate::process::{Outcome, cargo, run};
use crate::{deny, layers, tidy};

type Step = (&'static str, fn() -> Outcome);

/// Clippy stands before the tests because both check the same code and clippy's answer comes sooner.
const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("tidy", tidy::check_workspace),
    ("clippy", clippy),
    ("test", test),
    ("bench", bench),
    ("doc", doc),
    ("layers", layers::check),
    ("deny", deny::check),
];

/// Runs all steps and names the one that failed.
pub(crate) fn run_all() -> Outcome {
    run_steps(STEPS)
}

fn run_steps(steps: &[Step]) -> Outcome {
    let begun = Instant::now();
    for (name, step) in steps {
        println!("\n=== {name}");
        let begun = Instant::now();
        let outcome = step();
        let seconds = begun.elapsed().as_secs_f64();
        outcome.map_err(|why| format!("{name} failed after {seconds:.1} s: {why}"))?;
        println!("=== {name} passed in {seconds:.1} s");
    }
    println!("\n=== all {} steps passed in {:.1} s", steps.len(), begun.elapsed().as_secs_f64());
    Ok(())
}

fn fmt() -> Outcome {
    run(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Outcome {
    run(cargo().args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Runs the examples in the documentation too, which `--all-targets` would leave out.
fn test() -> Outcome {
    run(cargo().args(["test", "--locked", "--workspace"]))
}

/// Runs each benchmark once, so that none rots: how long it takes says nothing.
fn bench() -> Outcome {
    run(cargo().args(["test", "--locked", "--workspace", "--bench", "*"]))
}

fn doc() -> Outcome {
    run(cargo().args(["doc", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

#[cfg(test)]
mod tests;
