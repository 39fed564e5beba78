//! `shoal completions`: a script that completes commands in a shell.

use clap_complete::Shell;

use crate::{
    Context, args,
    failure::{Failure, usage},
};

/// Print a script that completes commands in a shell
///
/// For bash: shoal completions bash > ~/.local/share/bash-completion/completions/shoal
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// bash, elvish, fish, powershell or zsh
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

pub(crate) fn run(cx: &Context, args: &Args) -> Result<(), Failure> {
    if cx.printer.json() {
        return Err(usage("a completion script is no JSON").hint("leave out --json"));
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "shoal", &mut script);
    cx.printer.content(&script).map(drop)
}
