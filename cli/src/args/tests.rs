//! Tests of the command line's parser.

use super::*;

fn parse_args(args: &[&str], config: &str) -> Result<Cli, String> {
    let args: Vec<OsString> = std::iter::once("shoal").chain(args.iter().copied()).map(Into::into).collect();
    let config = Config::parse(config).map_err(|failure| failure.message)?;
    parse_with(&args, &config).map_err(|error| failure_of(&error).message)
}

fn node_args(args: &[&str], config: &str) -> NodeArgs {
    match parse_args(args, config).unwrap().command {
        Command::Start(start) => start.node,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn every_option_has_a_variable() {
    let command = command();
    for arg in command.get_subcommands().flat_map(clap::Command::get_arguments).chain(command.get_arguments())
    {
        let expected = arg.get_long().map(|name| format!("SHOAL_{}", name.to_uppercase().replace('-', "_")));
        assert_eq!(arg.get_env().and_then(|name| name.to_str()), expected.as_deref(), "{}", arg.get_id());
    }
}

#[test]
fn the_file_fills_in_and_the_command_line_wins() {
    let config =
        "network = 'ours'\nno-mdns = true\nverbose = 2\npeer = ['192.0.2.1:4001', 'example.org:4002']";
    let from_file = node_args(&["start"], config);
    assert_eq!(from_file.network().as_str(), "ours");
    assert!(from_file.no_mdns);
    assert_eq!(from_file.peers(), ["/ip4/192.0.2.1/tcp/4001", "/dns/example.org/tcp/4002"]);
    assert_eq!(parse_args(&["ls"], config).unwrap().global.verbose, 2);

    let given = node_args(&["start", "--network", "theirs", "--peer", "[2001:db8::1]:1"], config);
    assert_eq!(given.network().as_str(), "theirs");
    assert_eq!(given.peers(), ["/ip6/2001:db8::1/tcp/1"], "a list is replaced, not added to");
    assert!(given.no_mdns);
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    for args in [["--json", "--home=/h", "ls"], ["ls", "--json", "--home=/h"]] {
        let global = parse_args(&args, "").unwrap().global;
        assert!(global.json, "{args:?}");
        assert_eq!(global.home, Some("/h".into()), "{args:?}");
    }
    let before = parse_args(&["--color", "never", "ls"], "color = 'always'").unwrap().global;
    assert_eq!(before.color, Some(Color::Never));
}

#[test]
fn durations() {
    let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());
    assert_eq!(seconds("90"), Ok(90.0));
    assert_eq!(seconds("90s"), Ok(90.0));
    assert_eq!(seconds("500ms"), Ok(0.5));
    assert_eq!(seconds("5m"), Ok(300.0));
    assert_eq!(seconds("1h"), Ok(3600.0));
    for wrong in ["", "s", "-1s", "1.5s", "5 parsecs", "0", "99999999999h", "18446744073709551615h", "²s"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn peers() {
    let cases = [
        ("/ip4/192.0.2.1/udp/4001/quic-v1", "/ip4/192.0.2.1/udp/4001/quic-v1"),
        ("192.0.2.1:4001", "/ip4/192.0.2.1/tcp/4001"),
        ("[::1]:4001", "/ip6/::1/tcp/4001"),
        ("nas.local:4001", "/dns/nas.local/tcp/4001"),
    ];
    for (text, address) in cases {
        assert_eq!(peer_address(text).map(|peer| peer.to_string()).as_deref(), Ok(address), "{text}");
    }
    for wrong in
        ["", "nas", "nas:", ":4001", "nas:0", "192.0.2.1:99999", "a/b:1", "::1:4001", "/ip4/nas/tcp/1"]
    {
        assert!(peer_address(wrong).is_err(), "{wrong}");
    }
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
        let said = parse_args(args, "").unwrap_err();
        assert!(said.starts_with(message), "{args:?}: {said}");
    }
}

#[test]
fn a_bad_value_in_the_file_is_found_by_the_same_parser() {
    let said = parse_args(&["start"], "scope = 'moon'").unwrap_err();
    assert!(said.starts_with("invalid value 'moon' for '--scope <SCOPE>'"), "{said}");
}

#[test]
fn a_slip_of_the_pen_gets_a_hint() {
    let args = ["shoal", "get", "--no-sed", "x"].map(Into::into);
    let failure = failure_of(&parse_with(&args, &Config::default()).unwrap_err());
    assert_eq!(failure.message, "unexpected argument '--no-sed' found");
    assert_eq!(failure.hint.as_deref(), Some("a similar argument exists: '--no-seed'"));
}
