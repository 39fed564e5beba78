//! Draws how far a publish or a get is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shoal_gateway::json::{Progress, Stage};

use crate::output::{Printer, count};

/// How often the spinner turns while nothing else moves.
const TICK: Duration = Duration::from_millis(120);

const SPINNER: &str = "{spinner} {msg}";
const COUNTER: &str = "{spinner} {msg}  {decimal_bytes}  {decimal_bytes_per_sec}";
const BAR: &str =
    "{msg}  {bar:24}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left{prefix}";

/// A bar on the terminal, where bars are wanted, from the first snapshot on until it is cleared.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    printer: &'a Printer,
    /// The stage, and whether its end is known: where one of them changes, another bar begins.
    drawn: Option<(Stage, bool)>,
}

impl<'a> Drawing<'a> {
    pub(crate) fn new(printer: &'a Printer) -> Self {
        Self { printer, drawn: None }
    }

    /// Draws a snapshot.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if !self.printer.bars() {
            return;
        }
        let bar = self.printer.bar();
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        let measurable = progress.total.is_some_and(|total| total > 0);
        if self.drawn != Some((progress.stage, measurable)) {
            self.drawn = Some((progress.stage, measurable));
            begin(bar, progress, measurable);
        }
        bar.set_position(progress.bytes);
        let sources = progress.sources.iter().filter(|source| source.bytes > 0).count();
        if sources > 0 {
            bar.set_prefix(format!("  from {}", count(sources.try_into().unwrap_or(u64::MAX), "peer")));
        }
    }

    /// Takes the bar away, until the next snapshot.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let bar = self.printer.bar();
            bar.disable_steady_tick();
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

impl Drop for Drawing<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn begin(bar: &ProgressBar, progress: &Progress, measurable: bool) {
    let (template, text) = match progress.stage {
        Stage::Finding => (SPINNER, "finding providers…"),
        Stage::Waiting => (SPINNER, "waiting for another get…"),
        Stage::Finishing => (SPINNER, "finishing…"),
        Stage::Hashing if measurable => (BAR, "hashing"),
        Stage::Hashing => (COUNTER, "hashing"),
        Stage::Fetching if measurable => (BAR, "fetching"),
        Stage::Fetching => (COUNTER, "fetching"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(text);
    bar.reset();
    bar.set_position(progress.bytes);
    // What an earlier try had fetched says nothing about the rate of this one.
    bar.reset_eta();
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.enable_steady_tick(TICK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_well_formed() {
        for template in [SPINNER, COUNTER, BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
