//! What the public interface promises, from outside: seeds of the fuzzers replayed, and every error as a sentence.

mod checks;
mod corpus;
mod errors;
