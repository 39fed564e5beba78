//! An error as people and programs read it: kind, message, causes, hint.

use std::{error::Error, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shoal_node::{
    ErrorKind, GetError, HomeError, NamingError, PublishError, StartError, StoreError, VerifyError,
};

/// What failed, why, and what to try next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One word for programs; it decides the exit code.
    #[serde(serialize_with = "write_kind", deserialize_with = "read_kind")]
    pub kind: ErrorKind,
    /// What failed.
    pub message: String,
    /// Why, from the nearest cause to the first one.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What to try next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure that nothing else caused.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// A failure with the message and the causes of `error`.
    pub fn of(kind: ErrorKind, error: &dyn Error) -> Self {
        Self { causes: causes_of(error), ..Self::new(kind, error.to_string()) }
    }

    /// Names `error` and its causes as the causes of this failure.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        self.causes.push(error.to_string());
        self.causes.extend(causes_of(error));
        self
    }

    /// Adds what to try next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

macro_rules! failures {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self { hint: error.hint(), ..Self::of(error.kind(), &error) }
            }
        })*
    };
}

failures!(GetError, HomeError, NamingError, PublishError, StartError, StoreError, VerifyError);

/// The chain below `error`, without links that say nothing or only repeat the one above.
fn causes_of(error: &dyn Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut above = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !text.is_empty() && text != above {
            causes.push(text.clone());
            above = text;
        }
        next = cause.source();
    }
    causes
}

fn write_kind<S: Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.word())
}

fn read_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorKind, D::Error> {
    String::deserialize(deserializer).map(|word| ErrorKind::from_word(&word))
}
