//! Development commands: `cargo xtask ci` runs exactly what CI runs.
fn main() {}
