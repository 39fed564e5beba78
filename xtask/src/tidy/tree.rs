//! Holds the Rust sources and the manifests of a workspace as text, so that rules need no disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::process::Outcome;

/// Cargo marks every target folder with this file, whatever the folder is called.
const BUILD_OUTPUT_MARK: &str = "CACHEDIR.TAG";

/// Paths are relative to the workspace, with `/` between their parts.
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads a workspace, leaving out hidden folders, build output and everything behind a symbolic link.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files)?;
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn from_texts(files: BTreeMap<String, String>) -> Self {
        Self { files }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| (&**path, &**text))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }
}

fn read_folder(folder: &Path, inside: &str, files: &mut BTreeMap<String, String>) -> Outcome {
    let cannot_read = |error| format!("could not read {}: {error}", folder.display());
    if folder.join(BUILD_OUTPUT_MARK).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(cannot_read)? {
        let entry = entry.map_err(cannot_read)?;
        let kind = entry.file_type().map_err(cannot_read)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{inside}{name}");
        if kind.is_dir() && !name.starts_with('.') {
            read_folder(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && (name.ends_with(".rs") || name == "Cargo.toml") {
            let text = fs::read_to_string(entry.path())
                .map_err(|error| format!("could not read {path}: {error}"))?;
            files.insert(path, text);
        }
    }
    Ok(())
}
