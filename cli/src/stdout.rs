//! Tells when nobody reads stdout any more, also while there is nothing to write.

use std::{io, os::fd::AsFd};

use rustix::fs::{FileType, fstat};
use tokio::{io::Interest, net::unix::pipe::Sender};

/// Waits until the other end of the pipe that stdout is has been closed. Anything else than a pipe stays open.
///
/// # Cancel safety
///
/// Nothing is lost by dropping the future.
pub(crate) async fn closed() {
    if !is_pipe() || watch().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn is_pipe() -> bool {
    fstat(io::stdout()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

async fn watch() -> io::Result<()> {
    // The checked way would make writes to the pipe fail when it is full, for everybody who writes to it.
    let pipe = Sender::from_owned_fd_unchecked(io::stdout().as_fd().try_clone_to_owned()?)?;
    while !pipe.ready(Interest::ERROR).await?.is_error() {}
    Ok(())
}
