//! Tests of the command line's parser and of what fills in for it.

use super::*;
use crate::{
    args::{Color, NodeArgs},
    commands::Command,
};

/// Reads `args`, these variables, and a configuration file with this text.
fn parse_all(args: &[&str], variables: &[(&str, &str)], config: &str) -> Result<Cli, Failure> {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), config).unwrap();
    let environment = |name: &str| match name {
        "SHOAL_HOME" => Some(home.path().into()),
        _ => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()),
    };
    let args: Vec<OsString> = ["shoal"].iter().chain(args).map(Into::into).collect();
    parse(&args, &environment).map(|(cli, _)| cli).map_err(|rejected| match rejected {
        Rejected::Arguments(error) => failure_of(&error),
        Rejected::Elsewhere(failure) => failure,
    })
}

fn parse_args(args: &[&str]) -> Result<Cli, Failure> {
    parse_all(args, &[], "")
}

fn node_args(args: &[&str], variables: &[(&str, &str)], config: &str) -> NodeArgs {
    match parse_all(args, variables, config).unwrap().command {
        Command::Start(start) => start.node,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn the_command_line_beats_the_environment_beats_the_file() {
    let config =
        "network = 'file'\nno-mdns = true\nscope = 'lan'\npeer = ['192.0.2.1:4001', 'example.org:4002']";
    let variables =
        [("SHOAL_NETWORK", "variable"), ("SHOAL_PEER", "192.0.2.2:1,192.0.2.3:1"), ("SHOAL_SCOPE", "")];
    let from_file = node_args(&["start"], &[], config);
    assert_eq!(from_file.network().as_str(), "file");
    assert_eq!(from_file.peers(), ["/ip4/192.0.2.1/tcp/4001", "/dns/example.org/tcp/4002"]);
    assert!(from_file.no_mdns);

    let from_variables = node_args(&["start"], &variables, config);
    assert_eq!(from_variables.network().as_str(), "variable");
    assert_eq!(
        from_variables.peers(),
        ["/ip4/192.0.2.2/tcp/1", "/ip4/192.0.2.3/tcp/1"],
        "a list replaces a list"
    );
    assert_eq!(from_variables.scope, Some(crate::args::Scope::Lan), "an empty variable says nothing");

    let given = node_args(&["start", "--network", "flag", "--peer", "[2001:db8::1]:1"], &variables, config);
    assert_eq!(given.network().as_str(), "flag");
    assert_eq!(given.peers(), ["/ip6/2001:db8::1/tcp/1"]);
    let off = node_args(&["start"], &[("SHOAL_NO_MDNS", "off")], config);
    assert!(!off.no_mdns, "a variable can take back what the file says");
}

#[test]
fn every_option_is_filled_in() {
    let command = command_with(&|name| Some(vec![format!("value of {name}").into()]));
    let is_filled = |command: &&clap::Command| command.get_name() != "limit";
    for arg in command
        .get_subcommands()
        .filter(is_filled)
        .flat_map(clap::Command::get_arguments)
        .chain(command.get_arguments())
    {
        let expected = arg.get_long().map(|name| format!("value of {name}"));
        let filled = arg.get_default_values().first().and_then(|value| value.to_str());
        assert_eq!(filled, expected.as_deref(), "{}", arg.get_id());
    }
    let limit = command.find_subcommand("limit").unwrap();
    assert!(
        limit.get_arguments().all(|arg| arg.get_default_values().is_empty()),
        "it changes what it names alone"
    );
    assert_eq!(variable("no-seed"), "SHOAL_NO_SEED");
}

#[test]
fn variables_conflict_with_nothing_and_give_way() {
    let cid = "bafkr4iaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let seeds = [("SHOAL_NO_SEED", "yes"), ("SHOAL_QUIET", "1")];
    parse_all(&["-v", "get", "--list", cid], &seeds, "").unwrap();
    for (variable, flag, other) in [
        ("SHOAL_OVERWRITE", "--rename", "overwrite: false"),
        ("SHOAL_RENAME", "--overwrite", "rename: false"),
    ] {
        let cli = parse_all(&["get", flag, cid], &[(variable, "1")], "").unwrap();
        assert!(format!("{cli:?}").contains(other), "{flag} against {variable}: {cli:?}");
    }
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    for args in [["--json", "--home=/h", "ls"], ["ls", "--json", "--home=/h"]] {
        let global = parse_args(&args).unwrap().global;
        assert!(global.json, "{args:?}");
        assert_eq!(global.home, Some("/h".into()), "{args:?}");
    }
    let before = parse_all(&["--color", "never", "ls"], &[], "color = 'always'\nverbose = 2").unwrap().global;
    assert_eq!((before.color, before.verbose), (Some(Color::Never), 2));
}

#[test]
fn wrong_lines_say_what_is_wrong() {
    let cases: [(&[&str], &str); 5] = [
        (&["get"], "the following required arguments were not provided: <CID|TICKET>"),
        (&["get", "hello"], "invalid value 'hello' for '<CID|TICKET>'"),
        (&["get", "--overwrite", "--rename"], "the argument '--overwrite' cannot be used with '--rename'"),
        (&["publish"], "the following required arguments were not provided: <PATH>..."),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
    ];
    for (args, message) in cases {
        let said = parse_args(args).unwrap_err().message;
        assert!(said.starts_with(message), "{args:?}: {said}");
    }
}

#[test]
fn what_is_wrong_elsewhere_says_where() {
    let failure = parse_all(&["start"], &[], "scope = 'moon'").unwrap_err();
    assert!(failure.message.ends_with("config.toml is wrong"), "{failure:?}");
    assert!(failure.causes[0].starts_with("invalid value 'moon' for '--scope <SCOPE>'"), "{failure:?}");
    let failure = parse_all(&["start"], &[("SHOAL_SCOPE", "moon")], "").unwrap_err();
    assert_eq!(failure.message, "a SHOAL_… variable of the environment is wrong");
    assert!(failure.causes[0].starts_with("invalid value 'moon' for '--scope <SCOPE>'"), "{failure:?}");
}

#[test]
fn a_slip_of_the_pen_gets_a_hint() {
    let failure = parse_args(&["get", "--no-sed", "x"]).unwrap_err();
    assert_eq!(failure.message, "unexpected argument '--no-sed' found");
    assert_eq!(failure.hint.as_deref(), Some("a similar argument exists: '--no-seed'"));
}
