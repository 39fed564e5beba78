//! Tests of the configuration file.

use super::*;

fn failure(text: &str) -> Failure {
    Config::parse(text).unwrap_err()
}

#[test]
fn words_numbers_and_lists_become_values() {
    let text =
        "network = 'main'\nverbose = 1\nno-seed = false\nlisten = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.values("network"), Some(vec!["main".into()]));
    assert_eq!(config.values("verbose"), Some(vec!["1".into()]));
    assert_eq!(config.values("no-seed"), Some(vec!["false".into()]));
    assert_eq!(config.values("listen").map(|values| values.len()), Some(2));
    assert_eq!(config.values("peer"), None);
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    assert_eq!(failure("no_mdns = true").hint.as_deref(), Some("did you mean no-mdns?"));
    assert_eq!(failure("peers = []").hint.as_deref(), Some("did you mean peer?"));
    let unlike = failure("frobnicate = 1");
    assert_eq!(unlike.message, "unknown key frobnicate");
    assert!(
        unlike.hint.is_some_and(|hint| hint.starts_with("the keys are announce, color, down, down-per-peer"))
    );
}

#[test]
fn values_of_no_use_are_refused() {
    for text in ["peer = [['a']]", "network = 1.5", "network = 1979-05-27", "[network]", "network = "] {
        assert_eq!(failure(text).kind, ErrorKind::Usage, "{text}");
    }
}

#[test]
fn what_is_no_toml_is_told_on_one_line() {
    let message = failure("network = 'main'\n\npeer = [\nlisten = ").message;
    assert!(message.starts_with("line 4: "), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn every_key_is_an_option() {
    let command = crate::args::command();
    let options: Vec<_> = command
        .get_subcommands()
        .chain([&command])
        .flat_map(clap::Command::get_arguments)
        .filter_map(clap::Arg::get_long)
        .collect();
    for key in KEYS {
        assert!(options.contains(key), "{key}");
    }
}

#[test]
fn every_option_of_a_node_is_a_key() {
    use clap::Args;
    let options = crate::args::NodeArgs::augment_args(clap::Command::new("node"));
    for option in options.get_arguments().filter_map(clap::Arg::get_long) {
        assert!(KEYS.contains(&option), "{option}");
    }
}

#[test]
fn a_file_that_is_not_there_sets_nothing() {
    let home = tempfile::tempdir().unwrap();
    assert!(Config::load(&home.path().join("config.toml")).unwrap() == Config::default());
    let failure = Config::load(home.path()).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Usage);
    assert_eq!(failure.causes.len(), 1, "{failure:?}");
}
