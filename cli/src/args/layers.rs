//! Where an option's value comes from: the command line, else the environment, else the configuration file.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ColorChoice, CommandFactory, FromArgMatches, builder::BoolishValueParser};

use super::Cli;
use crate::{
    config::{self, Config},
    failure::{Failure, usage},
    places::Places,
};

/// Finds a variable of the environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Finds the values of an option by its long name.
type Values<'a> = &'a dyn Fn(&str) -> Option<Vec<OsString>>;

/// Why there is nothing to run.
pub(crate) enum Rejected {
    /// The command line is wrong, or asks for help or the version.
    Arguments(clap::Error),
    /// The environment or the configuration file is wrong.
    Elsewhere(Failure),
}

/// Reads the command line, then the environment, then the configuration file of the home that these two name.
///
/// One parser reads all three, and reads again with each, so that what is wrong is known to come from the last.
pub(crate) fn parse(args: &[OsString], environment: Environment<'_>) -> Result<(Cli, Places), Rejected> {
    let color = color_of(args, environment);
    parse_with(args, color, &|_| None).map_err(Rejected::Arguments)?;
    let variables = |name: &str| Some(vec![environment(&variable(name)).filter(|value| !value.is_empty())?]);
    let cli = parse_with(args, color, &variables).map_err(|error| {
        let message = "a SHOAL_… variable of the environment is wrong";
        Rejected::Elsewhere(usage(message).because(&failure_of(&error)))
    })?;
    let places = Places::find(cli.global.home.as_deref()).map_err(Rejected::Elsewhere)?;
    let config = Config::load(&places.config).map_err(Rejected::Elsewhere)?;
    let cli = parse_with(args, color, &|name| variables(name).or_else(|| config.values(name)))
        .map_err(|error| Rejected::Elsewhere(config::bad_value(&places.config, &error)))?;
    Ok((cli, places))
}

/// What is wrong with a command line, for those who do not read the text that its parser prints.
pub(crate) fn failure_of(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let mut paragraphs = text.split("\n\n");
    let words = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = words(paragraphs.next().unwrap_or_default().trim_start_matches("error:"));
    let tip = paragraphs.find_map(|paragraph| paragraph.trim_start().strip_prefix("tip:"));
    let failure = usage(message);
    match tip {
        Some(tip) => failure.hint(words(tip)),
        None => failure,
    }
}

/// The definition of the whole command line.
pub(crate) fn command() -> clap::Command {
    command_with(&|_| None)
}

fn command_with(values: Values<'_>) -> clap::Command {
    let fill = |arg| fill_in(arg, values);
    Cli::command().mut_args(fill).mut_subcommands(|subcommand| {
        // What it does not name it leaves as it is, so nothing may name it for its user.
        if subcommand.get_name() == "limit" { subcommand } else { subcommand.mut_args(fill) }
    })
}

/// What the user wants of colors, found by hand: what is wrong with the other options is colored or not, too.
fn color_of(args: &[OsString], environment: Environment<'_>) -> ColorChoice {
    let on_line =
        args.iter().enumerate().find_map(|(at, arg)| match arg.to_str()?.strip_prefix("--color")? {
            "" => args.get(at + 1)?.to_str(),
            value => value.strip_prefix('='),
        });
    let variable = environment("SHOAL_COLOR");
    match on_line.or_else(|| variable.as_ref()?.to_str()) {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ if environment("NO_COLOR").is_some_and(|value| !value.is_empty()) => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

fn parse_with(args: &[OsString], color: ColorChoice, values: Values<'_>) -> Result<Cli, clap::Error> {
    let mut command = command_with(values).color(color);
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Lets `values` stand in for an option that is not on the command line. As its default they conflict with nothing: a
/// variable that suits most commands must not break the others.
fn fill_in(mut arg: Arg, values: Values<'_>) -> Arg {
    let Some(values) = arg.get_long().and_then(values) else {
        return arg;
    };
    match arg.get_action() {
        // 1, yes and on are true too.
        ArgAction::SetTrue => arg = arg.value_parser(BoolishValueParser::new()),
        ArgAction::Count => {}
        _ => arg = arg.hide_default_value(true),
    }
    arg.default_values(values)
}

fn variable(name: &str) -> String {
    format!("SHOAL_{}", name.to_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests;
