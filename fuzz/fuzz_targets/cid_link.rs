//! Fuzzes texts that name content: `cargo fuzz run cid_link fuzz/corpus/cid_link content/tests/corpus/cid_link`.
#![no_main]

#[path = "../../content/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::cid_link(input);
});
