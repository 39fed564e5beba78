//! Checks licences, banned crates, sources and known vulnerabilities of all dependencies with cargo-deny.

use crate::process::{Outcome, cargo, output, require, run};

/// Fails on a bad dependency. Where the advisory database is out of reach, that check is skipped and says so.
pub(crate) fn check() -> Outcome {
    require("deny", "`.ci/run` installs the version this project uses")?;
    run(cargo().args([
        "deny",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    // Without a terminal prompt, so that git gives up where a proxy asks for a password.
    let fetched = output(cargo().args(["deny", "--locked", "fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0"));
    match fetched {
        Ok(_) => run(cargo().args(["deny", "--locked", "check", "advisories"])),
        Err(why) => {
            println!("advisories: SKIPPED, their database could not be fetched: {why}");
            Ok(())
        }
    }
}
