//! Making a tree: from the values of groups to its nodes and its digest, in whatever order the pieces of a message are finished.
//!
//! [`subtree`] takes the groups of one piece, [`Joiner`] what comes of several pieces; both give nodes with their places in
//! post-order, so they can be written at once. Memory follows the pieces in hand, not the message.

use super::group::{GROUP_BYTES, Value, group_value, group_values};
use super::node::Node;
use super::slice::{PAIR_BYTES, Pair, halves_of, parent_root, parent_value};
use std::collections::BTreeMap;

/// Joins two values into a node.
fn pair_of(left: &Value, right: &Value) -> Pair {
    let mut pair = [0; PAIR_BYTES];
    for (to, from) in pair.iter_mut().zip(left.iter().chain(right)) {
        *to = *from;
    }
    pair
}

/// A full subtree: a power of two of groups, at a multiple of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    /// Its first group.
    pub first: u64,
    /// How many groups, as a power of two.
    pub level: u32,
    /// Its value.
    pub value: Value,
}

/// The nodes within one piece of a message, of which the first group is `first`: a multiple of the power of two that is at least
/// the number of `values`. Appends them in post-order, where they stand side by side from place [`subtree_start`] on; and what
/// they do not join any more, the largest first: one for each one in the number of groups as a binary number.
pub fn subtree(first: u64, values: &[Value], nodes: &mut Vec<u8>, peaks: &mut Vec<Peak>) {
    let base = peaks.len();
    for (index, value) in (first..).zip(values) {
        let mut peak = Peak { first: index, level: 0, value: *value };
        while peaks.len() > base
            && let Some(left) = peaks.pop_if(|left| left.level == peak.level)
        {
            nodes.extend_from_slice(&left.value);
            nodes.extend_from_slice(&peak.value);
            peak = Peak { first: left.first, level: peak.level + 1, value: parent_value(&left.value, &peak.value) };
        }
        peaks.push(peak);
    }
}

/// Where the nodes of a piece that begins with group `first` stand in post-order.
#[must_use]
pub fn subtree_start(first: u64) -> u64 {
    first - u64::from(first.count_ones())
}

/// Joins full subtrees that come in any order.
#[derive(Debug, Default)]
pub struct Joiner {
    /// Those without a sibling yet, by level and first group.
    waiting: BTreeMap<(u32, u64), Value>,
}

impl Joiner {
    /// Takes a subtree. Appends the nodes that it completes, each with its place in post-order.
    pub fn join(&mut self, peak: Peak, nodes: &mut Vec<(u64, Pair)>) {
        let mut peak = peak;
        loop {
            let count = 1u64 << peak.level;
            let sibling = peak.first ^ count;
            let Some(other) = self.waiting.remove(&(peak.level, sibling)) else { break };
            let (left, right) = if sibling < peak.first { (other, peak.value) } else { (peak.value, other) };
            let node = Node { first: peak.first.min(sibling), count: 2 * count, pre_order: 0 };
            // The place of a full node does not depend on how many groups follow.
            nodes.push((node.post_order(0), pair_of(&left, &right)));
            peak = Peak { first: node.first, level: peak.level + 1, value: parent_value(&left, &right) };
        }
        self.waiting.insert((peak.level, peak.first), peak.value);
    }

    /// Joins what is left, once all of a message of `total` groups was taken: the nodes on its right edge.
    pub fn finish(self, total: u64, nodes: &mut Vec<(u64, Pair)>) {
        // One subtree a level, the largest leftmost: in descending order of level, they stand in order.
        let mut edge = self.waiting.into_iter();
        let Some(((_, mut first), mut value)) = edge.next() else { return };
        for ((_, left_first), left) in edge {
            let node = Node { first: left_first, count: total - left_first, pre_order: 0 };
            nodes.push((node.post_order(total), pair_of(&left, &value)));
            value = parent_value(&left, &value);
            first = left_first;
        }
        debug_assert_eq!(first, 0);
    }
}

/// A whole tree in memory, for messages that are: 64 bytes for each 16 KiB.
#[derive(Debug)]
pub struct Tree {
    digest: [u8; 32],
    total: u64,
    /// In post-order.
    nodes: Vec<u8>,
}

impl Tree {
    /// The tree over a message.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        if data.len() <= GROUP_BYTES {
            return Self { digest: *blake3::hash(data).as_bytes(), total: 1, nodes: Vec::new() };
        }
        let (mut values, mut nodes, mut peaks, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        group_values(0, data, &mut values);
        subtree(0, &values, &mut nodes, &mut peaks);
        let total = values.len() as u64;
        let mut joiner = Joiner::default();
        peaks.into_iter().for_each(|peak| joiner.join(peak, &mut rest));
        joiner.finish(total, &mut rest);
        rest.iter().for_each(|(_, pair)| nodes.extend_from_slice(pair));
        let mut tree = Self { digest: [0; 32], total, nodes };
        tree.digest = root_of(&tree.pair(Node::root(data.len() as u64)));
        tree
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// All nodes, in post-order.
    #[must_use]
    pub fn nodes(&self) -> &[u8] {
        &self.nodes
    }

    /// A node's two values; zeros where there is no such node.
    #[must_use]
    pub fn pair(&self, node: Node) -> Pair {
        let at = usize::try_from(node.post_order(self.total)).unwrap_or(usize::MAX).saturating_mul(PAIR_BYTES);
        let found = self.nodes.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().unwrap_or([0; PAIR_BYTES])
    }
}

/// The digest of a message, from its topmost node.
#[must_use]
pub fn root_of(pair: &Pair) -> [u8; 32] {
    let (left, right) = halves_of(pair);
    parent_root(&left, &right)
}

/// The value of a run of groups that are one full subtree, or the last of a message; `first` as for [`subtree`].
/// `None` for no data.
#[must_use]
pub fn value_of(first: u64, data: &[u8]) -> Option<Value> {
    if data.len() <= GROUP_BYTES {
        return (!data.is_empty()).then(|| group_value(first, data));
    }
    let mut values = Vec::new();
    group_values(first, data, &mut values);
    join_values(&values)
}

/// The value over some neighbours that are one subtree. `None` for none.
#[must_use]
pub fn join_values(values: &[Value]) -> Option<Value> {
    let left = values.len().saturating_sub(1).checked_ilog2().map_or(0, |bits| 1usize << bits);
    if left == 0 {
        return values.first().copied();
    }
    let (left, right) = values.split_at_checked(left)?;
    Some(parent_value(&join_values(left)?, &join_values(right)?))
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::*;

    fn painted(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn the_tree_over_a_message_has_its_digest() {
        for bytes in [0, 1, GROUP_BYTES, GROUP_BYTES + 1, 2 * GROUP_BYTES, 7 * GROUP_BYTES + 1, 8 * GROUP_BYTES, 13 * GROUP_BYTES] {
            let data = painted(bytes);
            assert_eq!(Tree::of(&data).digest(), *blake3::hash(&data).as_bytes(), "{bytes}");
        }
    }

    /// Pieces of any power of two, in any order, give the same nodes at the same places.
    #[test]
    fn pieces_in_any_order_join_to_the_same_tree() {
        for total in 2..40usize {
            let data = painted(total * GROUP_BYTES - 5);
            let whole = Tree::of(&data);
            for level in 0..5 {
                let piece_groups = 1usize << level;
                let pieces: Vec<&[u8]> = data.chunks(piece_groups * GROUP_BYTES).collect();
                for order in 0..3 {
                    let mut numbers: Vec<usize> = (0..pieces.len()).collect();
                    match order {
                        1 => numbers.reverse(),
                        2 => numbers.sort_by_key(|n| n * 7 % 5),
                        _ => {}
                    }
                    let mut nodes = vec![0; whole.nodes().len()];
                    let mut joiner = Joiner::default();
                    let mut placed = Vec::new();
                    for n in numbers {
                        let first = (n * piece_groups) as u64;
                        let (mut values, mut own, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
                        group_values(first, pieces[n], &mut values);
                        subtree(first, &values, &mut own, &mut peaks);
                        let at = subtree_start(first) as usize * PAIR_BYTES;
                        nodes[at..at + own.len()].copy_from_slice(&own);
                        peaks.into_iter().for_each(|peak| joiner.join(peak, &mut placed));
                    }
                    joiner.finish(total as u64, &mut placed);
                    for (at, pair) in placed {
                        nodes[at as usize * PAIR_BYTES..][..PAIR_BYTES].copy_from_slice(&pair);
                    }
                    assert_eq!(nodes, whole.nodes(), "{total} groups in pieces of {piece_groups}, order {order}");
                }
            }
        }
    }
}
