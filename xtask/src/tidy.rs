//! Checks the rules of this project that neither rustfmt nor clippy knows.
//!
//! Owns: which rules there are, and the exceptions. Hears: the sources and manifests as text.
//! Tells: each place that breaks a rule, and what to do about it.

mod layout;
mod manifest;
mod source;
mod tree;

use std::fmt;

pub(crate) use manifest::{CLOSED, Reach, package_of};

use crate::process::{Outcome, workspace};
use tree::Tree;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Opening,
    Length,
    Words,
    Names,
    Tests,
    Manifest,
    Arrows,
}

/// A file that a rule does not apply to, because the reader gains by that.
struct Exception {
    rule: Rule,
    path: &'static str,
    reason: &'static str,
}

/// Invariant: each one is needed; [`check`] reports those that no longer are.
const EXCEPTIONS: &[Exception] = &[
    Exception { rule: Rule::Words, path: "xtask/src/tidy/source.rs", reason: "lists the words it looks for" },
    Exception { rule: Rule::Words, path: "xtask/src/tidy/tests.rs", reason: "breaks every rule on purpose" },
];

#[derive(Debug)]
struct Violation {
    rule: Rule,
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, path, line, message } = self;
        let rule = format!("{rule:?}").to_lowercase();
        write!(out, "{path}:{line}: {message} [{rule}]")
    }
}

/// Checks the workspace this program was built from.
pub(crate) fn check_workspace() -> Outcome {
    let tree = Tree::read(&workspace())?;
    let violations = check(&tree, EXCEPTIONS);
    if violations.is_empty() {
        println!("{} files are tidy; exceptions:", tree.len());
        for Exception { rule, path, reason } in EXCEPTIONS {
            println!("  {path} ({rule:?}): {reason}");
        }
        return Ok(());
    }
    let list: String = violations.iter().map(|violation| format!("\n{violation}")).collect();
    Err(format!("{} untidy places:{list}", violations.len()))
}

fn check(tree: &Tree, exceptions: &[Exception]) -> Vec<Violation> {
    let mut violations = source::check(tree);
    violations.extend(layout::check(tree));
    violations.extend(manifest::check(tree));

    let excepts = |exception: &Exception, found: &Violation| {
        exception.rule == found.rule && exception.path == found.path
    };
    let needless: Vec<Violation> = exceptions
        .iter()
        .filter(|exception| !violations.iter().any(|found| excepts(exception, found)))
        .map(|exception| Violation {
            rule: exception.rule,
            path: exception.path.to_owned(),
            line: 1,
            message: "needs no exception any more: take it off the list".to_owned(),
        })
        .collect();
    violations.retain(|found| !exceptions.iter().any(|exception| excepts(exception, found)));
    violations.extend(needless);
    violations
}

#[cfg(test)]
mod tests;
