//! Draws how far a publish or a get is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use shoal_gateway::json::{Progress, Stage};

use crate::output::count;

/// How often the spinner turns while nothing else moves.
const TICK: Duration = Duration::from_millis(120);

const SPINNER: &str = "{spinner} {msg}";
const COUNTER: &str = "{spinner} {msg}  {decimal_bytes}  {decimal_bytes_per_sec}";
const BAR: &str =
    "{msg}  {bar:24}  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left{prefix}";

/// What is drawn now, so that a bar starts to measure its rate when its stage starts.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    bar: &'a ProgressBar,
    drawn: Option<(Stage, bool)>,
}

impl<'a> Drawing<'a> {
    pub(crate) fn new(bar: &'a ProgressBar) -> Self {
        Self { bar, drawn: None }
    }

    /// Draws a snapshot.
    pub(crate) fn show(&mut self, progress: &Progress) {
        let measurable = progress.total.is_some_and(|total| total > 0);
        if self.drawn != Some((progress.stage, measurable)) {
            self.drawn = Some((progress.stage, measurable));
            self.begin(progress.stage, measurable);
        }
        if let Some(total) = progress.total {
            self.bar.set_length(total);
        }
        self.bar.set_position(progress.bytes);
        let sources = progress.sources.iter().filter(|source| source.bytes > 0).count();
        if sources > 0 {
            self.bar.set_prefix(format!("  from {}", count(sources.try_into().unwrap_or(u64::MAX), "peer")));
        }
    }

    fn begin(&self, stage: Stage, measurable: bool) {
        let (template, text) = match stage {
            Stage::Finding => (SPINNER, "finding providers…"),
            Stage::Finishing => (SPINNER, "finishing…"),
            Stage::Hashing if measurable => (BAR, "hashing"),
            Stage::Hashing => (COUNTER, "hashing"),
            Stage::Fetching if measurable => (BAR, "fetching"),
            Stage::Fetching => (COUNTER, "fetching"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_message(text);
        self.bar.reset();
        self.bar.enable_steady_tick(TICK);
    }
}

impl Drop for Drawing<'_> {
    fn drop(&mut self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }
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
