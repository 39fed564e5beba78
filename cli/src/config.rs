//! The configuration file: values for options that neither the command line nor the environment gives.

use std::{collections::BTreeMap, ffi::OsString, fs, io, path::Path};

use shoal_node::ErrorKind;
use toml::Value;

use crate::{
    args::failure_of,
    failure::{Failure, usage},
};

/// Options that the file may set, by their long names. What describes one single run is not among them.
const KEYS: &[&str] = &[
    "announce",
    "color",
    "down",
    "down-per-peer",
    "external",
    "lan",
    "listen",
    "network",
    "no-mdns",
    "no-progress",
    "no-seed",
    "peer",
    "quiet",
    "scope",
    "timeout",
    "up",
    "up-per-peer",
    "verbose",
];

/// Names closer than this to a key are taken for a slip of the pen.
const SIMILAR: f64 = 0.7;

/// The values of a configuration file, as they would be written on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config(BTreeMap<String, Vec<OsString>>);

impl Config {
    /// Reads the file at `path`; one that does not exist sets nothing.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|failure| in_file(path, failure)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                let message = format!("could not read {}", path.display());
                Err(Failure::new(ErrorKind::Usage, message).because(&error))
            }
        }
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let table: toml::Table = text.parse().map_err(|error| malformed(text, &error))?;
        let values = table.into_iter().map(|(key, value)| {
            if !KEYS.contains(&key.as_str()) {
                return Err(unknown(&key));
            }
            let values = words(value)
                .ok_or_else(|| usage(format!("{key} takes a word, a number, or a list of them")))?;
            Ok((key, values))
        });
        values.collect::<Result<_, _>>().map(Self)
    }

    /// The values of an option.
    pub(crate) fn values(&self, name: &str) -> Option<Vec<OsString>> {
        self.0.get(name).cloned()
    }
}

/// What is wrong with a value in the file at `path`, as the parser of the command line says it.
pub(crate) fn bad_value(path: &Path, error: &clap::Error) -> Failure {
    in_file(path, failure_of(error))
}

/// What is not TOML, on one line.
fn malformed(text: &str, error: &toml::de::Error) -> Failure {
    let before = error.span().and_then(|span| text.get(..span.start));
    let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    match before {
        Some(before) => usage(format!("line {}: {what}", before.matches('\n').count() + 1)),
        None => usage(what),
    }
}

fn words(value: Value) -> Option<Vec<OsString>> {
    match value {
        Value::Array(items) => items.into_iter().map(word).collect(),
        single => word(single).map(|word| vec![word]),
    }
}

fn word(value: Value) -> Option<OsString> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Integer(number) => Some(number.to_string().into()),
        Value::Boolean(flag) => Some(flag.to_string().into()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn unknown(key: &str) -> Failure {
    let similar = KEYS.iter().map(|known| (strsim::jaro_winkler(key, known), known));
    let best =
        similar.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(similarity, _)| *similarity >= SIMILAR);
    let hint = match best {
        Some((_, known)) => format!("did you mean {known}?"),
        None => format!("the keys are {}", KEYS.join(", ")),
    };
    usage(format!("unknown key {key}")).hint(hint)
}

fn in_file(path: &Path, failure: Failure) -> Failure {
    let message = format!("the configuration in {} is wrong", path.display());
    let because = usage(failure.message);
    Failure { hint: failure.hint, ..Failure::new(ErrorKind::Usage, message).because(&because) }
}

#[cfg(test)]
mod tests;
