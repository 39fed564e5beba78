//! The command line: options that several commands share, and how environment and configuration fill in for them.

mod values;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::BoolishValueParser};
use shoal_node::{Builder, Multiaddr, NetworkName, Node, Scopes};

use crate::{
    commands::Command,
    config::{self, Config},
    failure::{Failure, usage},
    places::Places,
};

pub(crate) use values::{duration, link_text, own_address, peer_address};

const AFTER_HELP: &str = "\
Options can also be set in the environment (--no-seed is SHOAL_NO_SEED=true; lists are separated by commas), and \
those that are not about a single run in config.toml (no-seed = true), which `shoal paths` locates. The command line \
wins over the environment, and that over the file.";

/// Share files by their hash, from peer to peer, with no server.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 100, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Keep identity, store and socket in this directory, and read its config.toml
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Print events as JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print the bare result and no notes
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log what the node does; twice for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Show no progress bars
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// Use colors: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", hide_possible_values = true)]
    pub(crate) color: Option<Color>,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    Always,
    Never,
}

/// Options of every command that may have to start a node.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Node options, for a node that this command starts")]
pub(crate) struct NodeArgs {
    /// Listen here [default: TCP and QUIC at port 4001 or any free one]; repeatable
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',', value_parser = own_address)]
    pub(crate) listen: Vec<Multiaddr>,
    /// Connect to this peer: a multiaddr, with or without its /p2p/ID, or HOST:PORT; repeatable
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = peer_address)]
    pub(crate) peer: Vec<Multiaddr>,
    /// Join this network; networks never mix [default: main]
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<NetworkName>,
    /// Announce and look up here: lan, wan or both [default: both]
    #[arg(long, value_name = "SCOPE", hide_possible_values = true)]
    pub(crate) scope: Option<Scope>,
    /// Tell others to reach this node here, from the internet; repeatable
    #[arg(long, value_name = "MULTIADDR", value_delimiter = ',', value_parser = own_address)]
    pub(crate) external: Vec<Multiaddr>,
    /// Do not look for peers on the local network by multicast
    #[arg(long)]
    pub(crate) no_mdns: bool,
}

/// Where a node announces and looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    Lan,
    Wan,
    Both,
}

impl NodeArgs {
    /// A node with these options.
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = Node::builder().network(self.network()).mdns(!self.no_mdns);
        if let Some(scope) = self.scope {
            builder = builder.scopes(match scope {
                Scope::Lan => Scopes::Lan,
                Scope::Wan => Scopes::Wan,
                Scope::Both => Scopes::Both,
            });
        }
        builder = self.listen.iter().cloned().fold(builder, Builder::listen);
        builder = self.peer.iter().cloned().fold(builder, Builder::peer);
        self.external.iter().cloned().fold(builder, Builder::external)
    }

    /// The network to join.
    pub(crate) fn network(&self) -> NetworkName {
        self.network.clone().unwrap_or_default()
    }

    /// The peers as an API request names them.
    pub(crate) fn peers(&self) -> Vec<String> {
        self.peer.iter().map(ToString::to_string).collect()
    }
}

/// Options of every command that waits for peers.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Patience {
    /// Give up after so long without verified progress, like 90s or 5m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

impl Patience {
    /// As an API request tells it.
    pub(crate) fn millis(self) -> Option<u64> {
        self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Why there is nothing to run.
pub(crate) enum Rejected {
    /// The command line is wrong, or asks for help or the version.
    Arguments(clap::Error),
    /// The configuration is wrong.
    Config(Failure),
}

/// Reads the command line, then the environment, then the configuration file of the home that these two name.
pub(crate) fn parse(args: &[OsString]) -> Result<(Cli, Places), Rejected> {
    let cli = parse_with(args, &Config::default()).map_err(Rejected::Arguments)?;
    let places = Places::find(cli.global.home.as_deref()).map_err(Rejected::Config)?;
    let config = Config::load(&places.config).map_err(Rejected::Config)?;
    if config.is_empty() {
        return Ok((cli, places));
    }
    // The arguments alone were fine, so what is wrong now comes from the file.
    let cli = parse_with(args, &config)
        .map_err(|error| Rejected::Config(config::bad_value(&places.config, &error)))?;
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

fn parse_with(args: &[OsString], config: &Config) -> Result<Cli, clap::Error> {
    let mut command = command_with(config);
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The definition of the whole command line.
pub(crate) fn command() -> clap::Command {
    command_with(&Config::default())
}

fn command_with(config: &Config) -> clap::Command {
    let fill = |arg| fill_in(arg, config);
    Cli::command().mut_args(fill).mut_subcommands(|subcommand| subcommand.mut_args(fill))
}

/// Lets the environment and then `config` stand in for an option that is not on the command line.
fn fill_in(arg: Arg, config: &Config) -> Arg {
    let Some(name) = arg.get_long().map(str::to_owned) else {
        return arg;
    };
    let variable = format!("SHOAL_{}", name.to_uppercase().replace('-', "_"));
    let mut arg = arg.env(variable).hide_env(true);
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        // 1, yes and on are true too.
        arg = arg.value_parser(BoolishValueParser::new());
    }
    match config.value(&name) {
        Some(values) => arg.default_values(values.to_vec()),
        None => arg,
    }
}

#[cfg(test)]
mod tests;
