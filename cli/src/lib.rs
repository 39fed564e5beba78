//! The shoal command line: arguments, output, exit codes.
//!
//! What a user of the library would miss does not belong here. Every command asks a node through the API, whether
//! another process runs that node or this one had to start it.

mod args;
mod client;
mod commands;
mod config;
mod failure;
mod log;
mod offline;
mod output;
mod places;
mod progress;
mod session;
mod signals;
mod stdout;

use std::{cell::Cell, convert::Infallible, env, ffi::OsString, process::ExitCode};

use clap::error::ErrorKind as ClapError;
use shoal_node::ErrorKind;
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Cli, Rejected},
    failure::{Failure, interrupted},
    output::Printer,
    places::Places,
    signals::Signals,
};

/// How a command ends whose output nobody reads to its end: as if the signal for that had ended it.
const UNREAD: u8 = 128 + 13;

/// Runs `shoal` with the arguments of this process.
pub fn main() -> ExitCode {
    run(env::args_os())
}

/// Runs `shoal` with these arguments, the first of which is the name of the program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    match args::parse(&args, &|name| env::var_os(name)) {
        Ok((cli, places)) => execute(cli, places),
        Err(rejected) => reject(&args, rejected),
    }
    .into()
}

/// What every command works with.
struct Context {
    places: Places,
    printer: Printer,
    /// Cancelled when the user wants the command to stop, or nobody reads what it prints.
    stop: CancellationToken,
    /// What it means for the command when nobody reads what it prints.
    without_reader: Cell<WithoutReader>,
    /// The command was stopped because nobody reads what it prints.
    unread: Cell<bool>,
}

/// What it means for a command when nobody reads what it prints any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum WithoutReader {
    /// It is cut off.
    #[default]
    IsCut,
    /// Its reader has seen enough.
    IsDone,
    /// It serves others, whoever reads.
    GoesOn,
}

impl Context {
    /// Does `work`, unless the user stops it.
    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(interrupted()),
            result = work => result,
        }
    }

    /// Stops the command when nobody reads what it prints any more, unless it serves others.
    async fn end_with_stdout(&self) -> Infallible {
        stdout::closed().await;
        self.printer.close();
        if self.without_reader.get() != WithoutReader::GoesOn {
            self.unread.set(true);
            self.stop.cancel();
        }
        std::future::pending().await
    }
}

fn execute(cli: Cli, places: Places) -> u8 {
    let printer = Printer::new(&cli.global);
    log::start(cli.global.verbose, &printer);
    let cx = Context {
        places,
        printer,
        stop: CancellationToken::new(),
        without_reader: Cell::default(),
        unread: Cell::default(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return cx.printer.finish(Err(Failure::new(ErrorKind::Other, "could not start").because(&error)));
        }
    };
    let result = runtime.block_on(async {
        let signals = Signals::install()
            .map_err(|error| Failure::new(ErrorKind::Other, "could not watch for signals").because(&error))?;
        tokio::select! {
            biased;
            never = signals.watch(cx.stop.clone()) => match never {},
            never = cx.end_with_stdout() => match never {},
            result = commands::run(cli.command, &cx) => result,
        }
    });
    let exit = match &result {
        // Nobody is there to be told.
        Err(failure) if cx.unread.get() && failure.kind == ErrorKind::Interrupted => {
            if cx.without_reader.get() == WithoutReader::IsDone { 0 } else { UNREAD }
        }
        _ => cx.printer.finish(result),
    };
    // A thread that still reads a disk must not keep the user waiting.
    runtime.shutdown_background();
    exit
}

/// Answers a command line that no command can run with.
fn reject(args: &[OsString], rejected: Rejected) -> u8 {
    // The options could not be read, so this one is looked for by hand: its readers count on a last line.
    let json = args.iter().any(|arg| arg == "--json")
        || env::var_os("SHOAL_JSON").is_some_and(|set| !set.is_empty());
    let printer = Printer::plain(json);
    match rejected {
        Rejected::Elsewhere(failure) => printer.finish(Err(failure)),
        Rejected::Arguments(error)
            if matches!(error.kind(), ClapError::DisplayHelp | ClapError::DisplayVersion) =>
        {
            // Help that nobody reads is no failure.
            drop(error.print());
            0
        }
        Rejected::Arguments(error) => {
            drop(error.print());
            printer.done(Err(args::failure_of(&error)))
        }
    }
}
