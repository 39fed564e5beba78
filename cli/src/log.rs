//! Logs: what the node has to say beside the results, on stderr.

use std::{
    env,
    io::{self, Write},
};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;

use crate::output::Printer;

/// Replaces the levels that `-v` and `-q` choose, in the syntax of `tracing`'s filters.
const VARIABLE: &str = "SHOAL_LOG";

/// The crates whose events are meant for users.
const OURS: [&str; 6] =
    ["shoal_cli", "shoal_gateway", "shoal_node", "shoal_dht", "shoal_transfer", "shoal_store"];

/// Starts to log for the rest of the process. `verbose` is the number of times that `-v` was given.
pub(crate) fn start(verbose: u8, printer: &Printer) {
    let filter = match env::var(VARIABLE) {
        Ok(directives) => EnvFilter::new(directives),
        Err(_) => EnvFilter::new(directives(verbose, printer.quiet())),
    };
    let bar = printer.bar().clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(printer.colored())
        .with_writer(move || BesideBar(bar.clone()));
    // A second command in one process keeps the first one's logger.
    if verbose == 0 {
        drop(subscriber.without_time().with_target(false).try_init());
    } else {
        drop(subscriber.try_init());
    }
}

fn directives(verbose: u8, quiet: bool) -> String {
    let (others, ours) = match verbose {
        0 if quiet => ("off", "error"),
        0 => ("off", "warn"),
        1 => ("error", "info"),
        2 => ("warn", "debug"),
        _ => ("debug", "trace"),
    };
    OURS.iter().fold(others.to_owned(), |all, name| format!("{all},{name}={ours}"))
}

/// Writes to stderr without tearing the progress bar.
struct BesideBar(ProgressBar);

impl Write for BesideBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
