//! Which crate may use which, and that versions and lints are decided once, in the root manifest.

mod toml;

use super::tree::Tree;
use super::{Rule, Violation};
use toml::{Entry, Manifest};

/// The crates that a crate may use. Tests may also use whatever these use, and `content` and `testnet`.
const ARROWS: &[(&str, &[&str])] = &[
    ("content", &[]),
    ("store", &["content"]),
    ("dht", &["content"]),
    ("transfer", &["store", "content"]),
    ("node", &["dht", "transfer", "store", "content"]),
    ("gateway", &["node"]),
    ("cli", &["node", "gateway"]),
    ("testnet", &["content", "store", "dht", "transfer", "node", "gateway", "cli"]),
    ("xtask", &[]),
];

const ALL_TESTS_MAY_USE: &[&str] = &["content", "testnet"];

/// A crate's vow not to use some external crates outside its tests.
pub(crate) struct Closed {
    pub(crate) folder: &'static str,
    pub(crate) crates: &'static [&'static str],
    pub(crate) reach: Reach,
}

/// How far down a forbidden dependency is looked for.
#[derive(PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the crate's own manifest.
    Direct,
    /// There, and in the manifests of all that it uses.
    Indirect,
}

/// Keeps crash tests free of a network, and each behaviour free of the runtime that drives it.
pub(crate) const CLOSED: &[Closed] = &[
    Closed { folder: "content", crates: &["libp2p", "tokio"], reach: Reach::Indirect },
    Closed { folder: "store", crates: &["libp2p", "tokio"], reach: Reach::Indirect },
    Closed { folder: "dht", crates: &["tokio"], reach: Reach::Direct },
    Closed { folder: "transfer", crates: &["tokio"], reach: Reach::Direct },
    Closed { folder: "node", crates: &["axum", "clap", "hyper"], reach: Reach::Direct },
    Closed { folder: "gateway", crates: &["clap", "libp2p"], reach: Reach::Direct },
];

/// The prefix that a crate's package name has before the name of its folder.
const PREFIX: &str = "shoal-";

/// Development commands, not part of the product, so its package is called as its folder is.
const UNPREFIXED: &str = "xtask";

/// The root manifest's path, and the name of every other one.
const ROOT: &str = "Cargo.toml";

/// What every member's `[package]` takes over from the root manifest.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license"];

/// The package name of the crate in a folder.
pub(crate) fn package_of(folder: &str) -> String {
    if folder == UNPREFIXED || folder.starts_with(PREFIX) {
        folder.to_owned()
    } else {
        format!("{PREFIX}{folder}")
    }
}

/// The folders of the workspace's crates.
pub(super) fn members(tree: &Tree) -> Vec<String> {
    let root = manifest(tree, ROOT);
    let members = root.entry("workspace", "members").map_or("", |entry| entry.value.as_str());
    members.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn manifest(tree: &Tree, path: &str) -> Manifest {
    Manifest::parse(tree.text(path).unwrap_or_default())
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |rule, path: &str, found: Found| {
        let violation = |(line, message)| Violation { rule, path: path.to_owned(), line, message };
        violations.extend(found.into_iter().map(violation));
    };
    report(Rule::Manifest, ROOT, renames(&manifest(tree, ROOT)));
    for member in members(tree) {
        let path = format!("{member}/{ROOT}");
        let manifest = manifest(tree, &path);
        report(Rule::Manifest, &path, renames(&manifest));
        report(Rule::Manifest, &path, inherits(&member, &manifest));
        report(Rule::Arrows, &path, arrows(&member, &manifest));
    }
    violations
}

/// Lines of one manifest, and what is wrong with each.
type Found = Vec<(usize, String)>;

fn inherits(member: &str, manifest: &Manifest) -> Found {
    let mut found = Found::new();
    let mut add = |line, message| found.push((line, message));
    let package = package_of(member);
    let name = manifest.entry("package", "name").map(|name| &*name.value);
    if name != Some(&format!("\"{package}\"")) {
        add(1, format!("the package in the folder `{member}` should be called `{package}`"));
    }
    for key in INHERITED {
        if !manifest.entry("package", key).is_some_and(|entry| entry.inherits) {
            add(1, format!("does not take its {key} from the root: write `{key}.workspace = true`"));
        }
    }
    let lints = manifest.entry("lints", "workspace").map(|lints| &*lints.value);
    if lints != Some("true") {
        add(1, "does not take its lints from the root: write `workspace = true` in [lints]".to_owned());
    }
    for Entry { key, line, .. } in manifest.dependencies().filter(|entry| !entry.inherits) {
        add(*line, format!("`{key}` has a version of its own: write `{key}.workspace = true`"));
    }
    found
}

/// A renamed package cannot be found by its name.
fn renames(manifest: &Manifest) -> Found {
    let renaming = manifest.dependencies().filter(|entry| entry.value.contains("package="));
    let message = |key: &str| format!("`{key}` renames a package: use its own name");
    renaming.map(|entry| (entry.line, message(&entry.key))).collect()
}

fn arrows(member: &str, manifest: &Manifest) -> Found {
    let Some((_, allowed)) = ARROWS.iter().find(|(folder, _)| *folder == member) else {
        return vec![(1, "is not in the table of which crate may use which".to_owned())];
    };
    let mut found = Found::new();
    let mut add = |line, message| found.push((line, message));
    for Entry { section, key, line, .. } in manifest.dependencies() {
        let for_tests = section.ends_with("dev-dependencies");
        if let Some(used) = key.strip_prefix(PREFIX) {
            let by_tests = for_tests && (ALL_TESTS_MAY_USE.contains(&used) || reaches(member, used));
            if !allowed.contains(&used) && !by_tests {
                add(*line, format!("`{member}` must not use `{used}`"));
            }
        } else if member == UNPREFIXED {
            add(*line, format!("`{key}`: the development commands build in a second, from std alone"));
        } else if is_closed(member, key) && !for_tests {
            add(*line, format!("`{member}` must not know `{key}`"));
        }
    }
    found
}

fn is_closed(member: &str, to: &str) -> bool {
    CLOSED.iter().any(|closed| closed.folder == member && closed.crates.contains(&to))
}

/// Whether the arrows lead from one crate to another, over any number of others.
pub(super) fn reaches(from: &str, to: &str) -> bool {
    let next = ARROWS.iter().filter(|(folder, _)| *folder == from).flat_map(|(_, allowed)| *allowed);
    next.into_iter().any(|next| *next == to || reaches(next, to))
}
