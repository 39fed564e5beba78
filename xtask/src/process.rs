//! Starts the programs that do the work, and says which one failed.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a command ends with; the error is a message for the developer.
pub(crate) type Outcome = Result<(), String>;

/// The folder of the workspace, wherever the command was started from.
pub(crate) fn workspace() -> PathBuf {
    let mut folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.pop();
    folder
}

/// The cargo that runs this program, so that a chosen toolchain stays chosen, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// Shows the command line, runs it, and fails as it does.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let line = line(command);
    println!("$ {line}");
    let status = command.status().map_err(|error| format!("could not start `{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}

/// Runs a command for what it prints, and fails with what it complains about.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let line = line(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("could not start `{line}`: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{line}` failed ({}): {}", output.status, complaint.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{line}` printed something that is not text"))
}

/// Fails with a hint where a cargo subcommand is not installed.
pub(crate) fn require(subcommand: &str, hint: &str) -> Outcome {
    let installed = output(cargo().args([subcommand, "--version"])).is_ok();
    if installed { Ok(()) } else { Err(format!("cargo-{subcommand} is missing: {hint}")) }
}

/// The command as one would type it; the path of cargo itself would only be noise.
fn line(command: &Command) -> String {
    let mut words = vec!["cargo".to_owned()];
    words.extend(command.get_args().map(OsStr::to_string_lossy).map(String::from));
    words.join(" ")
}
