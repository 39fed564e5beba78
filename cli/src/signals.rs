//! The user's wish to stop: the first signal asks, the second does not wait.

use std::{convert::Infallible, io};

use shoal_node::ErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// SIGINT and SIGTERM, watched from the moment of its making.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes over both signals. Needs a runtime around it.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Cancels `stop` at the first signal, and ends the process at the second.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves further signals unheard.
    pub(crate) async fn watch(mut self, stop: CancellationToken) -> Infallible {
        self.next().await;
        stop.cancel();
        self.next().await;
        exit_at_once()
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user does not want to wait for what the destructors would wait for"
)]
fn exit_at_once() -> Infallible {
    std::process::exit(ErrorKind::Interrupted.exit_code().into())
}
