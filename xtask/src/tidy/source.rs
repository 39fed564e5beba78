//! What stands, or must not stand, in one Rust file.

use super::tree::Tree;
use super::{Rule, Violation};

/// A longer file is read by nobody from end to end; it has a second subject that wants a file of its own.
const MAX_LINES: usize = 500;

/// The text that must not stand in a file, where that holds, and what to do instead.
struct Forbidden {
    words: &'static [&'static str],
    place: Place,
    instead: &'static str,
}

enum Place {
    /// Also in comments and tests.
    Anywhere,
    /// In code, tests included.
    Code,
    /// In the code of these crates, tests left out.
    Crates(&'static [&'static str]),
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        words: &["TODO", "FIXME", "XXX"],
        place: Place::Anywhere,
        instead: "finish it, or say in a sentence what is missing and why that is right for now",
    },
    Forbidden {
        words: &["todo!", "unimplemented!"],
        place: Place::Code,
        instead: "finish it, or return an error",
    },
    Forbidden {
        words: &["#[ignore", "```ignore"],
        place: Place::Anywhere,
        instead: "a test that never runs proves nothing: make it quick enough to run, or delete it",
    },
    Forbidden {
        words: &["#[should_panic"],
        place: Place::Code,
        instead: "assert today's answer, so that another panic does not pass for the expected one",
    },
    Forbidden {
        words: &["tokio::spawn", "task::spawn", "spawn_blocking", "spawn_local", "JoinSet"],
        place: Place::Crates(&["content", "store", "dht", "transfer", "gateway"]),
        instead: "only `node` spawns, so that no task outlives it: hand back a future",
    },
    Forbidden {
        words: &["std::fs", "std::net", "Instant::now", "SystemTime::now"],
        place: Place::Crates(&["content"]),
        instead: "`content` is pure: take bytes or a time as an argument",
    },
    Forbidden {
        words: &["env::var", "env::var_os"],
        place: Place::Crates(&["content", "store", "dht", "transfer", "node", "gateway"]),
        instead: "a library takes its settings as arguments; only `cli` reads the environment",
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.sources() {
        let mut report = |rule, line, message| {
            violations.push(Violation { rule, path: path.to_owned(), line, message });
        };
        if let Some(message) = bad_opening(text) {
            report(Rule::Opening, 1, message.to_owned());
        }
        let lines = text.lines().count();
        if lines > MAX_LINES && !is_test(path) {
            report(Rule::Length, lines, format!("has more than {MAX_LINES} lines: split it by subject"));
        }
        for (number, line) in text.lines().enumerate() {
            for (word, instead) in forbidden_in(path, line) {
                report(Rule::Words, number + 1, format!("`{word}`: {instead}"));
            }
        }
    }
    violations
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The opening is the first paragraph of the module doc; it may wrap over several lines.
fn bad_opening(text: &str) -> Option<&'static str> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let opening: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let Some(last) = opening.last() else {
        return Some("does not open with a module doc: `//!` and one plain sentence");
    };
    let is_sentence = last.ends_with(['.', ':', '!', '?']);
    (!is_sentence).then_some("opens with words that are not a sentence: end it with a full stop")
}

fn forbidden_in<'a>(path: &'a str, line: &'a str) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    let code = without_comment(line);
    FORBIDDEN.iter().flat_map(move |Forbidden { words, place, instead }| {
        let text = match place {
            Place::Anywhere => line,
            Place::Code => code,
            Place::Crates(folders) if folders.contains(&folder_of(path)) && !is_test(path) => code,
            Place::Crates(_) => "",
        };
        words.iter().filter(|word| stands_in(text, word)).map(|word| (*word, *instead))
    })
}

fn folder_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Cuts a line comment off. The slashes of a URL in a string do not begin one.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Whether `word` stands in `text` on its own, and not as a part of a longer name.
fn stands_in(text: &str, word: &str) -> bool {
    let in_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(word).any(|(at, _)| {
        let goes_on_before = word.starts_with(in_name) && text[..at].ends_with(in_name);
        let goes_on_after = word.ends_with(in_name) && text[at + word.len()..].starts_with(in_name);
        !goes_on_before && !goes_on_after
    })
}
