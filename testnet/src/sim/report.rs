//! What a simulation found: tables for people, JSON for programs, plots for pages.

use std::fmt;

use anyhow::Result;
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
    /// What a later run of the same scenario goes on from.
    pub(crate) measured: Value,
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

    /// Puts the bars of earlier runs before those of this one.
    pub(crate) fn join(&mut self, before: &Value) -> Result<()> {
        let Some(charts) = before.get("charts") else { return Ok(()) };
        let mut charts: Vec<Chart> = serde_json::from_value(charts.clone())?;
        for chart in std::mem::take(&mut self.charts) {
            match charts.iter_mut().find(|known| known.is_about(&chart)) {
                Some(known) => known.append(chart),
                None => charts.push(chart),
            }
        }
        self.charts = charts;
        Ok(())
    }

    pub(crate) fn json(&self, settings: &Value) -> Result<Value> {
        let sheets: Vec<_> = self.sheets.iter().map(Sheet::json).collect();
        Ok(json!({
            "settings": settings,
            "tables": sheets,
            "findings": self.findings,
            "charts": serde_json::to_value(&self.charts)?,
            "measured": self.measured,
        }))
    }
}

/// Puts the tables and findings of earlier runs before those of a report. A scenario that goes on from what was measured has
/// all of it in its own tables.
pub(crate) fn join_tables(report: &mut Value, before: &Value) {
    if report.get("measured").is_some_and(|measured| !measured.is_null()) {
        return;
    }
    for what in ["tables", "findings"] {
        let (Some(Value::Array(now)), Some(Value::Array(then))) = (report.get_mut(what), before.get(what))
        else {
            continue;
        };
        now.splice(0..0, then.iter().cloned());
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
        let json = report.json(&json!({ "seed": 1 })).unwrap();
        assert_eq!(json["settings"]["seed"], 1);
        assert_eq!(json["tables"][0]["rows"][0]["found %"], 99.5);
        assert_eq!(json["tables"][0]["rows"][1]["found %"], Value::Null);
    }

    #[test]
    fn runs_that_join_keep_what_both_have_found() {
        let run = |table: &str, bars: &[(&str, f64)]| {
            let mut chart = Chart::new("Found");
            bars.iter().for_each(|(name, value)| chart.bar(*name, &[*value], svg::Ours::Yes));
            let sheets = vec![Sheet::new(table, &["nodes"])];
            Report { sheets, charts: vec![chart], ..Report::default() }
        };
        let first = run("one", &[("a", 1.0), ("b", 2.0)]).json(&json!({})).unwrap();
        let mut second = run("two", &[("b", 4.0), ("c", 3.0)]);
        second.join(&first).unwrap();
        let mut both = second.json(&json!({})).unwrap();
        join_tables(&mut both, &first);
        let titles: Vec<_> = both["tables"].as_array().unwrap().iter().map(|table| &table["title"]).collect();
        assert_eq!(titles, ["one", "two"]);
        let bars = both["charts"][0]["bars"].as_array().unwrap().iter();
        let bars: Vec<_> = bars
            .map(|bar| (bar["name"].as_str().unwrap(), bar["found"]["median"].as_f64().unwrap()))
            .collect();
        assert_eq!(bars, [("a", 1.0), ("b", 4.0), ("c", 3.0)]);
    }
}
