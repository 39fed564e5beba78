//! The command line: options that several commands share.

mod layers;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Parser, ValueEnum};
use shoal_gateway::json;
use shoal_node::{Announce, Builder, ErrorKind, Multiaddr, NetworkName, Node, Rates, Scopes};

use crate::{commands::Command, failure::Failure};

pub(crate) use layers::{Rejected, command, failure_of, parse};
pub(crate) use values::{
    Globs, Speed, cid_of_file, duration, globs, link_text, own_address, peer_address, share_name,
};

/// What to do about a node that runs otherwise than it should.
const STOP_IT: &str = "stop it with `shoal stop`, or use another --home";

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
    /// Announce this: files (and up to 1000 of each directory), roots (what was published) or none [default: files]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub(crate) announce: Option<What>,
    /// Do not look for peers on the local network by multicast
    #[arg(long)]
    pub(crate) no_mdns: bool,
    /// Send no more than this per second, like 500k, 2M or 1GiB [default: none, for no limit]
    #[arg(long, value_name = "RATE")]
    pub(crate) up: Option<Speed>,
    /// Receive no more than this per second
    #[arg(long, value_name = "RATE")]
    pub(crate) down: Option<Speed>,
    /// Send no more than this per second to each peer
    #[arg(long, value_name = "RATE")]
    pub(crate) up_per_peer: Option<Speed>,
    /// Receive no more than this per second from each peer
    #[arg(long, value_name = "RATE")]
    pub(crate) down_per_peer: Option<Speed>,
}

/// Where a node announces and looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    Lan,
    Wan,
    Both,
}

/// What a node announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    Files,
    Roots,
    None,
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
        if let Some(what) = self.announce {
            builder = builder.announce(match what {
                What::Files => Announce::default(),
                What::Roots => Announce::Roots,
                What::None => Announce::Nothing,
            });
        }
        builder = self.listen.iter().cloned().fold(builder, Builder::listen);
        builder = self.peer.iter().cloned().fold(builder, Builder::peer);
        builder = builder.rates(self.rates());
        self.external.iter().cloned().fold(builder, Builder::external)
    }

    fn rates(&self) -> Rates {
        let rate = |speed: Option<Speed>| speed.and_then(|speed| speed.0);
        Rates {
            up: rate(self.up),
            down: rate(self.down),
            up_per_peer: rate(self.up_per_peer),
            down_per_peer: rate(self.down_per_peer),
        }
    }

    /// The limit of a single get, as an API request tells it.
    pub(crate) fn down(&self) -> u64 {
        self.down.map_or(0, Speed::bytes)
    }

    /// Refuses to go on with a running node that tells others more, or other ones, than this command was told to: it would
    /// not be taken back.
    pub(crate) fn hold_for(&self, running: &json::Status) -> Result<(), Failure> {
        let asked = [
            ("is on network", self.network.as_ref().map(ToString::to_string), &running.network),
            ("has scope", self.scope.as_ref().and_then(word), &running.scope),
            ("announces", self.announce.as_ref().and_then(word), &running.announce),
        ];
        let refuse = |message: String| Failure::new(ErrorKind::Usage, message).hint(STOP_IT);
        for (does, asked, runs) in asked {
            if let Some(asked) = asked.filter(|asked| asked != runs) {
                return Err(refuse(format!("the running node of this home {does} {runs}, not {asked}")));
            }
        }
        if self.no_mdns && running.started_with.mdns {
            let message = "the running node of this home looks for peers by multicast, against --no-mdns";
            return Err(refuse(message.to_owned()));
        }
        Ok(())
    }

    /// What to say of options that a node that runs already does not take over. A limit of what is received is not among
    /// them: a get brings it along, and no other command receives anything. Nor are peers: see [`Self::unknown_peers`].
    pub(crate) fn without_effect(&self, running: &json::Status) -> Vec<String> {
        let other = |asked: &[Multiaddr], runs: &[String]| {
            asked.iter().any(|asked| !runs.contains(&asked.to_string()))
        };
        let started_with = &running.started_with;
        let mut all = Vec::new();
        if other(&self.listen, &started_with.listen) {
            let addresses = running.addresses.join(" and ");
            all.push(format!(
                "--listen does not change the running node of this home, which listens on {addresses}; {STOP_IT}"
            ));
        }
        if other(&self.external, &started_with.external) {
            all.push(format!("--external does not change the running node of this home; {STOP_IT}"));
        }
        all.extend(self.other_speeds(&running.rates).into_iter().map(|option| {
            format!("{option} does not change the running node, whose limits `shoal limit` shows and changes")
        }));
        all
    }

    /// What to say where a command that tells its node no peers was given some that the running one was not started with.
    pub(crate) fn unknown_peers(&self, running: &json::Status) -> Option<String> {
        let unknown = self.peers().iter().any(|peer| !running.started_with.peers.contains(peer));
        unknown
            .then(|| format!("--peer does not make the running node of this home connect to it; {STOP_IT}"))
    }

    /// The options that ask for another speed than that of a node that runs already.
    fn other_speeds(&self, running: &json::Rates) -> Vec<&'static str> {
        let asked = [
            ("--up", self.up, running.up),
            ("--up-per-peer", self.up_per_peer, running.up_per_peer),
            ("--down-per-peer", self.down_per_peer, running.down_per_peer),
        ];
        let differs = |asked: Option<Speed>, runs: Option<u64>| {
            asked.is_some_and(|asked| asked.bytes() != runs.unwrap_or(0))
        };
        asked.into_iter().filter(|(_, asked, runs)| differs(*asked, *runs)).map(|(name, ..)| name).collect()
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

/// A value as it is written on the command line.
fn word(value: &impl ValueEnum) -> Option<String> {
    Some(value.to_possible_value()?.get_name().to_owned())
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

#[cfg(test)]
mod tests;
