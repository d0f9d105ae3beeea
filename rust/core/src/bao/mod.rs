//! BLAKE3 as the tree that it is: 16 KiB groups of a block or blob, each provable against the root on its own.
//!
//! A **group** is 16 KiB of data, the last one shorter; its **value** is the BLAKE3 chaining value of the subtree over it
//! (32 bytes), which depends on where the group stands. The root over all values is the BLAKE3 digest of the data.
//! Source: the BLAKE3 paper, §2.1 (tree), and the shape of `bao-tree` at its block size 4.
//! The rule kept here: nothing is believed that does not lead up to the digest asked for.

mod group;
mod node;
mod ranges;
mod slice;
mod tree;

pub use group::{GROUP_BYTES, Value, group_value, group_values, groups, hash, keyed_group_value, root};
pub use node::Node;
pub use ranges::Groups;
pub use slice::{Mismatch, PAIR_BYTES, Pair, Part, SLICE_HEADER_BYTES, Slice, halves_of, parent_root, parent_value};
pub use tree::{Joiner, Peak, Tree, join_values, root_of, subtree, subtree_start, value_of};
