//! Plots as SVG: bars with their spread, and lines of what grows.

mod curve;

use std::fmt::Write;

use serde::{Deserialize, Serialize};

pub(crate) use self::curve::{Curves, signed};
use super::{
    report::number,
    stats::{self, Spread},
};

const WIDTH: f64 = 760.0;
const ROW: f64 = 26.0;
const TITLE: f64 = 40.0;
/// Where the bars begin: right of the longest name.
const LEFT: f64 = 250.0;
/// Room for the number behind the longest bar.
const RIGHT: f64 = 90.0;

/// Something drawn above or below others.
pub(crate) trait Plot {
    fn height(&self) -> f64;

    /// Writes what it consists of, beginning at `top`.
    fn draw(&self, out: &mut String, top: f64);
}

/// One plot: a bar for each name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chart {
    title: String,
    bars: Vec<Bar>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Bar {
    name: String,
    found: Spread,
    /// Drawn in the colour of our own.
    ours: bool,
}

impl Chart {
    /// A plot with no bar yet; the title names the unit and which way is better.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), bars: Vec::new() }
    }

    /// Adds a bar as long as the median of `values`, and none where there are no values.
    pub(crate) fn bar(&mut self, name: impl Into<String>, values: &[f64], ours: Ours) {
        if let Some(found) = stats::spread(values) {
            self.bars.push(Bar { name: name.into(), found, ours: ours == Ours::Yes });
        }
    }

    /// Whether both show the same thing.
    pub(crate) fn is_about(&self, other: &Self) -> bool {
        self.title == other.title
    }

    /// Takes the bars of another run, for its own of the same name or behind them.
    pub(crate) fn append(&mut self, other: Self) {
        for bar in other.bars {
            match self.bars.iter_mut().find(|known| known.name == bar.name) {
                Some(known) => *known = bar,
                None => self.bars.push(bar),
            }
        }
    }
}

impl Plot for Chart {
    fn height(&self) -> f64 {
        self.bars.iter().map(|_| ROW).sum::<f64>() + TITLE
    }

    fn draw(&self, out: &mut String, top: f64) {
        let longest = self.bars.iter().map(|bar| bar.found.high).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (WIDTH - LEFT - RIGHT) / longest;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            r#"<text x="10" y="{}" font-weight="bold">{}</text>"#,
            top + 24.0,
            escape(&self.title)
        );
        let mut y = top + TITLE;
        for bar in &self.bars {
            let (length, middle) = (bar.found.median * scale, y + ROW / 2.0 - 2.0);
            let (low, high) = (LEFT + bar.found.low * scale, LEFT + bar.found.high * scale);
            let colour = if bar.ours { "#1f6feb" } else { "#9aa4b2" };
            let (base, name) = (middle + 4.0, escape(&bar.name));
            let _ =
                writeln!(out, r#"<text x="{}" y="{base:.1}" text-anchor="end">{name}</text>"#, LEFT - 8.0);
            let _ = writeln!(
                out,
                r#"<rect x="{LEFT}" y="{:.1}" width="{length:.1}" height="18" fill="{colour}"/>"#,
                y + 2.0
            );
            let _ = writeln!(
                out,
                r##"<path d="M{low:.1} {middle:.1}H{high:.1}M{low:.1} {0:.1}v8M{high:.1} {0:.1}v8" stroke="#222" fill="none"/>"##,
                middle - 4.0
            );
            let (end, value) = (LEFT.max(high).max(LEFT + length) + 8.0, number(bar.found.median));
            let _ = writeln!(out, r#"<text x="{end:.1}" y="{base:.1}">{value}</text>"#);
            y += ROW;
        }
    }
}

/// Whose a bar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    Yes,
    No,
}

/// All plots below each other, as one picture.
pub(crate) fn picture(charts: &[Chart]) -> String {
    picture_of(&charts.iter().map(|chart| chart as &dyn Plot).collect::<Vec<_>>())
}

/// The same of plots of several kinds.
pub(crate) fn picture_of(plots: &[&dyn Plot]) -> String {
    let height: f64 = plots.iter().map(|plot| plot.height()).sum::<f64>() + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut top = 0.0;
    for plot in plots {
        plot.draw(&mut out, top);
        top += plot.height();
    }
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fits_and_the_others_are_in_proportion() {
        let mut chart = Chart::new("MiB/s <more is better>");
        chart.bar("a & b", &[100.0], Ours::Yes);
        chart.bar("half", &[50.0], Ours::No);
        chart.bar("not there", &[], Ours::No);
        let svg = picture(&[chart]);
        let widths: Vec<f64> = svg
            .lines()
            .filter(|line| line.contains("height=\"18\""))
            .map(|line| line.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(widths, [WIDTH - LEFT - RIGHT, (WIDTH - LEFT - RIGHT) / 2.0]);
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;more is better&gt;"), "{svg}");
        assert!(!svg.contains("not there"));
    }
}
