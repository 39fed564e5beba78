//! The arithmetic of measurements: medians with their spread, percentiles, ratios block by block, and how cost grows.

use serde::{Deserialize, Serialize};

/// The middle of several measurements, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// Half of the values are at most this.
    pub(crate) median: f64,
    /// A quarter of the values are below.
    pub(crate) low: f64,
    /// A quarter of the values are above.
    pub(crate) high: f64,
}

/// The median of `values` and their quartiles; `None` where there is no value.
pub(crate) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |quarters: usize| {
        // The place lies between two values; a quarter of the way from one to the next is the finest there is.
        let place = sorted.len().checked_sub(1)? * quarters;
        let (below, rest) = (place / 4, [0.0, 0.25, 0.5, 0.75].get(place % 4)?);
        let low = *sorted.get(below)?;
        let high = sorted.get(below + 1).copied().unwrap_or(low);
        Some(low + (high - low) * rest)
    };
    Some(Spread { median: at(2)?, low: at(1)?, high: at(3)? })
}

/// Each value of `of` by the value of `to` from the same block.
///
/// Both were measured within seconds of each other: what the machine did in other blocks does not matter.
pub(crate) fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

/// The straight line nearest to points: its slope, and how high it is at 0; `None` for fewer than two different x.
pub(crate) fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let across: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let along: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (across > 0.0).then(|| (along / across, mean_y - along / across * mean_x))
}

/// The exponent with which y grows when x does, from a straight line through the logarithms; `None` for fewer than
/// two different x.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    line(&logs).map(|(slope, _)| slope)
}

/// Sorted samples.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// The smallest sample that `percent` of all do not exceed; not a number without samples.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }
}

/// `part` of `whole` in percent; not a number when there is nothing.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_care_about_one_bad_block() {
        let one_bad = spread(&[1.0, 2.0, 3.0, 4.0, 900.0]).unwrap();
        assert_eq!(one_bad, Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(spread(&[4.0, 1.0]).unwrap(), Spread { median: 2.5, low: 1.75, high: 3.25 });
        assert_eq!(spread(&[7.0]).unwrap(), Spread { median: 7.0, low: 7.0, high: 7.0 });
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratios_are_those_of_the_same_block() {
        // The machine was ten times slower in the second block, and the ratio is the same.
        assert_eq!(ratios(&[2.0, 20.0], &[1.0, 10.0]), [2.0, 2.0]);
        assert_eq!(ratios(&[2.0], &[]), [0.0; 0]);
    }

    #[test]
    fn the_slope_is_the_exponent() {
        let grows = |exponent: f64| [1.0, 4.0, 16.0, 64.0].map(|x: f64| (x, 3.0 * x.powf(exponent)));
        for exponent in [0.0, 0.5, 1.0, 2.0] {
            let slope = slope(&grows(exponent)).unwrap();
            assert!((slope - exponent).abs() < 1e-9, "{slope} for {exponent}");
        }
        assert_eq!(slope(&[(2.0, 1.0), (2.0, 5.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn a_line_through_its_own_points() {
        let points: Vec<_> = [1.0, 2.0, 5.0].map(|x| (x, 3.0 * x - 1.0)).into();
        let (slope, at_zero) = line(&points).unwrap();
        assert!((slope - 3.0).abs() < 1e-9 && (at_zero + 1.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_samples() {
        let samples: Samples = (1..=200).rev().map(f64::from).collect();
        let at = [0, 1, 50, 95, 100].map(|percent| samples.percentile(percent));
        assert_eq!(at, [1.0, 2.0, 100.0, 190.0, 200.0]);
        assert_eq!(samples.mean(), 100.5);
        assert!(Samples::default().percentile(50).is_nan());
        assert_eq!(Samples::from_iter([7.0]).percentile(95), 7.0);
    }
}
