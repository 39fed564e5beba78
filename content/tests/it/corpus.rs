//! Seeds of the fuzz targets, and inputs they once failed on, replayed as plain tests.

use std::{fs, path::Path};

use crate::checks::CHECKS;

#[test]
fn every_seed_passes_its_check() {
    for (target, check) in CHECKS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
        let (mut accepted, mut refused) = (0, 0);
        for file in fs::read_dir(&folder).unwrap() {
            match check(&fs::read(file.unwrap().path()).unwrap()) {
                true => accepted += 1,
                false => refused += 1,
            }
        }
        assert!(accepted >= 2 && refused >= 1, "{target}: {accepted} seeds are good and {refused} are not");
    }
}
