//! The values of groups, and the digest over them.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a group, but for the last of a message: sixteen BLAKE3 chunks, which fill the widest SIMD lanes there are.
pub const GROUP_BYTES: usize = 16 * 1024;

/// The chaining value of a subtree.
pub type Value = [u8; 32];

/// How many groups `bytes` bytes have. An empty message has one, of nothing.
#[must_use]
pub fn groups(bytes: u64) -> u64 {
    bytes.div_ceil(GROUP_BYTES as u64).max(1)
}

/// The value of the group at position `index`. Not for a message of a single group, whose value is its [`root`] and has no place.
#[must_use]
pub fn group_value(index: u64, group: &[u8]) -> Value {
    debug_assert!(group.len() <= GROUP_BYTES);
    Hasher::new().set_input_offset(index.wrapping_mul(GROUP_BYTES as u64)).update(group).finalize_non_root()
}

/// Appends the values of the groups of `data`, of which the first stands at position `first` of a message of several groups.
pub fn group_values(first: u64, data: &[u8], values: &mut Vec<Value>) {
    values.extend((first..).zip(data.chunks(GROUP_BYTES)).map(|(index, group)| group_value(index, group)));
}

/// The digest of a message of more than one group, from the values of all its groups. `None` for fewer than two.
#[must_use]
pub fn root(values: &[Value]) -> Option<[u8; 32]> {
    let (left, right) = values.split_at_checked(left_groups(values.len()))?;
    if left.is_empty() || right.is_empty() {
        return None;
    }
    Some(*merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes())
}

/// The digest of `data`. Where it has more than one group, their values are appended to `values`, for hardly more work.
pub fn hash(data: &[u8], values: &mut Vec<Value>) -> [u8; 32] {
    let before = values.len();
    if data.len() > GROUP_BYTES {
        group_values(0, data, values);
    }
    values.get(before..).and_then(root).unwrap_or_else(|| *blake3::hash(data).as_bytes())
}

/// The value of a group in a tree of our own making, over a message that has another hash. It is bound to `key`, so that it fits
/// no other message's group: not even an equal one.
#[must_use]
pub fn keyed_group_value(key: &[u8; 32], index: u64, group: &[u8]) -> Value {
    debug_assert!(group.len() <= GROUP_BYTES);
    Hasher::new_keyed(key).set_input_offset(index.wrapping_mul(GROUP_BYTES as u64)).update(group).finalize_non_root()
}

/// How many of `count` groups stand under the left child of their parent: the largest power of two below `count`.
fn left_groups(count: usize) -> usize {
    count.saturating_sub(1).checked_ilog2().map_or(0, |bits| 1 << bits)
}

/// The value of the subtree over these groups, of which there is at least one.
fn subtree(values: &[Value]) -> Value {
    match values {
        [] => [0; 32],
        [value] => *value,
        _ => {
            let (left, right) = values.split_at_checked(left_groups(values.len())).unwrap_or((values, &[]));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i % 251).to_le_bytes()[0]).collect()
    }

    #[test]
    fn the_root_over_the_groups_is_the_digest() {
        for groups_whole in 1..20 {
            for bytes in [groups_whole * GROUP_BYTES + 1, (groups_whole + 1) * GROUP_BYTES - 1, (groups_whole + 1) * GROUP_BYTES] {
                let data = painted(bytes);
                let mut values = Vec::new();
                group_values(0, &data, &mut values);
                assert_eq!(values.len() as u64, groups(bytes as u64));
                assert_eq!(root(&values), Some(*blake3::hash(&data).as_bytes()), "{bytes}");
            }
        }
    }

    #[test]
    fn hashing_gives_the_digest_and_appends_the_values_of_several_groups() {
        for bytes in [0, 1, GROUP_BYTES - 1, GROUP_BYTES, GROUP_BYTES + 1, 3 * GROUP_BYTES, 64 * GROUP_BYTES + 7] {
            let data = painted(bytes);
            let mut values = vec![[7; 32]];
            assert_eq!(hash(&data, &mut values), *blake3::hash(&data).as_bytes(), "{bytes}");
            let mut expected = vec![[7; 32]];
            if bytes > GROUP_BYTES {
                group_values(0, &data, &mut expected);
            }
            assert_eq!(values, expected, "{bytes}");
        }
    }

    #[test]
    fn a_keyed_value_depends_on_key_place_and_every_byte() {
        let group = painted(GROUP_BYTES);
        let value = keyed_group_value(&[1; 32], 3, &group);
        assert_ne!(value, keyed_group_value(&[2; 32], 3, &group));
        assert_ne!(value, keyed_group_value(&[1; 32], 4, &group));
        assert_ne!(value, group_value(3, &group));
        assert_ne!(value, keyed_group_value(&[1; 32], 3, &group[1..]));
        assert_eq!(value, keyed_group_value(&[1; 32], 3, &group.clone()));
    }

    #[test]
    fn a_single_group_has_no_root_of_values() {
        assert_eq!((groups(0), groups(1), groups(GROUP_BYTES as u64), groups(GROUP_BYTES as u64 + 1)), (1, 1, 1, 2));
        assert_eq!(root(&[]), None);
        assert_eq!(root(&[[1; 32]]), None);
    }
}
