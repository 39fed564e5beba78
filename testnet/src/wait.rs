//! Waiting for things to become true, never longer than a deadline.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::{sleep, timeout};

/// How long anything may take that a test waits for. Much longer than it should, for machines that are busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at that cannot tell when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits for `work`, but no longer than [`DEADLINE`].
///
/// # Errors
///
/// The deadline passed; `what` says in the message what did not happen.
///
/// # Cancel safety
///
/// As `work`.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    timeout(DEADLINE, work).await.with_context(|| format!("{what}: not within {} s", DEADLINE.as_secs()))
}

/// Looks again and again until `check` gives something, but no longer than [`DEADLINE`].
///
/// # Errors
///
/// The deadline passed; the message holds the last reason why not.
///
/// # Cancel safety
///
/// As `check`.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Result<T, String>) -> Result<T> {
    let mut why = String::new();
    let looking = async {
        loop {
            match check().await {
                Ok(value) => return value,
                Err(not_yet) => why = not_yet,
            }
            sleep(LOOK_EVERY).await;
        }
    };
    match timeout(DEADLINE, looking).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("{what}: not within {} s, since {why}", DEADLINE.as_secs()),
    }
}
