//! A connection of a floor, with and without encryption.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use anyhow::Result;
use rustix::net::sockopt;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned, pki_types::ServerName};

use super::{Kind, tls};

/// Bytes that may be on their way where nothing else is measured than how fast bytes move, of which Linux makes twice as
/// many. By itself it stops at 4 MiB with the headers of packets, and 500 Mbit/s with 50 ms need more.
const SEND_BUFFER: usize = 4 * 1024 * 1024;

/// Bytes both ways.
pub(super) enum Stream {
    Plain(TcpStream),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn accept(kind: Kind, connection: TcpStream, config: &Arc<ServerConfig>) -> Result<Self> {
        connection.set_nodelay(true)?;
        if kind == Kind::Raw {
            sockopt::set_socket_send_buffer_size(&connection, SEND_BUFFER)?;
            return Ok(Self::Plain(connection));
        }
        let tls = ServerConnection::new(Arc::clone(config))?;
        Ok(Self::Server(Box::new(StreamOwned::new(tls, connection))))
    }

    pub(super) fn connect(kind: Kind, connection: TcpStream, certificate: &Path) -> Result<Self> {
        connection.set_nodelay(true)?;
        if kind == Kind::Raw {
            return Ok(Self::Plain(connection));
        }
        let name = ServerName::from(connection.peer_addr()?.ip());
        let tls = ClientConnection::new(tls::client(certificate)?, name)?;
        let mut stream = StreamOwned::new(tls, connection);
        // Nothing is asked for, so nothing would begin the handshake but this.
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Self::Client(Box::new(stream)))
    }

    /// Says that nothing follows.
    pub(super) fn close(mut self) -> Result<()> {
        if let Self::Server(stream) = &mut self {
            stream.conn.send_close_notify();
        }
        self.flush()?;
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Server(stream) => stream.read(buffer),
            Self::Client(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Server(stream) => stream.write(buffer),
            Self::Client(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
            Self::Client(stream) => stream.flush(),
        }
    }
}
