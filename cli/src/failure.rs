//! Failures that the command line itself finds; those of the node come with its answers.

use std::path::Path;

use shoal_node::ErrorKind;

pub(crate) use shoal_gateway::json::Failure;

/// The user stopped the work.
pub(crate) fn interrupted() -> Failure {
    Failure::new(ErrorKind::Interrupted, "interrupted")
}

/// The command is of use only with a running node.
pub(crate) fn no_daemon(home: &Path) -> Failure {
    Failure::new(ErrorKind::NoDaemon, format!("no node is running on {}", home.display()))
        .hint("start one with `shoal start`, or name its home with --home")
}

/// A node holds the home and does not answer.
pub(crate) fn no_answer(home: &Path, pid: u32) -> Failure {
    let (holder, pid) = match pid {
        0 => ("a process".to_owned(), "PID".to_owned()),
        pid => (format!("process {pid}"), pid.to_string()),
    };
    Failure::new(ErrorKind::NoDaemon, format!("{holder} holds {} and does not answer", home.display())).hint(
        format!("`kill -CONT {pid}` lets it go on if it was stopped; else end it with `kill -9 {pid}` and try again"),
    )
}

/// The connection to the node broke while it was working.
pub(crate) fn broken_off() -> Failure {
    Failure::new(ErrorKind::NoDaemon, "the node stopped before it was done")
        .hint("try again: what was complete is kept, and a get goes on where it was")
}

/// The command line makes no sense in a way that its parser cannot tell.
pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::Usage, message)
}
