//! What was measured: one value per block for each quantity, kept as JSON and joined over several runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Values by the name of their quantity, such as `shoal wall`. The n-th values of all were measured in block n.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    /// Adds what was measured in the block that runs.
    pub(crate) fn push(&mut self, quantity: impl Into<String>, value: f64) {
        self.0.entry(quantity.into()).or_default().push(value);
    }

    /// All values of a quantity, in the order of the blocks.
    pub(crate) fn of(&self, quantity: &str) -> &[f64] {
        self.0.get(quantity).map_or(&[], Vec::as_slice)
    }

    /// Removes every quantity of a contender that could not finish a block.
    pub(crate) fn forget(&mut self, contender: &str) {
        let prefix = format!("{contender} ");
        self.0.retain(|quantity, _| !quantity.starts_with(&prefix));
    }

    /// How many blocks were measured.
    pub(crate) fn blocks(&self) -> usize {
        self.0.values().map(Vec::len).max().unwrap_or(0)
    }

    /// Joins the blocks of another run to these.
    ///
    /// # Errors
    ///
    /// The other run measured other quantities: values of one block would meet those of another.
    pub(crate) fn append(&mut self, other: Self) -> Result<()> {
        if self.0.is_empty() || other.0.is_empty() {
            self.0.extend(other.0);
            return Ok(());
        }
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) = (self.0.keys().collect(), other.0.keys().collect());
        if let Some(alone) = ours.symmetric_difference(&theirs).next() {
            bail!("{alone:?} was measured in one of both runs only");
        }
        for (quantity, values) in other.0 {
            self.0.entry(quantity).or_default().extend(values);
        }
        Ok(())
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let entries = self.0.iter().map(|(quantity, values)| (quantity.clone(), Value::from(values.clone())));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    /// Reads what [`Samples::to_json`] gave.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let quantities = value.as_object().context("the samples are no object")?;
        let read = |(quantity, values): (&String, &Value)| {
            let values = values.as_array().with_context(|| format!("{quantity:?} is no array"))?;
            let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
            Ok((quantity.clone(), numbers.with_context(|| format!("{quantity:?} is not made of numbers"))?))
        };
        quantities.iter().map(read).collect::<Result<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[(&str, f64)]) -> Samples {
        let mut samples = Samples::default();
        for &(quantity, value) in values {
            samples.push(quantity, value);
        }
        samples
    }

    #[test]
    fn blocks_of_several_runs_join() {
        let mut first = samples(&[("a wall", 1.5), ("b wall", 2.0)]);
        let read = Samples::from_json(&samples(&[("a wall", 3.0), ("b wall", 4.0)]).to_json()).unwrap();
        first.append(read).unwrap();
        assert_eq!((first.of("a wall"), first.of("b wall")), (&[1.5, 3.0][..], &[2.0, 4.0][..]));
        assert_eq!(first.blocks(), 2);
    }

    #[test]
    fn runs_with_other_contenders_do_not_join() {
        let mut first = samples(&[("a wall", 1.0)]);
        assert!(first.append(samples(&[("a wall", 1.0), ("b wall", 2.0)])).is_err());
        assert_eq!(first, samples(&[("a wall", 1.0)]));
    }

    #[test]
    fn a_contender_is_forgotten_whole() {
        let mut both = samples(&[("curl wall", 1.0), ("curl cpu", 1.0), ("curl-tls wall", 2.0)]);
        both.forget("curl");
        assert_eq!(both, samples(&[("curl-tls wall", 2.0)]));
    }
}
