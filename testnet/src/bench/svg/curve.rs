//! Plots of what grows when something doubles: points, and the straight line nearest to them.

use std::fmt::Write;

use super::{Ours, Plot, WIDTH, escape};
use crate::{bench::report::number, stats::line};

const HEIGHT: f64 = 250.0;
/// Room for the title above, the sizes below, the scale at the left, and the names at the right.
const TOP: f64 = 44.0;
const BOTTOM: f64 = 30.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 230.0;

/// One plot over sizes, whose logarithms lie evenly.
#[derive(Debug)]
pub(crate) struct Curves {
    title: String,
    curves: Vec<Curve>,
}

#[derive(Debug)]
struct Curve {
    name: String,
    /// The logarithm of each size to base two, and what was found there.
    points: Vec<(f64, f64)>,
    ours: bool,
}

impl Curves {
    /// A plot with nothing in it yet; the title names the unit and which way is better.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), curves: Vec::new() }
    }

    /// Adds what was found for each size. What is no number is left out.
    pub(crate) fn curve(&mut self, name: impl Into<String>, points: &[(f64, f64)], ours: Ours) {
        let points = points.iter().filter(|(_, y)| y.is_finite()).map(|(x, y)| (x.log2(), *y)).collect();
        self.curves.push(Curve { name: name.into(), points, ours: ours == Ours::Yes });
    }
}

impl Plot for Curves {
    fn height(&self) -> f64 {
        HEIGHT
    }

    fn draw(&self, out: &mut String, top: f64) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (first, last) =
            points().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
        let highest = points().fold(f64::MIN_POSITIVE, |high, (_, y)| high.max(*y)) * 1.1;
        let (floor, wide) = (top + HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT);
        let across = |x: f64| LEFT + (x - first) / (last - first).max(1.0) * wide;
        let up = |y: f64| floor - y / highest * (HEIGHT - TOP - BOTTOM);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            r#"<text x="10" y="{}" font-weight="bold">{}</text>"#,
            top + 24.0,
            escape(&self.title)
        );
        let _ = writeln!(
            out,
            r##"<path d="M{LEFT} {0:.1}V{floor:.1}H{1:.1}" stroke="#222" fill="none"/>"##,
            top + TOP,
            LEFT + wide
        );
        for part in [0.0, 0.5, 1.0] {
            let (y, value) = (highest / 1.1 * part, number(highest / 1.1 * part));
            let _ = writeln!(
                out,
                r#"<text x="{}" y="{:.1}" text-anchor="end">{value}</text>"#,
                LEFT - 6.0,
                up(y) + 4.0
            );
        }
        let mut sizes: Vec<f64> = points().map(|(x, _)| *x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        for x in sizes {
            let _ = writeln!(
                out,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{:.0}</text>"#,
                across(x),
                floor + 18.0,
                x.exp2()
            );
        }
        for curve in &self.curves {
            let colour = if curve.ours { "#1f6feb" } else { "#9aa4b2" };
            for (x, y) in &curve.points {
                let _ = writeln!(
                    out,
                    r#"<circle cx="{:.1}" cy="{:.1}" r="4" fill="{colour}"/>"#,
                    across(*x),
                    up(*y)
                );
            }
            let (Some((_, end)), Some((slope, at_zero))) = (curve.points.last(), line(&curve.points)) else {
                continue;
            };
            let at = |x: f64| at_zero + slope * x;
            let _ = writeln!(
                out,
                r#"<path d="M{:.1} {:.1}L{:.1} {:.1}" stroke="{colour}" fill="none"/>"#,
                across(first),
                up(at(first)),
                across(last),
                up(at(last))
            );
            let _ = writeln!(
                out,
                r#"<text x="{:.1}" y="{:.1}">{}: {} a doubling</text>"#,
                LEFT + wide + 10.0,
                up(*end) + 4.0,
                escape(&curve.name),
                signed(slope)
            );
        }
    }
}

/// A slope with its sign: what falls is told from what grows.
pub(crate) fn signed(slope: f64) -> String {
    if slope.abs() < 10.0 { format!("{slope:+.2}") } else { format!("{slope:+.0}") }
}

#[cfg(test)]
mod tests {
    use super::super::picture_of;
    use super::*;

    #[test]
    fn points_lie_in_proportion_and_the_line_tells_its_slope() {
        let mut curves = Curves::new("Hops");
        curves.curve("a & b", &[(100.0, 1.0), (200.0, 2.0), (400.0, 3.0), (800.0, f64::NAN)], Ours::Yes);
        curves.curve("one", &[(100.0, 3.0)], Ours::No);
        let svg = picture_of(&[&curves]);
        let circle = |line: &str, what: &str| -> f64 {
            line.split(&format!("{what}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        let circles: Vec<(f64, f64)> = svg
            .lines()
            .filter(|line| line.contains("<circle"))
            .map(|line| (circle(line, "cx"), circle(line, "cy")))
            .collect();
        let [a, b, c, one] = circles.as_slice() else { panic!("{svg}") };
        assert!(
            (b.0 - a.0 - (c.0 - b.0)).abs() < 0.2 && (a.1 - b.1 - (b.1 - c.1)).abs() < 0.2,
            "{circles:?}"
        );
        assert_eq!((one.0, one.1), (a.0, c.1));
        assert!(svg.contains("a &amp; b: +1.00 a doubling"), "{svg}");
        assert_eq!([signed(-0.004), signed(12.3)], ["-0.00", "+12"]);
    }
}
