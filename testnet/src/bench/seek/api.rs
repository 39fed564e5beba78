//! Asks a daemon over its socket, as an app does: starting a command would take longer than the answer.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::json;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gets a file, and tells after how long its first bytes were there and verified. Returns once all of it is.
///
/// # Errors
///
/// The daemon does not answer, or the get fails.
pub(super) fn first_byte(socket: &Path, cid: &str, target: &Path) -> Result<Duration> {
    let body = json!({ "link": cid, "to": target.display().to_string() }).to_string();
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /v1/get HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut first = None;
    // What lies between the lines of JSON (the head, the lengths of chunks) is none of them.
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.contains(r#""event":"source""#) || line.contains(r#""event":"fetched""#) {
            first.get_or_insert_with(|| start.elapsed());
        }
        if line.contains(r#""event":"done""#) {
            return match (line.contains(r#""ok":true"#), first) {
                (true, Some(first)) => Ok(first),
                _ => bail!("the get failed: {line}"),
            };
        }
    }
    bail!("the daemon broke off")
}
