//! Where the nodes of a tree are: a tree over `n` groups has `n - 1` of them, each with the values of its two halves.
//!
//! The shape is BLAKE3's: under the left half stand as many groups as the largest power of two below the node's own number.
//! Two orders of nodes are in use. In **pre-order**, which slices and outboards of others have, a node stands before its halves,
//! and where depends on the size of the whole. In **post-order** it stands behind them, so that a tree can be written from its
//! front to its end while nobody knows yet where that is.

use super::group::{GROUP_BYTES, groups};
use std::ops::Range;

/// A node over one or more groups. Over a single one it is that group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its first group.
    pub first: u64,
    /// How many groups.
    pub count: u64,
    /// Its place in pre-order, counted in nodes of more than one group.
    pub pre_order: u64,
}

impl Node {
    /// The node over all of a message.
    #[must_use]
    pub fn root(bytes: u64) -> Self {
        Self { first: 0, count: groups(bytes), pre_order: 0 }
    }

    /// Its halves; `None` for a single group.
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self)> {
        let left = self.count.saturating_sub(1).checked_ilog2().map(|bits| 1u64 << bits)?;
        // A message of 2^64 bytes has 2^50 groups: none of these sums comes near the end of its type.
        Some((
            Self { first: self.first, count: left, pre_order: self.pre_order + 1 },
            Self { first: self.first + left, count: self.count - left, pre_order: self.pre_order + left },
        ))
    }

    /// Its groups.
    #[must_use]
    pub fn groups(self) -> Range<u64> {
        self.first..self.first + self.count
    }

    /// Where its data stand in a message of so many bytes.
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Range<u64> {
        let at = |group: u64| group.saturating_mul(GROUP_BYTES as u64).min(bytes);
        at(self.first)..at(self.first + self.count)
    }

    /// Its place in post-order, in a tree over `total` groups. Not for a single group.
    #[must_use]
    pub fn post_order(self, total: u64) -> u64 {
        let end = self.first + self.count;
        if self.count.is_power_of_two() && self.first.is_multiple_of(self.count) {
            // Before it stand all nodes that end before its last group, and its own right edge.
            let before = end.saturating_sub(1);
            return (before - u64::from(before.count_ones()) + u64::from(self.count.ilog2())).saturating_sub(1);
        }
        // It reaches to the end of the message and is not full: behind all that are, after those like it within.
        (total - u64::from(total.count_ones()) + u64::from(self.count.count_ones())).saturating_sub(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both orders, by the plain way of walking.
    fn walk(node: Node, pre: &mut Vec<Node>, post: &mut Vec<Node>) {
        if let Some((left, right)) = node.halves() {
            pre.push(node);
            walk(left, pre, post);
            walk(right, pre, post);
            post.push(node);
        }
    }

    #[test]
    fn every_node_knows_its_place_in_both_orders() {
        for total in 1..300u64 {
            let (mut pre, mut post) = (Vec::new(), Vec::new());
            walk(Node::root(total * GROUP_BYTES as u64), &mut pre, &mut post);
            assert_eq!(pre.len() as u64, total - 1);
            for (at, node) in pre.iter().enumerate() {
                assert_eq!(node.pre_order, at as u64, "{node:?} of {total}");
            }
            for (at, node) in post.iter().enumerate() {
                assert_eq!(node.post_order(total), at as u64, "{node:?} of {total}");
            }
        }
    }

    #[test]
    fn the_largest_message_there_can_be_has_a_shape() {
        let mut node = Node::root(u64::MAX);
        let mut depth = 0;
        while let Some((_, right)) = node.halves() {
            assert!(node.post_order(1 << 50) < 1 << 50);
            node = right;
            depth += 1;
        }
        assert_eq!((depth, node.bytes(u64::MAX).end), (50, u64::MAX));
    }
}
