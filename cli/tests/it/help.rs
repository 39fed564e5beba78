//! The help of every command: the manual.

use crate::sandbox::Sandbox;

const COMMANDS: [&str; 14] = [
    "start",
    "publish",
    "get",
    "ls",
    "unpublish",
    "verify",
    "find",
    "status",
    "peers",
    "limit",
    "id",
    "paths",
    "stop",
    "completions",
];

#[test]
fn help_of_every_command() {
    let sandbox = Sandbox::new();
    let help = sandbox.run("home", "--help").exits(0);
    assert_eq!(help.stderr, "");
    insta::assert_snapshot!("shoal", help.stdout);
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is not listed");
        let help = sandbox.run("home", &format!("{command} --help")).exits(0);
        assert_eq!(help.stderr, "");
        insta::assert_snapshot!(command, help.stdout);
    }
    let listed = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    assert_eq!(
        listed.take_while(|line| !line.is_empty()).count(),
        COMMANDS.len(),
        "a command lacks its snapshot"
    );
}

#[test]
fn completions_for_every_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = sandbox.run("home", &format!("completions {shell}")).exits(0);
        assert!(script.stdout.contains("unpublish") && script.stdout.contains("no-seed"), "{shell}");
    }
}
