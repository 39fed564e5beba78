//! The only door for names of files that come from others.

use std::{fmt, str::FromStr};

#[cfg(test)]
mod tests;

/// Longest path in bytes. Longer ones are refused by `open` on common systems once a folder is put before
/// them, and a million of them would not fit in memory.
pub const MAX_PATH_LEN: usize = 1024;

/// Longest name between two slashes in bytes. Common file systems hold no longer one.
pub const MAX_COMPONENT_LEN: usize = 255;

/// Most names in a path. Each level is a folder to open when files are written.
pub const MAX_PATH_DEPTH: usize = 32;

/// A relative path that stays below the folder it is joined to.
///
/// UTF-8, components separated by `/`, sorted by bytes, not normalised: the name is what its publisher has.
/// Symlinks on the way are the business of whoever opens it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

impl RelPath {
    /// Parses a path and refuses whatever could lead elsewhere on any system.
    pub fn parse(text: &str) -> Result<Self, ParsePathError> {
        if text.is_empty() {
            return Err(ParsePathError::Empty);
        }
        if text.len() > MAX_PATH_LEN {
            return Err(ParsePathError::TooLong);
        }
        if text.starts_with('/') {
            return Err(ParsePathError::Absolute);
        }
        text.split('/').try_for_each(check_component)?;
        if text.split('/').count() > MAX_PATH_DEPTH {
            return Err(ParsePathError::TooDeep);
        }
        Ok(Self(text.to_owned()))
    }

    /// Gives the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Walks the names in the path, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Walks the folders that the path lies in as text, outermost first, without the path itself.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..at))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for RelPath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, ParsePathError> {
        Self::parse(text)
    }
}

fn check_component(name: &str) -> Result<(), ParsePathError> {
    match name.as_bytes() {
        [] => return Err(ParsePathError::EmptyComponent),
        b"." | b".." => return Err(ParsePathError::Dots),
        // Joined to a path on Windows, `C:x` replaces all of it.
        [letter, b':', ..] if letter.is_ascii_alphabetic() => return Err(ParsePathError::Drive),
        bytes if bytes.len() > MAX_COMPONENT_LEN => return Err(ParsePathError::ComponentTooLong),
        _ => {}
    }
    if name.contains('\\') {
        return Err(ParsePathError::Backslash);
    }
    if name.chars().any(char::is_control) {
        return Err(ParsePathError::Control);
    }
    Ok(())
}

/// Why a text is not a safe relative path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePathError {
    /// No text at all.
    #[error("the path is empty")]
    Empty,
    /// Longer than [`MAX_PATH_LEN`].
    #[error("the path is longer than {MAX_PATH_LEN} bytes")]
    TooLong,
    /// More than [`MAX_PATH_DEPTH`] names.
    #[error("the path is deeper than {MAX_PATH_DEPTH} folders")]
    TooDeep,
    /// It starts at the root of the file system.
    #[error("the path is absolute")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("the path has an empty name in it")]
    EmptyComponent,
    /// A name longer than [`MAX_COMPONENT_LEN`].
    #[error("a name in the path is longer than {MAX_COMPONENT_LEN} bytes")]
    ComponentTooLong,
    /// `.` or `..` as a name.
    #[error("the path has \".\" or \"..\" in it")]
    Dots,
    /// A name that starts like a drive of Windows.
    #[error("the path has a drive letter in it")]
    Drive,
    /// The separator of Windows.
    #[error("the path has a backslash in it")]
    Backslash,
    /// NUL, escape and their kin.
    #[error("the path has a control character in it")]
    Control,
}
