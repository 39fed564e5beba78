//! Nodes that called us and say where they are: each is called back before it is believed.
//!
//! Whoever can be reached only from inside, or invents addresses, would fill tables with dead ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::position::Node;

/// Nodes that wait to be called back. Whoever finds no room comes again with its next connection.
const MAX_WAITING: usize = 64;

/// Nodes called back per second: each is a dial that a stranger can make us try.
const PER_SECOND: u32 = 4;

/// Who is to be called back.
#[derive(Debug, Default)]
pub(crate) struct Check {
    waiting: VecDeque<Node>,
    second: Option<Instant>,
    called: u32,
}

impl Check {
    pub(crate) fn offer(&mut self, node: Node) {
        let is_known = self.waiting.iter().any(|known| known.peer == node.peer);
        if !is_known && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(node);
        }
    }

    /// The next node to dial, if one may be dialled now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Node> {
        if self.waiting.is_empty() {
            return None;
        }
        if self.second.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.called = 0;
        }
        if self.called >= PER_SECOND {
            return None;
        }
        self.called += 1;
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    #[test]
    fn a_flood_of_callers_costs_few_dials_and_little_memory() {
        let (mut check, start) = (Check::default(), Instant::now());
        for _ in 0..1000 {
            check.offer(Node { peer: PeerId::random(), addresses: Vec::new() });
        }
        assert_eq!(check.waiting.len(), MAX_WAITING);
        let mut dials = 0;
        for millis in 0..5000 {
            dials += usize::from(check.next(start + Duration::from_millis(millis)).is_some());
        }
        assert_eq!(dials, 20);
    }

    #[test]
    fn one_node_waits_once() {
        let (mut check, now) = (Check::default(), Instant::now());
        let node = Node { peer: PeerId::random(), addresses: Vec::new() };
        check.offer(node.clone());
        check.offer(node.clone());
        assert_eq!(check.next(now), Some(node));
        assert_eq!(check.next(now), None);
    }
}
