//! The commands, one file each.

mod completions;
mod find;
mod get;
mod id;
mod limit;
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

/// What to do. The help of each command is the documentation of its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Start(start::Args),
    Publish(publish::Args),
    Get(get::Args),
    Ls(ls::Args),
    Unpublish(unpublish::Args),
    Verify(verify::Args),
    Find(find::Args),
    Status(status::Args),
    Peers(peers::Args),
    Limit(limit::Args),
    Id(id::Args),
    Paths(paths::Args),
    Stop(stop::Args),
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
        Command::Limit(args) => limit::run(cx, &args).await,
        Command::Id(args) => id::run(cx, &args).await,
        Command::Paths(args) => paths::run(cx, &args),
        Command::Stop(args) => stop::run(cx, &args).await,
        Command::Completions(args) => completions::run(cx, &args),
    }
}
