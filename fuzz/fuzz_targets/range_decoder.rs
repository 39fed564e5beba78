//! Fuzzes responses to range requests: `cargo fuzz run range_decoder fuzz/corpus/range_decoder content/tests/corpus/range_decoder`.
#![no_main]

#[path = "../../content/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::range_decoder(input);
});
