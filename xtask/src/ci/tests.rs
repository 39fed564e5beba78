//! The order of the steps, and what a failing one does to those after it.

use super::*;

fn pass() -> Outcome {
    Ok(())
}

fn fail() -> Outcome {
    Err("the reason".to_owned())
}

fn never() -> Outcome {
    panic!("a step ran after one that had failed")
}

#[test]
fn all_steps_pass() {
    assert_eq!(run_steps(&[("one", pass), ("two", pass)]), Ok(()));
}

#[test]
fn the_first_failure_ends_the_run_and_is_named() {
    let why = run_steps(&[("one", pass), ("two", fail), ("three", never)]).unwrap_err();
    assert!(why.starts_with("two failed after "), "{why}");
    assert!(why.ends_with(": the reason"), "{why}");
}
