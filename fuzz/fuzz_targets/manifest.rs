//! Fuzzes the bytes of manifests: `cargo fuzz run manifest fuzz/corpus/manifest content/tests/corpus/manifest`.
#![no_main]

#[path = "../../content/tests/it/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::manifest(input);
});
