//! The Unix socket of the API: where it is, who may connect, and how many at once.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink},
        net as blocking,
    },
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use shoal_node::Node;
use tokio::net::{UnixListener, UnixStream};

use crate::{Authority, serve_connection};

/// Connections served at once; further ones wait to be accepted. Each costs a file descriptor that the network and the
/// disk need too.
const CONNECTIONS: usize = 256;

/// The longest path that every supported system takes as a socket's address, with room for none of them to be cut.
const MAX_PATH: usize = 100;

/// The pause after a failed accept. Out of file descriptors, it fails at once and again until one is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket. Dropping it removes the socket.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    socket: PathBuf,
    record: PathBuf,
}

impl Listener {
    /// Listens at `path`, or where that is too long for a socket's address, in `runtime`, leaving at `path` a symbolic
    /// link for [`connect`]. Only the user may connect. The caller must hold the home that `path` is in.
    ///
    /// # Errors
    ///
    /// Somebody else answers there, or the system refuses.
    pub fn bind(path: &Path, runtime: &Path) -> Result<Self, BindError> {
        remove_stale(path)?;
        let socket = if fits(path) { path.to_owned() } else { short_path(path, runtime)? };
        let fail = |source| BindError::Io { path: socket.clone(), source };
        let listener = listen(&socket).map_err(fail)?;
        if socket != path {
            symlink(&socket, path).map_err(fail)?;
        }
        Ok(Self { listener, socket, record: path.to_owned() })
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for path in [&self.socket, &self.record] {
            // One that stays is stale, and the next node of this home removes it.
            drop(fs::remove_file(path));
        }
    }
}

/// Connects to the node whose [`Listener`] was bound to `path`.
///
/// # Errors
///
/// Nobody listens there.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(locate(path)?).await
}

/// Where the socket is whose [`Listener`] was bound to `path`.
///
/// # Errors
///
/// `path` is too long for a socket's address, and none was ever bound to it.
pub fn locate(path: &Path) -> io::Result<PathBuf> {
    if fits(path) { Ok(path.to_owned()) } else { fs::read_link(path) }
}

/// Accepts and serves connections until `closing`, then removes the socket and serves those it had accepted.
///
/// # Cancel safety
///
/// Dropping the future closes all connections, which cancels the work that they asked for.
pub async fn serve(listener: Listener, node: Node, closing: impl Future<Output = ()>) {
    let uid = rustix::process::getuid().as_raw();
    let mut connections = FuturesUnordered::new();
    let mut closing = std::pin::pin!(closing);
    loop {
        tokio::select! {
            biased;
            () = &mut closing => break,
            Some(()) = connections.next() => {}
            accepted = accept(&listener, uid), if connections.len() < CONNECTIONS => {
                if let Some(stream) = accepted {
                    let connection = serve_connection(stream, node.clone(), Authority::Uid(uid));
                    // A bug in one answer must not end the node of all.
                    connections.push(AssertUnwindSafe(connection).catch_unwind().map(|ended| {
                        if ended.is_err() {
                            tracing::error!("an answer of the API panicked");
                        }
                    }));
                }
            }
        }
    }
    drop(listener);
    while connections.next().await.is_some() {}
}

/// The next connection of user `uid`; `None` for one of somebody else.
async fn accept(listener: &Listener, uid: u32) -> Option<UnixStream> {
    match listener.listener.accept().await {
        Ok((stream, _)) => {
            let theirs = stream.peer_cred().ok()?.uid();
            if theirs != uid {
                tracing::warn!(uid = theirs, "refused another user at the API's socket");
            }
            (theirs == uid).then_some(stream)
        }
        Err(error) => {
            tracing::warn!(%error, "could not accept a connection to the API");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= MAX_PATH
}

/// Removes what an earlier node left at `path`, unless something answers there.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let Ok(socket) = locate(path) else { return Ok(()) };
    if blocking::UnixStream::connect(&socket).is_ok() {
        return Err(BindError::InUse { path: socket });
    }
    for left in [&socket, path] {
        match fs::remove_file(left) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(BindError::Io { path: left.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Binds in such a way that the socket has its name only once nobody else may connect.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    let draft = socket.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
    fs::rename(&draft, socket)?;
    Ok(listener)
}

/// A name in `runtime`, which is made private to the user or must be so already, for the socket that belongs at `path`.
fn short_path(path: &Path, runtime: &Path) -> Result<PathBuf, BindError> {
    let fail = |source| BindError::Io { path: runtime.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(runtime).map_err(fail)?;
    let folder = fs::symlink_metadata(runtime).map_err(fail)?;
    let private = folder.is_dir() && folder.mode() & 0o077 == 0;
    if !private || folder.uid() != rustix::process::getuid().as_raw() {
        return Err(BindError::NotPrivate { path: runtime.to_owned() });
    }
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    Ok(runtime.join(format!("shoal-{:016x}.sock", hasher.finish())))
}

/// Why the socket cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program answers there.
    #[error("another program answers at {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Others could replace a socket in this directory.
    #[error("{} is not private to its owner", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("could not listen at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
