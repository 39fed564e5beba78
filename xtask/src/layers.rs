//! Asks cargo whether a crate reaches a dependency it must not know, however far down.
//!
//! The manifests alone do not tell: a harmless-looking crate can pull in a whole runtime.

use crate::process::{Outcome, cargo, output};
use crate::tidy::{CLOSED, Reach, package_of};

/// Fails with the name of each dependency that should not be there.
pub(crate) fn check() -> Outcome {
    for closed in CLOSED.iter().filter(|closed| closed.reach == Reach::Indirect) {
        let package = package_of(closed.folder);
        let mut tree = cargo();
        // Under a setting that builds everything with the features of all, the tree of a crate lists all too.
        tree.env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
        tree.args(["tree", "--locked", "--package", &package, "--edges", "normal", "--prefix", "none"]);
        let listing = output(&mut tree)?;
        let (seen, found) = look_for(closed.crates, &listing);
        if !found.is_empty() {
            let found = found.join(", ");
            return Err(format!(
                "{package} reaches {found}; `cargo tree -p {package} -e normal -i CRATE` tells through what"
            ));
        }
        println!("{package}: {seen} packages, none of them {}", closed.crates.join(" or "));
    }
    Ok(())
}

/// How many packages `cargo tree` lists, and those that are, or belong to, one of `forbidden`.
fn look_for<'a>(forbidden: &[&str], listing: &'a str) -> (usize, Vec<&'a str>) {
    let mut packages: Vec<&str> = listing.lines().filter_map(|line| line.split(' ').next()).collect();
    packages.sort_unstable();
    packages.dedup();
    let belongs = |package: &str, to: &str| {
        package.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let found = packages.iter().copied().filter(|package| forbidden.iter().any(|to| belongs(package, to)));
    (packages.len(), found.collect())
}

#[cfg(test)]
mod tests;
