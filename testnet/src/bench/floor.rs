//! Floors: the least that moving a file costs, with nothing of Shoal and nothing of libp2p in it.
//!
//! | floor | the sender | the receiver |
//! | --- | --- | --- |
//! | `raw` | sends the same buffer over TCP again and again | receives it and drops it |
//! | `tls` | the same through rustls, AES-128-GCM | decrypts and drops |
//! | `full` | reads a file and encrypts | decrypts on one thread; hashes with BLAKE3 and writes the file on another |
//!
//! All of it is blocking I/O with large buffers, in a process for each side. `full` does what a verified get has to do,
//! and as much of it at once as a get could: decrypting beside hashing and writing. It ends with a flush, as a get does.

mod full;
mod stream;
pub(crate) mod tls;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};

use self::stream::Stream;

/// Bytes that one call moves. A quarter of a megabyte still fits the second-level cache of any processor in use.
const BUFFER: usize = 256 * 1024;

/// What a floor does with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// TCP alone.
    Raw,
    /// And encryption.
    Tls,
    /// And reading, verifying and writing.
    Full,
}

/// One side of a floor.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Side {
    /// Sends the file to everyone who connects
    Serve {
        /// What to do with the bytes
        kind: Kind,
        /// Where to listen
        address: SocketAddr,
        /// The folder with cert.pem and key.pem
        certificate: PathBuf,
        /// What to send
        file: PathBuf,
    },
    /// Receives the file once
    Get {
        /// What to do with the bytes
        kind: Kind,
        /// Whom to ask
        address: SocketAddr,
        /// The folder with cert.pem
        certificate: PathBuf,
        /// Where to write
        file: PathBuf,
        /// The hash that it must have
        digest: blake3::Hash,
    },
    /// Prints how many microseconds it takes to connect, which is one round trip
    Connect {
        /// Whom to connect to
        address: SocketAddr,
    },
}

/// Runs one side, in a process that does nothing else.
///
/// # Errors
///
/// The other side or the disk fails, or the bytes are wrong.
pub(crate) fn run(side: &Side) -> Result<()> {
    match side {
        Side::Serve { kind, address, certificate, file } => {
            let listener = TcpListener::bind(address)?;
            writeln!(io::stdout(), "listening {}", listener.local_addr()?)?;
            let server = tls::server(certificate)?;
            for connection in listener.incoming() {
                let mut stream = Stream::accept(*kind, connection?, &server)?;
                let served = match kind {
                    Kind::Raw | Kind::Tls => send(&mut stream, file),
                    Kind::Full => full::send(&mut stream, file),
                };
                // A receiver that went away concerns nobody but itself.
                drop(served.and_then(|()| stream.close()));
            }
            Ok(())
        }
        Side::Get { kind, address, certificate, file, digest } => {
            let connection =
                TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
            let mut stream = Stream::connect(*kind, connection, certificate)?;
            match kind {
                Kind::Raw | Kind::Tls => receive(&mut stream),
                Kind::Full => full::receive(&mut stream, file, digest),
            }
        }
        Side::Connect { address } => {
            let start = Instant::now();
            TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
            Ok(writeln!(io::stdout(), "{}", start.elapsed().as_micros())?)
        }
    }
}

/// Sends as many bytes as the file has, all of them zero, after their number.
fn send(stream: &mut Stream, file: &PathBuf) -> Result<()> {
    let mut left = std::fs::metadata(file)?.len();
    stream.write_all(&left.to_le_bytes())?;
    let buffer = vec![0; BUFFER];
    while left > 0 {
        let take = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(buffer.get(..take).unwrap_or_default())?;
        left -= take as u64;
    }
    Ok(())
}

fn receive(stream: &mut Stream) -> Result<()> {
    let mut left = length(stream)?;
    let mut buffer = vec![0; BUFFER];
    while left > 0 {
        let read = stream.read(&mut buffer)?;
        anyhow::ensure!(read > 0, "the sender ended {left} bytes early");
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}

/// Reads how many bytes follow.
fn length(stream: &mut impl Read) -> io::Result<u64> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    Ok(u64::from_le_bytes(length))
}
