//! The commands, one file each.

mod completions;
mod find;
mod get;
mod id;
mod ls;
mod paths;
mod peers;
mod publish;
mod start;
mod status;
mod stop;
mod unpublish;
mod verify;

use clap::Subcommand;

use crate::{Context, failure::Failure};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node until it is stopped
    Start(start::Args),
    /// Share files and directories where they are
    Publish(publish::Args),
    /// Fetch content by its name
    Get(get::Args),
    /// List what is shared, and whether it is still what it was
    Ls(ls::Args),
    /// Stop sharing something; its files stay
    Unpublish(unpublish::Args),
    /// Check that a file or directory has the name that it should have
    Verify(verify::Args),
    /// Ask the network who has some content
    Find(find::Args),
    /// Show the state of the running node
    Status(status::Args),
    /// List the peers that the running node is connected to
    Peers(peers::Args),
    /// Print the name of this node
    Id(id::Args),
    /// Print where everything is kept
    Paths(paths::Args),
    /// Stop the running node
    Stop(stop::Args),
    /// Print a script that completes commands in a shell
    Completions(completions::Args),
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command, cx: &Context) -> Result<(), Failure> {
    match command {
        Command::Start(args) => start::run(cx, &args).await,
        Command::Publish(args) => publish::run(cx, &args).await,
        Command::Get(args) => get::run(cx, &args).await,
        Command::Ls(args) => ls::run(cx, &args).await,
        Command::Unpublish(args) => unpublish::run(cx, &args).await,
        Command::Verify(args) => verify::run(cx, &args).await,
        Command::Find(args) => find::run(cx, &args).await,
        Command::Status(args) => status::run(cx, &args).await,
        Command::Peers(args) => peers::run(cx, &args).await,
        Command::Id(args) => id::run(cx, &args).await,
        Command::Paths(args) => paths::run(cx, &args),
        Command::Stop(args) => stop::run(cx, &args).await,
        Command::Completions(args) => completions::run(cx, &args),
    }
}
