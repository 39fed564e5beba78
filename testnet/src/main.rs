//! The `shoal-testnet` program, which is also `shoal`.

use std::process::ExitCode;

fn main() -> ExitCode {
    shoal_testnet::main()
}
