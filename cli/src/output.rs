//! The one door to the terminal: results to stdout, everything else to stderr.

mod escape;
mod human;

use std::{
    cell::RefCell,
    env,
    io::{self, IsTerminal, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use shoal_gateway::json::{self, Done, Event};
use shoal_node::ErrorKind;

use crate::{
    args::{Color, Global},
    failure::Failure,
};

pub(crate) use self::{
    escape::escape,
    human::{cause, count, elapsed, milliseconds, rate, size},
};

/// Escape sequences for the first word of a line that is not a result.
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// Writes what a command has to say, in the way that the user asked for.
#[derive(Debug)]
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
    colored: bool,
    bars: bool,
    to_terminal: bool,
    bar: ProgressBar,
    /// The first failed write to stdout. Later ones are not tried.
    failed: RefCell<Option<io::Error>>,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal();
        let colored = match global.color.unwrap_or(Color::Auto) {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let bars = terminal && !(global.no_progress || global.quiet || global.json);
        Self { quiet: global.quiet, colored, bars, ..Self::plain(global.json) }
    }

    /// A printer for when the options could not be read.
    pub(crate) fn plain(json: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let to_terminal = io::stdout().is_terminal();
        Self { json, quiet: false, colored: false, bars: false, to_terminal, bar, failed: RefCell::default() }
    }

    /// Whether events are printed instead of results.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether only the bare result is wanted.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether lines to stderr may be colored.
    pub(crate) fn colored(&self) -> bool {
        self.colored
    }

    /// Whether to draw progress.
    pub(crate) fn bars(&self) -> bool {
        self.bars
    }

    /// The bar that progress is drawn with; hidden while none is.
    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Prints an event, where events are wanted.
    pub(crate) fn event(&self, event: &Event) {
        if self.json {
            self.write(&json::encode(event));
        }
    }

    /// Prints a line of a result, where results are wanted.
    pub(crate) fn result(&self, line: &str) {
        if !self.json {
            self.write(format!("{}\n", escape(line)).as_bytes());
        }
    }

    /// Prints a result that ends in a path: safe to look at on a terminal, byte for byte the path elsewhere.
    pub(crate) fn path_result(&self, before: &str, path: &Path) {
        if self.to_terminal {
            return self.result(&format!("{before}{}", path.display()));
        }
        if !self.json {
            self.write(&[before.as_bytes(), path.as_os_str().as_bytes(), b"\n"].concat());
        }
    }

    /// Writes content to stdout. Gives whether anybody still reads it.
    ///
    /// # Errors
    ///
    /// The disk behind stdout is full, or broken.
    pub(crate) fn content(&self, bytes: &[u8]) -> Result<bool, Failure> {
        self.write(bytes);
        self.stdout_failure().map_or(Ok(self.failed.borrow().is_none()), Err)
    }

    /// Says something that is not a result.
    pub(crate) fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            self.say(&format!("{}\n", escape(text)));
        }
    }

    /// Says something that the user may want to act on.
    pub(crate) fn warning(&self, text: &str) {
        if !self.json && !self.quiet {
            self.say(&format!("{} {}\n", self.paint(YELLOW, "warning:"), escape(text)));
        }
    }

    /// Writes nothing to stdout from now on: nobody reads it.
    pub(crate) fn close(&self) {
        self.failed.borrow_mut().get_or_insert_with(|| io::ErrorKind::BrokenPipe.into());
    }

    /// Ends the output: tells what failed, prints the last event. Gives the exit code.
    pub(crate) fn finish(&self, result: Result<(), Failure>) -> u8 {
        let result = result.and_then(|()| self.stdout_failure().map_or(Ok(()), Err));
        if let Err(failure) = &result {
            self.say(&self.failure_text(failure));
        }
        self.done(result)
    }

    /// Prints the last event. Gives the exit code.
    pub(crate) fn done(&self, result: Result<(), Failure>) -> u8 {
        let done = Done::from(result);
        let exit = done.exit;
        self.event(&Event::Done(done));
        exit
    }

    /// What failed, why, and what to try next.
    fn failure_text(&self, failure: &Failure) -> String {
        let mut text = format!("{} {}\n", self.paint(RED, "error:"), escape(&failure.message));
        for cause in &failure.causes {
            text.push_str(&format!("  because: {}\n", escape(&human::cause(cause))));
        }
        if let Some(hint) = &failure.hint {
            text.push_str(&format!("  {} {}\n", self.paint(CYAN, "hint:"), escape(hint)));
        }
        text
    }

    /// What became of stdout, as a failure of the command. A reader that has enough is none.
    fn stdout_failure(&self) -> Option<Failure> {
        let failed = self.failed.borrow();
        let error = failed.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)?;
        Some(Failure::new(ErrorKind::Disk, "could not write to the standard output").because(error))
    }

    fn paint(&self, color: &str, word: &str) -> String {
        if self.colored { format!("{color}{word}{RESET}") } else { word.to_owned() }
    }

    fn write(&self, bytes: &[u8]) {
        let mut failed = self.failed.borrow_mut();
        if failed.is_none() {
            *failed = self.bar.suspend(|| put(io::stdout().lock(), bytes)).err();
        }
    }

    fn say(&self, text: &str) {
        // With stderr gone there is nobody left to tell.
        drop(self.bar.suspend(|| put(io::stderr().lock(), text.as_bytes())));
    }
}

fn put(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let cause = io::Error::from_raw_os_error(28);
        let failure =
            Failure::new(ErrorKind::Disk, "could not write /t/\u{1b}[2J").because(&cause).hint("free some");
        let mut printer = Printer::plain(false);
        assert_eq!(
            printer.failure_text(&failure),
            "error: could not write /t/\\u{1b}[2J\n  because: no space left on device\n  hint: free some\n"
        );
        printer.colored = true;
        assert_eq!(
            printer.failure_text(&Failure::new(ErrorKind::Other, "it broke")),
            "\u{1b}[1;31merror:\u{1b}[0m it broke\n"
        );
    }
}
