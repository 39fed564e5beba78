//! Shares whose files are gone, and how to be rid of them.

use std::{fs, os::unix::fs::symlink};

use crate::sandbox::Sandbox;

#[test]
fn the_list_says_how_to_be_rid_of_what_is_missing() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("home", None);
    for name in ["stays", "goes", "tree/goes", "changes"] {
        sandbox.file(name, name.as_bytes());
    }
    sandbox.run("home", "publish stays goes tree changes").exits(0);
    assert_eq!(sandbox.run("home", "ls").exits(0).stderr, "");
    assert_eq!(sandbox.run("home", "unpublish --missing").exits(0).stdout, "");

    fs::remove_file(sandbox.work().join("goes")).unwrap();
    fs::remove_dir_all(sandbox.work().join("tree")).unwrap();
    sandbox.file("changes", b"it has other bytes now");
    let said = sandbox.run("home", "ls").exits(0).stderr;
    assert!(said.contains("2 shares missing") && said.contains("`shoal unpublish --missing`"), "{said}");
    assert!(said.contains("1 share changed") && said.contains("`shoal publish PATH`"), "{said}");
    sandbox.run("home", "unpublish --missing changes").exits(2);
    let events = sandbox.run("home", "unpublish --missing --json").exits(0).events();
    let gone: Vec<_> = events.iter().filter_map(|event| event["path"].as_str()).collect();
    assert_eq!(gone, ["goes", "tree"].map(|name| sandbox.work().join(name).to_str().unwrap().to_owned()));
    drop(daemon);

    // Without a node it is the same.
    fs::remove_file(sandbox.work().join("stays")).unwrap();
    let gone = sandbox.run("home", "unpublish --missing").exits(0).stdout;
    assert_eq!(gone.lines().count(), 1, "{gone}");
    assert_eq!(sandbox.run("home", "ls -q").exits(0).stdout.lines().count(), 1);
}

#[test]
fn a_path_that_is_gone_is_found_through_symlinks_too() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon("home", None);
    sandbox.file("real/file", b"x");
    symlink("real", sandbox.work().join("link")).unwrap();
    for path in ["link/file", "link/../real/file"] {
        sandbox.file("real/file", b"x");
        sandbox.run("home", &format!("publish {path}")).exits(0);
        fs::remove_file(sandbox.work().join("real/file")).unwrap();
        sandbox.run("home", &format!("unpublish {path}")).exits(0);
    }
    sandbox.file("real/file", b"x");
    sandbox.run("home", "publish link").exits(0);
    drop(daemon);
    sandbox.run("home", "unpublish link").exits(0);
    assert_eq!(sandbox.run("home", "ls").exits(0).stdout, "");
}
