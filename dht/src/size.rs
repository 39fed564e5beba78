//! Estimates how many nodes the network has, from how densely they lie where walks went.
//!
//! One walk sees only one place, which an attacker can fill with nodes of their own; so the estimate is the
//! median over many places, our own among them.

use std::collections::VecDeque;

use crate::position::{Distance, K};

/// Places remembered. More of them would be older than the network that they tell of.
const SAMPLES: usize = 15;

/// Nodes by which a place is measured: those that should hold a key there.
const MEASURED: usize = K;

/// What walks have told about the size of the network.
#[derive(Debug, Default)]
pub(crate) struct Size {
    samples: VecDeque<usize>,
    /// What the nodes around ourselves say.
    ours: Option<usize>,
    /// Nodes in our table: there are not fewer.
    table: usize,
}

impl Size {
    /// Notes the distances of the nodes closest to some place, nearest first.
    pub(crate) fn walked(&mut self, nearest: impl IntoIterator<Item = Distance>) {
        let Some(nodes) = nodes(nearest) else { return };
        self.samples.push_back(nodes);
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// Notes our table: how many nodes, and the distances of those nearest to us, nearest first.
    pub(crate) fn table(&mut self, count: usize, nearest: impl IntoIterator<Item = Distance>) {
        self.table = count;
        self.ours = nodes(nearest);
    }

    /// How many nodes there are besides us, roughly.
    pub(crate) fn nodes(&self) -> usize {
        let mut samples: Vec<_> = self.samples.iter().copied().chain(self.ours).collect();
        samples.sort_unstable();
        let median = samples.get(samples.len() / 2).copied().unwrap_or(0);
        median.max(self.table)
    }

    /// How many leading bits a key shares with the nodes of its region: so many that half to all of those that
    /// should hold the key's records live there.
    pub(crate) fn region_bits(&self) -> u32 {
        self.nodes().div_ceil(MEASURED).max(1).next_power_of_two().ilog2()
    }
}

/// The least squares fit of a number of nodes to the distances of the nearest ones. In a network of n nodes the
/// i-th nearest lies at i/n of the key space on average.
fn nodes(nearest: impl IntoIterator<Item = Distance>) -> Option<usize> {
    let (mut squares, mut products, mut count) = (0_u128, 0_u128, 0);
    for (rank, distance) in (1_u128..).zip(nearest.into_iter().take(MEASURED)) {
        squares += rank * rank;
        products += rank * u128::from(distance.fraction());
        count += 1;
    }
    if count < MEASURED {
        return None;
    }
    usize::try_from((squares << u32::BITS) / products.max(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn position(seed: u64) -> Position {
        Position::from_bytes(*blake3::hash(&seed.to_be_bytes()).as_bytes())
    }

    fn nearest(nodes: &[Position], to: Position) -> Vec<Distance> {
        let mut distances: Vec<_> = nodes.iter().map(|node| node.distance(to)).collect();
        distances.sort();
        distances.truncate(MEASURED);
        distances
    }

    #[test]
    fn the_estimate_is_right_within_a_third() {
        for count in [40, 500, 5000] {
            let nodes: Vec<_> = (0..count).map(position).collect();
            let mut size = Size::default();
            size.table(30, nearest(&nodes, position(1 << 40)));
            for seed in 0..20 {
                size.walked(nearest(&nodes, position((1 << 50) + seed)));
            }
            let count = usize::try_from(count).expect("small");
            let estimate = size.nodes();
            assert!((count * 2 / 3..=count * 4 / 3).contains(&estimate), "{estimate} for {count}");
        }
    }

    #[test]
    fn one_place_full_of_strangers_changes_nothing() {
        let nodes: Vec<_> = (0..500).map(position).collect();
        let mut size = Size::default();
        for seed in 0..5 {
            size.walked(nearest(&nodes, position((1 << 50) + seed)));
        }
        let before = size.nodes();
        let key = position(1 << 60);
        let crowd: Vec<_> = (0..25).map(|seed| key.across(18, position((1 << 61) + seed))).collect();
        for _ in 0..2 {
            size.walked(nearest(&crowd, key));
        }
        assert!(size.nodes() < before * 2, "{} after {before}", size.nodes());
    }

    #[test]
    fn a_small_network_is_counted() {
        let mut size = Size::default();
        size.table(7, Vec::new());
        size.walked((0..7).map(|seed| position(seed).distance(position(99))));
        assert_eq!((size.nodes(), size.region_bits()), (7, 0));
        for (nodes, bits) in [(20, 0), (21, 1), (40, 1), (41, 2), (1000, 6)] {
            size.table(nodes, Vec::new());
            assert_eq!(size.region_bits(), bits, "{nodes} nodes");
        }
    }
}
