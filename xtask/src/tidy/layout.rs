//! Where files stand and what they are called.

use super::manifest::members;
use super::tree::Tree;
use super::{Rule, Violation};

/// Names that say nothing: whatever is in such a module belongs to one that has a real name.
const VAGUE: &[&str] = &["common", "helpers", "misc", "types2", "utils"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let members = members(tree);
    for (path, text) in tree.sources() {
        let mut report = |rule, line, message: String| {
            violations.push(Violation { rule, path: path.to_owned(), line, message });
        };
        if path.rsplit('/').next() == Some("mod.rs") {
            report(Rule::Names, 1, "is a `mod.rs`: make it `foo.rs` beside `foo/`".to_owned());
        }
        for part in path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part)) {
            if VAGUE.contains(&part) {
                report(Rule::Names, 1, format!("`{part}` does not say what is in it"));
            }
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = VAGUE.iter().find(|name| line.contains(&format!("mod {name} {{"))) {
                report(Rule::Names, number + 1, format!("`{name}` does not say what is in it"));
            }
        }
        if members.iter().any(|member| is_stray_test(member, path)) {
            let message = "belongs in `tests/it`, so that a crate has one integration binary to link";
            report(Rule::Tests, 1, message.to_owned());
        }
    }
    violations
}

/// Whether this is Rust code in a crate's `tests` folder outside of its only binary.
fn is_stray_test(member: &str, path: &str) -> bool {
    path.strip_prefix(member)
        .and_then(|rest| rest.strip_prefix("/tests/"))
        .is_some_and(|rest| !rest.starts_with("it/"))
}
