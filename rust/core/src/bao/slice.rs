//! Slices: some groups of a message with just the nodes that prove them, in pre-order; and outboards, which are all nodes alone.
//!
//! [`Slice`] is one machine for both ends. It says what stands next and takes it only if it leads up to the digest: who sends asks
//! it for what to read, who receives for what to expect. It holds one value a level and reads nothing itself.
//! Format: that of the crate `bao-tree` at its block size 4, which iroh speaks: the length of the message in eight bytes,
//! little-endian, then nodes of 64 bytes (left value, right value) and groups, each before what stands to its right.

use super::group::{Value, group_value};
use super::node::Node;
use super::ranges::Groups;
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a node: the values of its two halves.
pub const PAIR_BYTES: usize = 64;
/// Bytes in front of a slice: the length of the message.
pub const SLICE_HEADER_BYTES: usize = 8;

/// The values of a node's two halves.
pub type Pair = [u8; PAIR_BYTES];

/// What stands at some place does not lead up to the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// The first group that it could not be true of.
    pub group: u64,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "group {} does not lead up to the digest", self.group)
    }
}
impl std::error::Error for Mismatch {}

/// What stands next in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A node: its two values.
    Pair(Node),
    /// A group: its data.
    Group {
        /// Its number.
        index: u64,
        /// Its length.
        bytes: usize,
    },
}

impl Part {
    /// Its length in bytes: 64, or at most 16 KiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Pair(_) => PAIR_BYTES,
            Self::Group { bytes, .. } => *bytes,
        }
    }
}

/// What a node or group must hash to.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// It is the whole message.
    Root(Value),
    Value(Value),
}

/// The two values of a node.
#[must_use]
pub fn halves_of(pair: &Pair) -> (Value, Value) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    for (at, byte) in pair.iter().enumerate() {
        if let Some(to) = left.get_mut(at).or_else(|| right.get_mut(at.wrapping_sub(32))) {
            *to = *byte;
        }
    }
    (left, right)
}

/// The value of a node from those of its halves.
#[must_use]
pub fn parent_value(left: &Value, right: &Value) -> Value {
    merge_subtrees_non_root(left, right, Mode::Hash)
}

/// The digest of a message from the values of its two halves.
#[must_use]
pub fn parent_root(left: &Value, right: &Value) -> [u8; 32] {
    *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
}

/// Checks a slice, part by part, from either end of the line.
#[derive(Debug)]
pub struct Slice {
    bytes: u64,
    wanted: Groups,
    has_groups: bool,
    /// What is still to come, the next last.
    stack: Vec<(Node, Expected)>,
}

impl Slice {
    /// A slice of the message with this digest and length that has the `wanted` groups. The length is someone's word: what
    /// proves it is the last group.
    #[must_use]
    pub fn new(digest: &[u8; 32], bytes: u64, wanted: Groups) -> Self {
        Self::over(digest, bytes, wanted, true)
    }

    /// The outboard: every node and no group.
    #[must_use]
    pub fn outboard(digest: &[u8; 32], bytes: u64) -> Self {
        Self::over(digest, bytes, Groups::all(bytes), false)
    }

    fn over(digest: &[u8; 32], bytes: u64, wanted: Groups, has_groups: bool) -> Self {
        let mut slice = Self { bytes, wanted, has_groups, stack: Vec::new() };
        slice.push(Node::root(bytes), Expected::Root(*digest));
        slice
    }

    fn push(&mut self, node: Node, expected: Expected) {
        if self.wanted.touches(node.groups()) && (self.has_groups || node.count > 1) {
            self.stack.push((node, expected));
        }
    }

    /// What stands next; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<Part> {
        let (node, _) = self.stack.last()?;
        if node.count > 1 {
            return Some(Part::Pair(*node));
        }
        let range = node.bytes(self.bytes);
        Some(Part::Group { index: node.first, bytes: usize::try_from(range.end - range.start).unwrap_or(0) })
    }

    /// Takes what stands next. After an error the slice is of no use any more; nothing of the bad part is to be believed.
    pub fn accept(&mut self, data: &[u8]) -> Result<(), Mismatch> {
        let Some((node, expected)) = self.stack.pop() else { return Ok(()) };
        let mismatch = Mismatch { group: node.first };
        if let Some((left, right)) = node.halves() {
            let (left_value, right_value) = halves_of(data.try_into().map_err(|_| mismatch)?);
            let is_good = match expected {
                Expected::Root(digest) => parent_root(&left_value, &right_value) == digest,
                Expected::Value(value) => parent_value(&left_value, &right_value) == value,
            };
            if !is_good {
                return Err(mismatch);
            }
            self.push(right, Expected::Value(right_value));
            self.push(left, Expected::Value(left_value));
            return Ok(());
        }
        let range = node.bytes(self.bytes);
        let is_good = data.len() as u64 == range.end - range.start
            && match expected {
                Expected::Root(digest) => *blake3::hash(data).as_bytes() == digest,
                Expected::Value(value) => group_value(node.first, data) == value,
            };
        if is_good { Ok(()) } else { Err(mismatch) }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::super::{GROUP_BYTES, Tree};
    use super::*;

    fn painted(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i % 251) as u8).collect()
    }

    /// Cuts a slice from a message, with the machine as its sender.
    fn cut(data: &[u8], wanted: &Groups) -> Vec<u8> {
        let tree = Tree::of(data);
        let mut slice = Slice::new(&tree.digest(), data.len() as u64, wanted.clone());
        let mut out = Vec::new();
        while let Some(part) = slice.next() {
            let bytes = match part {
                Part::Pair(node) => tree.pair(node).to_vec(),
                Part::Group { index, bytes } => data[index as usize * GROUP_BYTES..][..bytes].to_vec(),
            };
            slice.accept(&bytes).unwrap();
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// Reads a slice back: the groups in it, or where it went wrong.
    fn read(digest: &[u8; 32], bytes: u64, wanted: &Groups, mut input: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, Mismatch> {
        let mut slice = Slice::new(digest, bytes, wanted.clone());
        let mut groups = Vec::new();
        while let Some(part) = slice.next() {
            let (data, rest) = input.split_at(part.bytes().min(input.len()));
            slice.accept(data)?;
            if let Part::Group { index, .. } = part {
                groups.push((index, data.to_vec()));
            }
            input = rest;
        }
        assert!(input.is_empty());
        Ok(groups)
    }

    #[test]
    fn a_slice_gives_back_just_the_groups_asked_for() {
        for bytes in [0, 1, GROUP_BYTES - 1, GROUP_BYTES, GROUP_BYTES + 1, 3 * GROUP_BYTES, 5 * GROUP_BYTES + 7, 8 * GROUP_BYTES] {
            let data = painted(bytes);
            let count = data.chunks(GROUP_BYTES).len().max(1) as u64;
            for bits in 0..1u64 << count {
                let wanted: Groups = (0..count).filter(|n| bits >> n & 1 == 1).map(|n| n..n + 1).collect();
                let slice = cut(&data, &wanted);
                let found = read(blake3::hash(&data).as_bytes(), bytes as u64, &wanted, &slice).unwrap();
                let asked: Vec<(u64, Vec<u8>)> = (0..count)
                    .filter(|n| bits >> n & 1 == 1)
                    .map(|n| (n, data[n as usize * GROUP_BYTES..bytes.min((n as usize + 1) * GROUP_BYTES)].to_vec()))
                    .collect();
                assert_eq!(found, asked, "{bytes} {bits:b}");
            }
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused_and_so_is_a_cut() {
        let data = painted(4 * GROUP_BYTES + 100);
        let digest = *blake3::hash(&data).as_bytes();
        let wanted: Groups = [1..2, 4..5].into_iter().collect();
        let slice = cut(&data, &wanted);
        let good = read(&digest, data.len() as u64, &wanted, &slice).unwrap();
        for at in (0..400).chain((400..slice.len()).step_by(97)) {
            let mut bad = slice.clone();
            bad[at] ^= 1;
            assert!(read(&digest, data.len() as u64, &wanted, &bad).is_err(), "byte {at}");
            assert!(read(&digest, data.len() as u64, &wanted, &slice[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(good.len(), 2);
    }

    #[test]
    fn a_wrong_length_is_found_by_the_last_group_and_never_gives_wrong_data() {
        let data = painted(4 * GROUP_BYTES + 100);
        let digest = *blake3::hash(&data).as_bytes();
        let last: Groups = std::iter::once(4..5).collect();
        let slice = cut(&data, &last);
        for bytes in [4 * GROUP_BYTES + 99, 4 * GROUP_BYTES + 101, 5 * GROUP_BYTES] {
            assert!(read(&digest, bytes as u64, &last, &slice).is_err(), "{bytes}");
        }
        let first: Groups = std::iter::once(0..1).collect();
        let found = read(&digest, 5 * GROUP_BYTES as u64, &first, &cut(&data, &first)).unwrap();
        assert_eq!(found, [(0, data[..GROUP_BYTES].to_vec())], "the length is a claim until its proof, the data are not");
    }

    #[test]
    fn a_slice_with_a_length_beyond_all_sense_costs_no_memory() {
        let mut slice = Slice::new(&[7; 32], u64::MAX, Groups::all(u64::MAX));
        assert!(matches!(slice.next(), Some(Part::Pair(_))));
        assert!(slice.accept(&[0; PAIR_BYTES]).is_err());
        assert_eq!(slice.next(), None);
    }
}
