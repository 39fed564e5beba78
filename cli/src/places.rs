//! Where things are on this machine: the home, its configuration, the runtime directory.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use etcetera::{BaseStrategy, base_strategy::Xdg};
use shoal_gateway::unix;
use shoal_node::{ErrorKind, Paths};

use crate::failure::Failure;

/// Directories and files that commands use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// The home and what is in it.
    pub(crate) node: Paths,
    /// The configuration file, whether or not it exists.
    pub(crate) config: PathBuf,
    /// A directory of the user's for sockets whose own path would be too long.
    pub(crate) runtime: PathBuf,
}

impl Places {
    /// Everything under `home`, or where XDG says.
    pub(crate) fn find(home: Option<&Path>) -> Result<Self, Failure> {
        let xdg = Xdg::new();
        let (home, config) = match (home, &xdg) {
            (Some(home), _) => {
                let home = absolute(home)?;
                (home.clone(), home)
            }
            (None, Ok(xdg)) => (xdg.data_dir().join("shoal"), xdg.config_dir().join("shoal")),
            (None, Err(error)) => {
                return Err(Failure::new(ErrorKind::Other, "could not tell where to keep this node's files")
                    .because(error)
                    .hint("set HOME, or name a directory with --home"));
            }
        };
        let runtime = xdg.ok().and_then(|xdg| xdg.runtime_dir());
        Ok(Self {
            node: Paths::of(home),
            config: config.join("config.toml"),
            runtime: runtime.unwrap_or_else(fallback_runtime),
        })
    }

    /// Where the socket of a running node is, or would be where its path is not too long for one.
    pub(crate) fn socket(&self) -> PathBuf {
        unix::locate(&self.node.socket).unwrap_or_else(|_| self.node.socket.clone())
    }
}

/// `path` as the node must be told it, which may run in another directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error: io::Error| {
        Failure::new(ErrorKind::Usage, format!("{:?} is not a usable path", path.display())).because(&error)
    })
}

/// `path` as the API takes it.
pub(crate) fn absolute_text(path: &Path) -> Result<String, Failure> {
    absolute(path)?.into_os_string().into_string().map_err(|path| {
        Failure::new(ErrorKind::Usage, format!("{:?} is not UTF-8", path.display()))
            .hint("rename it: names travel between systems as UTF-8")
    })
}

/// Where there is no runtime directory: one below the directory for temporary files, private to the user.
fn fallback_runtime() -> PathBuf {
    env::temp_dir().join(format!("shoal-{}", rustix::process::getuid().as_raw()))
}
