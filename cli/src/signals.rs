//! The user's wish to stop: the first signal asks, the second does not wait.

use std::{convert::Infallible, io};

use shoal_node::ErrorKind;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// SIGINT, SIGTERM and SIGHUP, watched from the moment of its making.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is gone. Not watched where `nohup` wants the program to go on without it.
    hang_up: Option<Signal>,
}

impl Signals {
    /// Takes over the signals. Needs a runtime around it.
    pub(crate) fn install() -> io::Result<Self> {
        let hang_up =
            if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
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
            Some(()) = async { self.hang_up.as_mut()?.recv().await } => {}
        }
    }
}

/// Whether whoever started this process had it ignore a signal, where the system tells.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let number = u32::try_from(signal.as_raw_value()).unwrap_or_default();
    number > 0 && mask.checked_shr(number - 1).is_some_and(|rest| rest & 1 == 1)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the user does not want to wait for what the destructors would wait for"
)]
fn exit_at_once() -> Infallible {
    std::process::exit(ErrorKind::Interrupted.exit_code().into())
}
