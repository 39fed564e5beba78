//! Tables and quantities for people.

use std::{fmt, time::Duration};

/// Lines of cells in columns that line up.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table that has only its heading yet.
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a line; the number of its cells should be that of the heading.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.push(cells.into());
    }

    /// Adds a line of as many cells as the heading is found to have.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// `2.4 GB`, in powers of ten as disks are sold.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog10() / 3).min(4);
    let unit = UNITS[power as usize - 1];
    // Three digits after the point are exact in u128, so no float is needed.
    let thousandths = u128::from(bytes) * 1000 / 1000_u128.pow(power);
    format!("{}.{} {unit}", thousandths / 1000, thousandths % 1000 / 100)
}

/// `438.2 MB/s`; a dash where nothing moved or no time went by.
pub fn rate(bytes: u64, time: Duration) -> String {
    let per_second = (u128::from(bytes) * 1_000_000).checked_div(time.as_micros()).unwrap_or(0);
    match u64::try_from(per_second) {
        Ok(0) | Err(_) => "-".into(),
        Ok(per_second) => format!("{}/s", size(per_second)),
    }
}

/// `0.21 s`.
pub fn time(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Reads `500k`, `2M`, `1GiB`, `100 MB`: a bare letter is a power of 1024.
///
/// # Errors
///
/// The text is something else, in words for the user.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: expected one like 500k, 2M or 1GiB");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["what", "size"]);
        table.row(["größe".into(), "1 B".into()]);
        assert_eq!(table.to_string(), "what   size\ngröße  1 B\n");
    }

    #[test]
    fn quantities_read_well() {
        let sizes = [0, 999, 1000, 268_435_456, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "268.4 MB", "18446744.0 TB"]);
        assert_eq!(rate(268_435_456, Duration::from_millis(500)), "536.8 MB/s");
        assert_eq!(rate(1, Duration::ZERO), "-");
        assert_eq!(time(Duration::from_millis(1234)), "1.23 s");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("7", 7),
            ("500k", 512_000),
            ("2M", 2 << 20),
            ("1GiB", 1 << 30),
            ("1 GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1X", "-1", "1.5M", "99999999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
