//! Fuzzes tickets: `cargo fuzz run ticket fuzz/corpus/ticket content/tests/corpus/ticket`.
#![no_main]

#[path = "../../content/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::ticket(input);
});
