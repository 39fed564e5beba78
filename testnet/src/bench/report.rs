//! What a benchmark says: tables, goals met and missed, and plots.

use std::fmt;

use super::{
    stats::{self, Spread},
    svg::Chart,
};
use crate::table::Table;

/// The result of one benchmark for people.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) charts: Vec<Chart>,
}

/// Something that was promised, and what came of it.
#[derive(Debug)]
pub(crate) struct Goal {
    what: String,
    found: Spread,
    bound: Bound,
}

/// Which side of a number is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// A goal about the median of `values`; `None` where nothing was measured.
    pub(crate) fn new(what: impl Into<String>, values: &[f64], bound: Bound) -> Option<Self> {
        Some(Self { what: what.into(), found: stats::spread(values)?, bound })
    }

    /// Whether the median is on the good side.
    pub(crate) fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.found.median >= bound,
            Bound::AtMost(bound) => self.found.median <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {}", number(*bound)),
            Self::AtMost(bound) => write!(f, "≤ {}", number(*bound)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        if self.goals.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["goal", "median", "quartiles", "bound", ""]);
        for goal in &self.goals {
            let verdict = if goal.is_met() { "met" } else { "MISSED" };
            table.row([
                goal.what.clone(),
                number(goal.found.median),
                quartiles(goal.found),
                goal.bound.to_string(),
                verdict.to_owned(),
            ]);
        }
        write!(f, "\n{table}")
    }
}

/// A number with about three digits that count.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        large if large >= 1.0 || large == 0.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// The quartiles as `0.71–0.78`.
pub(crate) fn quartiles(spread: Spread) -> String {
    format!("{}–{}", number(spread.low), number(spread.high))
}

/// The median of `values` for a table; a dash where there is none.
pub(crate) fn median(values: &[f64]) -> String {
    stats::spread(values).map_or_else(|| "-".to_owned(), |spread| number(spread.median))
}

/// The median of `values` and in brackets its quartiles; a dash where there is none.
pub(crate) fn with_spread(values: &[f64]) -> String {
    match stats::spread(values) {
        Some(spread) => format!("{} ({})", number(spread.median), quartiles(spread)),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let goal = |values: &[f64], bound| Goal::new("speed", values, bound).unwrap().is_met();
        assert!(goal(&[0.1, 0.75, 0.8], Bound::AtLeast(0.75)));
        assert!(!goal(&[0.1, 0.74, 0.8], Bound::AtLeast(0.75)));
        assert!(goal(&[0.1, 1.3, 9.0], Bound::AtMost(1.3)));
        assert!(!goal(&[0.1, 1.4, 9.0], Bound::AtMost(1.3)));
        assert!(Goal::new("speed", &[], Bound::AtMost(1.0)).is_none());
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let shown = [0.0, 0.12345, 1.2345, 12.345, 123.45, 12345.6].map(number);
        assert_eq!(shown, ["0.00", "0.123", "1.23", "12.3", "123", "12346"]);
        assert_eq!(with_spread(&[1.0, 2.0, 3.0]), "2.00 (1.50–2.50)");
        assert_eq!(median(&[]), "-");
    }

    #[test]
    fn a_report_says_what_was_missed() {
        let goals = [
            Goal::new("G1 speed by floor", &[0.5], Bound::AtLeast(0.75)),
            Goal::new("G2 cost", &[1.0], Bound::AtMost(1.3)),
        ];
        let report = Report {
            title: "transfer".into(),
            tables: vec![],
            goals: goals.into_iter().flatten().collect(),
            charts: vec![],
        };
        let text = report.to_string();
        let verdicts: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(verdicts, ["transfer", "bound", "MISSED", "met"]);
    }
}
