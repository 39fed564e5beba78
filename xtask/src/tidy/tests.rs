//! A small made-up workspace that is tidy, and each rule broken in it once.

use std::collections::BTreeMap;

use super::manifest::reaches;
use super::*;

const ROOT: &str = r#"
[workspace]
members = ["content", "dht", "store",
    "transfer", "xtask"]

[workspace.dependencies]
tokio = { version = "1", features = ["rt"] } # not for everybody
"#;

/// A manifest that takes everything over from the root, with these lines after it; its own are 9.
fn manifest(folder: &str, rest: &str) -> String {
    let package = package_of(folder);
    let inherited =
        ["version", "edition", "rust-version", "license"].map(|key| format!("{key}.workspace = true\n"));
    let inherited = inherited.concat();
    format!("[package]\nname = \"{package}\"\n{inherited}[lints]\nworkspace = true\n\n{rest}")
}

/// The tidy workspace, with some files added or replaced.
fn tree(changes: &[(&str, &str)]) -> Tree {
    let mut files = BTreeMap::from([("Cargo.toml".to_owned(), ROOT.to_owned())]);
    for folder in ["content", "dht", "store", "transfer", "xtask"] {
        files.insert(format!("{folder}/Cargo.toml"), manifest(folder, ""));
        files.insert(format!("{folder}/src/lib.rs"), "//! One plain sentence.\n".to_owned());
    }
    for (path, text) in changes {
        files.insert((*path).to_owned(), (*text).to_owned());
    }
    Tree::from_texts(files)
}

#[track_caller]
fn assert_tidy(changes: &[(&str, &str)]) {
    let violations: Vec<String> = check(&tree(changes), &[]).iter().map(Violation::to_string).collect();
    assert_eq!(violations, [""; 0]);
}

/// Exactly one place is reported: this line of this file, with these words.
#[track_caller]
fn assert_untidy(path: &str, text: &str, line: usize, words: &str) {
    let violations: Vec<String> =
        check(&tree(&[(path, text)]), &[]).iter().map(Violation::to_string).collect();
    let [violation] = violations.as_slice() else { panic!("not one violation but {violations:#?}") };
    assert!(violation.starts_with(&format!("{path}:{line}: ")), "{violation}");
    assert!(violation.contains(words), "{violation}");
}

/// A tidy file with one more line, its third.
fn with_line(line: &str) -> String {
    format!("//! One plain sentence.\n\n{line}\n")
}

#[test]
fn this_workspace_is_tidy() {
    if let Err(why) = check_workspace() {
        panic!("{why}");
    }
}

#[test]
fn the_made_up_workspace_is_tidy() {
    assert_tidy(&[]);
}

#[test]
fn every_file_opens_with_a_sentence() {
    for (text, words) in [
        ("fn main() {}\n", "does not open with a module doc"),
        ("", "does not open with a module doc"),
        ("//!\n//! Too late.\n", "does not open with a module doc"),
        ("// Not a doc.\n", "does not open with a module doc"),
        ("//! Helpers for things\nuse std::fmt;\n", "not a sentence"),
    ] {
        assert_untidy("store/src/db.rs", text, 1, words);
        assert_untidy("store/tests/it/main.rs", text, 1, words);
    }
    assert_tidy(&[("store/src/db.rs", "//! A sentence that is\n//! wrapped.\n//!\n//! Owns: nothing\n")]);
}

#[test]
fn a_file_has_at_most_500_lines_unless_it_is_a_test() {
    let lines = |count: usize| "//! One plain sentence.\n".to_owned() + &"//\n".repeat(count - 1);
    assert_tidy(&[("store/src/db.rs", &lines(500))]);
    assert_untidy("store/src/db.rs", &lines(501), 501, "more than 500 lines");
    assert_tidy(&[("store/src/db/tests.rs", &lines(501)), ("store/tests/it/main.rs", &lines(501))]);
}

#[test]
fn nothing_is_left_unfinished() {
    for word in ["// TODO: later", "/// FIXME", "let a = 1; // XXX", "todo!()", "unimplemented!(\"x\")"] {
        assert_untidy("store/src/db.rs", &with_line(word), 3, "finish it");
        assert_untidy("store/src/db/tests.rs", &with_line(word), 3, "finish it");
    }
    assert_tidy(&[("store/src/db.rs", &with_line("let method = mktemp(\"XXXXXX\"); // never todo!"))]);
}

#[test]
fn every_test_runs_and_says_what_it_expects() {
    for word in ["#[ignore]", "#[ignore = \"slow\"]", "/// ```ignore"] {
        assert_untidy("store/tests/it/main.rs", &with_line(word), 3, "never runs");
    }
    assert_untidy(
        "store/src/db/tests.rs",
        &with_line("#[should_panic(expected = \"x\")]"),
        3,
        "assert today's",
    );
}

#[test]
fn only_node_spawns() {
    for word in [
        "tokio::spawn(f());",
        "tokio::task::spawn(f());",
        "task::spawn_blocking(f);",
        "task::spawn_local(f());",
        "let jobs: JoinSet<()>;",
    ] {
        for crate_that_does_not in ["store", "dht", "transfer", "gateway"] {
            let path = format!("{crate_that_does_not}/src/serve.rs");
            assert_untidy(&path, &with_line(word), 3, "only `node` spawns");
        }
        assert_tidy(&[
            ("node/src/tasks.rs", &with_line(word)),
            ("transfer/src/serve/tests.rs", &with_line(word)),
            ("transfer/tests/it/main.rs", &with_line(word)),
            ("transfer/src/serve.rs", &with_line(&format!("// never {word}"))),
        ]);
    }
    assert_tidy(&[("store/src/hash.rs", &with_line("std::thread::scope(|scope| scope.spawn(f));"))]);
}

#[test]
fn content_is_pure() {
    for word in ["use std::fs::File;", "use std::net::IpAddr;", "Instant::now()", "SystemTime::now()"] {
        assert_untidy("content/src/id.rs", &with_line(word), 3, "is pure");
        assert_tidy(&[("store/src/id.rs", &with_line(word))]);
    }
}

#[test]
fn libraries_leave_the_environment_alone() {
    for word in ["std::env::var(\"HOME\")", "env::var_os(\"HOME\")"] {
        assert_untidy("node/src/config.rs", &with_line(word), 3, "only `cli` reads the environment");
        assert_tidy(&[("cli/src/args.rs", &with_line(word))]);
    }
}

#[test]
fn the_slashes_of_a_url_begin_no_comment() {
    assert_untidy("store/src/db.rs", &with_line("open(\"http://x\", todo!())"), 3, "todo!");
}

#[test]
fn files_and_modules_have_names_that_say_something() {
    let fine = "//! One plain sentence.\n";
    assert_untidy("store/src/db/mod.rs", fine, 1, "`foo.rs` beside `foo/`");
    for name in ["utils", "helpers", "common", "misc"] {
        assert_untidy(&format!("store/src/{name}.rs"), fine, 1, "does not say");
        assert_untidy(&format!("store/src/{name}/table.rs"), fine, 1, "does not say");
        assert_untidy("store/src/db.rs", &with_line(&format!("pub(crate) mod {name} {{")), 3, "does not say");
    }
    assert_tidy(&[("store/src/commonplace.rs", fine)]);
}

#[test]
fn a_crate_has_one_integration_binary() {
    let fine = "//! One plain sentence.\n";
    assert_untidy("store/tests/crash.rs", fine, 1, "tests/it");
    assert_untidy("store/tests/other/main.rs", fine, 1, "tests/it");
    assert_tidy(&[("store/tests/it/main.rs", fine), ("store/src/db/tests/crash.rs", fine)]);
}

#[test]
fn arrows_point_one_way() {
    for (folder, rest, words) in [
        ("content", "[dependencies]\nshoal-store.workspace = true\n", "`content` must not use `store`"),
        ("dht", "[dependencies]\nshoal-store = { workspace = true }\n", "`dht` must not use `store`"),
        ("transfer", "[target.'cfg(unix)'.dependencies]\nshoal-dht.workspace = true\n", "must not use `dht`"),
        ("store", "[build-dependencies]\nshoal-transfer.workspace = true\n", "must not use `transfer`"),
        ("store", "[dependencies]\nshoal-testnet.workspace = true\n", "must not use `testnet`"),
        ("dht", "[dev-dependencies]\nshoal-node.workspace = true\n", "`dht` must not use `node`"),
        ("xtask", "[dependencies]\ntokio.workspace = true\n", "from std alone"),
    ] {
        assert_untidy(&format!("{folder}/Cargo.toml"), &manifest(folder, rest), 11, words);
    }
    assert_tidy(&[
        ("store/Cargo.toml", &manifest("store", "[dependencies]\nshoal-content.workspace = true\n")),
        (
            "transfer/Cargo.toml",
            &manifest("transfer", "[dev-dependencies]\nshoal-testnet.workspace = true\n"),
        ),
    ]);
}

#[test]
fn tests_may_use_whatever_lies_below_their_crate() {
    assert!(reaches("cli", "content"), "over node or gateway");
    assert!(!reaches("store", "transfer"), "that is above it");
}

#[test]
fn a_new_crate_must_say_what_it_may_use() {
    let root = ROOT.replace("\"store\"", "\"store\", \"shiny\"");
    let violations =
        check(&tree(&[("Cargo.toml", &root), ("shiny/Cargo.toml", &manifest("shiny", ""))]), &[]);
    let [violation] = violations.as_slice() else { panic!("{violations:#?}") };
    assert!(violation.to_string().contains("not in the table"), "{violation}");
}

#[test]
fn a_closed_crate_knows_no_runtime_outside_its_tests() {
    for folder in ["content", "store", "dht", "transfer"] {
        let path = format!("{folder}/Cargo.toml");
        let rest = "[dependencies.tokio]\nworkspace = true\nfeatures = [\"rt\"]\n";
        assert_untidy(&path, &manifest(folder, rest), 10, "must not know `tokio`");
        assert_tidy(&[(&path, &manifest(folder, "[dev-dependencies]\ntokio.workspace = true\n"))]);
    }
}

#[test]
fn versions_stand_in_the_root_manifest_only() {
    for rest in [
        "[dependencies]\nserde = \"1\"\n",
        "[dependencies]\nserde = { version = \"1\", features = [\n  \"derive\",\n] }\n",
        "[dev-dependencies]\nserde = { path = \"../serde\" }\n",
    ] {
        assert_untidy("store/Cargo.toml", &manifest("store", rest), 11, "`serde` has a version of its own");
    }
    assert_untidy(
        "store/Cargo.toml",
        &manifest("store", "[dependencies.serde]\nversion = \"1\"\n"),
        10,
        "version of its own",
    );
    let own =
        manifest("store", "").replace("version.workspace = true\nedition", "version = \"2.0.0\"\nedition");
    assert_untidy("store/Cargo.toml", &own, 1, "does not take its version from the root");
    let rest = "[dependencies]\nserde = { features = [\n  \"derive\",\n], workspace = true }\n";
    assert_tidy(&[("store/Cargo.toml", &manifest("store", rest))]);
}

#[test]
fn lints_are_those_of_the_root_manifest() {
    let own =
        manifest("store", "").replace("[lints]\nworkspace = true", "[lints.rust]\nunsafe_code = \"allow\"");
    assert_untidy("store/Cargo.toml", &own, 1, "does not take its lints from the root");
}

#[test]
fn packages_keep_their_names() {
    let own = manifest("store", "").replace("shoal-store", "storage");
    assert_untidy("store/Cargo.toml", &own, 1, "should be called `shoal-store`");
    let rest = "[dependencies]\nshort = { workspace = true, package = \"long\" }\n";
    assert_untidy("store/Cargo.toml", &manifest("store", rest), 11, "`short` renames a package");
    let root = ROOT.replace("version = \"1\"", "version = \"1\", package = \"tokio-fork\"");
    assert_untidy("Cargo.toml", &root, 7, "`tokio` renames a package");
}

#[test]
fn an_exception_silences_one_rule_in_one_file() {
    let exceptions = |rule, path| [Exception { rule, path, reason: "this test" }];
    let tree = tree(&[("store/src/db.rs", &with_line("// TODO"))]);
    assert!(check(&tree, &exceptions(Rule::Words, "store/src/db.rs")).is_empty());
    assert_eq!(check(&tree, &exceptions(Rule::Length, "store/src/db.rs")).len(), 2, "and it is needless");
    assert_eq!(check(&tree, &exceptions(Rule::Words, "store/src/lib.rs")).len(), 2, "and it is needless");
}
