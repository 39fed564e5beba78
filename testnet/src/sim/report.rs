//! What a simulation found: tables for people, JSON for programs, plots for pages.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    bench::svg::{self, Chart, Curves, Plot},
    table::Table,
};

/// One thing in a table.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    /// A number with so many digits after the point. What is not a number shows as a dash.
    Number(f64, usize),
}

/// Lines of cells under a title.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    title: String,
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// All results of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sheets: Vec<Sheet>,
    /// What follows from the numbers, a sentence each.
    pub(crate) findings: Vec<String>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) curves: Vec<Curves>,
}

pub(crate) fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

pub(crate) fn count(count: impl TryInto<u32>) -> Cell {
    Cell::Number(count.try_into().map_or(f64::NAN, f64::from), 0)
}

pub(crate) fn number(number: f64, decimals: usize) -> Cell {
    Cell::Number(number, decimals)
}

/// A time, or that it is not worth anything because the machine was late itself.
pub(crate) fn time(time: f64, decimals: usize, is_punctual: bool) -> Cell {
    if is_punctual { number(time, decimals) } else { text("late") }
}

impl Sheet {
    pub(crate) fn new(title: impl Into<String>, heading: &[&'static str]) -> Self {
        Self { title: title.into(), heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a line; the number of its cells should be that of the heading.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let named = self.heading.iter().zip(row).map(|(&name, cell)| (name.to_owned(), cell.json()));
            Value::Object(named.collect())
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            // What is not a number becomes null.
            Self::Number(number, _) => json!(number),
        }
    }
}

impl Report {
    /// Adds a goal, and whether it was met.
    pub(crate) fn goal(&mut self, goal: impl fmt::Display, met: bool) {
        self.findings.push(format!("Goal {}: {goal}.", if met { "met" } else { "missed" }));
    }

    /// All plots as one picture.
    pub(crate) fn picture(&self) -> String {
        let charts = self.charts.iter().map(|chart| chart as &dyn Plot);
        let curves = self.curves.iter().map(|curves| curves as &dyn Plot);
        svg::picture_of(&charts.chain(curves).collect::<Vec<_>>())
    }

    pub(crate) fn json(&self, settings: &Value) -> Value {
        let sheets: Vec<_> = self.sheets.iter().map(Sheet::json).collect();
        json!({ "settings": settings, "tables": sheets, "findings": self.findings })
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number, _) if !number.is_finite() => f.write_str("-"),
            Self::Number(number, decimals) => write!(f, "{number:.decimals$}"),
        }
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&self.heading);
        for row in &self.rows {
            table.push(row.iter().map(ToString::to_string).collect());
        }
        write!(f, "{}\n\n{table}", self.title)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sheet in &self.sheets {
            writeln!(f, "\n{sheet}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_the_same_to_people_and_programs() {
        let mut sheet = Sheet::new("Lookups", &["nodes", "found %"]);
        sheet.row([count(100_usize), number(99.5, 1)]);
        sheet.row([text("stock"), number(f64::NAN, 1)]);
        let mut report = Report { sheets: vec![sheet], findings: vec!["Good.".into()], ..Report::default() };
        report.goal("99 % found", true);
        report.goal("all found", false);
        let tables = "\nLookups\n\nnodes  found %\n100    99.5\nstock  -\n\n";
        let findings = "Good.\nGoal met: 99 % found.\nGoal missed: all found.\n";
        assert_eq!(report.to_string(), [tables, findings].concat());
        let json = report.json(&json!({ "seed": 1 }));
        assert_eq!(json["settings"]["seed"], 1);
        assert_eq!(json["tables"][0]["rows"][0]["found %"], 99.5);
        assert_eq!(json["tables"][0]["rows"][1]["found %"], Value::Null);
    }
}
