//! Names that some systems cannot hold, or that would mislead whoever reads them.

use std::collections::{HashMap, HashSet};

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;

use crate::RelPath;

#[cfg(test)]
mod tests;

/// A path that some common system cannot hold, alone or beside the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Windows keeps the name for a device.
    #[error("{path:?}: Windows reserves the name {name:?}")]
    Reserved {
        /// The first path with that name in it.
        path: RelPath,
        /// The name.
        name: String,
    },
    /// Windows refuses the character.
    #[error("{path:?}: Windows allows no {character:?} in a name")]
    Character {
        /// The first path with that name in it.
        path: RelPath,
        /// The first such character.
        character: char,
    },
    /// Windows drops the dot or space that the name ends with.
    #[error("{path:?}: Windows drops the last character of {name:?}")]
    Ending {
        /// The first path with that name in it.
        path: RelPath,
        /// The name.
        name: String,
    },
    /// Two files or folders are one where case, or the way an accent is written, does not count.
    #[error("{first:?} and {second:?} are one and the same on macOS and Windows")]
    Collision {
        /// The file or folder that came first.
        first: String,
        /// The other.
        second: String,
    },
}

/// Finds what keeps `paths` from being written to every common system.
///
/// Each thing is said once: a folder by the first path in it, a collision for the outermost names that collide.
pub fn portability_problems<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut by_fold: HashMap<String, &str> = HashMap::new();
    let mut colliding: HashSet<&str> = HashSet::new();
    for path in paths {
        for prefix in path.ancestors().chain([path.as_str()]) {
            if colliding.contains(prefix) {
                break;
            }
            let known = *by_fold.entry(fold(prefix)).or_insert_with(|| {
                problems.extend(name_problem(path, prefix));
                prefix
            });
            if known != prefix {
                let (first, second) = (known.to_owned(), prefix.to_owned());
                problems.push(Problem::Collision { first, second });
                colliding.insert(prefix);
                break;
            }
        }
    }
    problems
}

/// Takes a name that a stranger suggests for a file, if it is safe to create and honest to look at.
///
/// One path component that every system can hold, is not hidden, and has no characters that reorder text on
/// a screen. Anything else is no name at all: there is nothing to gain from guessing what was meant.
///
/// ```
/// use shoal_content::safe_file_name;
///
/// assert_eq!(safe_file_name("holiday.mp4").as_deref(), Some("holiday.mp4"));
/// assert_eq!(safe_file_name("../holiday.mp4"), None);
/// assert_eq!(safe_file_name(".bashrc"), None);
/// ```
pub fn safe_file_name(hint: &str) -> Option<String> {
    let path = RelPath::parse(hint).ok()?;
    let safe = path.components().count() == 1
        && !hint.starts_with('.')
        && !hint.chars().any(reorders_text)
        && name_problem(&path, hint).is_none();
    safe.then(|| hint.to_owned())
}

/// Gives the text that all spellings have in common where neither case nor normalisation counts.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().default_case_fold().nfc().collect()
}

/// Finds what is wrong with the last name in `prefix`, an ancestor of `path` or itself.
fn name_problem(path: &RelPath, prefix: &str) -> Option<Problem> {
    let name = prefix.rsplit('/').next()?;
    let (path, owned) = (path.clone(), name.to_owned());
    if let Some(character) = name.chars().find(|c| r#"<>:"|?*"#.contains(*c)) {
        return Some(Problem::Character { path, character });
    }
    if name.ends_with(['.', ' ']) {
        return Some(Problem::Ending { path, name: owned });
    }
    is_device(name).then_some(Problem::Reserved { path, name: owned })
}

/// Whether Windows opens a device by that name, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        port => ["COM", "LPT"].iter().any(|kind| {
            port.strip_prefix(kind).is_some_and(|number| {
                let mut digits = number.chars();
                // Windows takes the superscripts of Latin-1 for digits.
                matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
            })
        }),
    }
}

/// Whether `c` breaks a line or makes text run backwards, as in `exe.gpj` shown for `jpg.exe`.
const fn reorders_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
