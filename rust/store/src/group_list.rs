//! The values of a block's 16 KiB groups, bound to the block, and the lists of this kind that are kept in memory.
//!
//! A list comes into being when its block is hashed whole, or is read from a tree file (`pack_tree.rs`) and then bound again:
//! that of a BLAKE3 block leads up to its digest; that of another block is keyed with the block's key, and fits no other.
//! The rule kept here: a list in [`GroupLists`] belongs to the block of its key, wherever that stands, so nothing that moves or
//! rolls back blocks has to know of it.

use crate::pack::{Key, key};
use shoal_core::Cid;
use shoal_core::bao::{self, GROUP_BYTES, Value};
use shoal_core::hash::{self, code};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whose tree the values are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    /// The block's own: its CID is BLAKE3, and its digest the root.
    Own,
    /// One of our making, keyed with the block's key. Believed because it was made of the checked block.
    Local,
}

impl Tree {
    fn of(cid: &Cid) -> Self {
        let parts = cid.parts();
        // Longer digests are an extended output, which no root of values gives.
        if parts.hash == code::BLAKE3 && parts.digest.len() <= 32 { Self::Own } else { Self::Local }
    }
}

/// The values of all groups of one block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupList {
    key: Key,
    tree: Tree,
    values: Box<[Value]>,
}

/// Whether blocks of this length have lists: those of one group are checked whole.
pub(crate) fn has_list(block_bytes: u64) -> bool {
    block_bytes > GROUP_BYTES as u64
}

impl GroupList {
    /// Checks a block against its hash, and makes its list on the way. `None` when the block does not match, or has none.
    pub fn check(cid: &Cid, block: &[u8]) -> Option<Self> {
        let key = key(cid).filter(|_| has_list(block.len() as u64))?;
        let tree = Tree::of(cid);
        let mut values = Vec::new();
        match tree {
            Tree::Own => {
                let digest = bao::hash(block, &mut values);
                digest.starts_with(cid.digest()).then_some(())?;
            }
            Tree::Local => {
                hash::verify(cid, block).ok()?;
                let groups = (0..).zip(block.chunks(GROUP_BYTES));
                values.extend(groups.map(|(index, group)| bao::keyed_group_value(&key, index, group)));
            }
        }
        Some(Self { key, tree, values: values.into() })
    }

    /// The list of a BLAKE3 block that was just hashed by groups. `None` for a block without one, or under another hash.
    pub fn of_hashed(cid: &Cid, values: &[Value]) -> Option<Self> {
        let key = key(cid).filter(|_| values.len() > 1 && Tree::of(cid) == Tree::Own)?;
        Some(Self { key, tree: Tree::Own, values: values.into() })
    }

    /// A list from a tree file, if it can be that of the block.
    pub fn bind(cid: &Cid, values: Vec<Value>) -> Option<Self> {
        let (key, tree) = (key(cid)?, Tree::of(cid));
        let is_bound = match tree {
            Tree::Own => bao::root(&values)?.starts_with(cid.digest()),
            // Whether it is the block's shows when a group is held against it.
            Tree::Local => values.len() > 1,
        };
        is_bound.then_some(Self { key, tree, values: values.into() })
    }

    pub fn is_of(&self, cid: &Cid) -> bool {
        self.tree == Tree::of(cid) && key(cid) == Some(self.key)
    }

    /// Whether the bytes are those of the groups from number `first` on.
    pub fn fits(&self, first: usize, bytes: &[u8]) -> bool {
        let groups = bytes.chunks(GROUP_BYTES);
        let values = self.values.get(first..).unwrap_or_default();
        values.len() >= groups.len()
            && (first as u64..).zip(groups).zip(values).all(|((index, group), value)| match self.tree {
                Tree::Own => bao::group_value(index, group) == *value,
                Tree::Local => bao::keyed_group_value(&self.key, index, group) == *value,
            })
    }

    /// Whether it is the list of a block that was checked, whatever made it. A list that leads up to the digest is.
    pub fn is_sound(&self, block: &[u8]) -> bool {
        self.tree == Tree::Own || self.values.len() == block.len().div_ceil(GROUP_BYTES) && self.fits(0, block)
    }

    /// Whether it is the list of a block that was checked, as far as one group tells, which the block's key chooses. Values are keyed with
    /// the block, so the list of another one fits nowhere; and where a single value is wrong, whoever reads that group finds out
    /// ([`Self::fits`]), and is told nothing wrong.
    pub fn seems_sound(&self, block: &[u8]) -> bool {
        let [.., last] = self.key;
        let group = usize::from(last) % self.values.len().max(1);
        let is_right = || block.chunks(GROUP_BYTES).nth(group).is_some_and(|bytes| self.fits(group, bytes));
        self.tree == Tree::Own || self.values.len() == block.len().div_ceil(GROUP_BYTES) && is_right()
    }

    /// Bytes of memory it takes, roughly.
    fn memory_bytes(&self) -> usize {
        LIST_BYTES + size_of_val(&*self.values)
    }
}

impl AsRef<[Value]> for GroupList {
    fn as_ref(&self) -> &[Value] {
        &self.values
    }
}

/// What a list takes in memory besides its values: its own fields, its counters, and its place in the table.
const LIST_BYTES: usize = 144;
/// Memory for lists, in bytes, of one open store: those of 30 GiB of blocks of 1 MiB. The lists of a pack that is being filled wait
/// here to be written, so half of it is more than a pack of 1 GiB has, whatever the length of its blocks (at most 14 MiB).
const LISTS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lists in memory, those used lately, by the key of their block. Shared by all threads and files of an open store.
pub(crate) struct GroupLists {
    generations: RwLock<Generations>,
    /// Half of the memory there is: what a generation may hold.
    generation_bytes_max: usize,
}

/// What was used lately is in `young`; when that is full it becomes `old`, and what was old goes.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Arc<GroupList>>,
    old: HashMap<Key, Arc<GroupList>>,
    young_bytes: usize,
}

impl Default for GroupLists {
    fn default() -> Self {
        Self::new(LISTS_BYTES_MAX)
    }
}

impl GroupLists {
    fn new(bytes_max: usize) -> Self {
        Self { generations: RwLock::default(), generation_bytes_max: bytes_max / 2 }
    }

    fn read(&self) -> RwLockReadGuard<'_, Generations> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of a block, which counts as used now.
    pub fn find(&self, cid: &Cid) -> Option<Arc<GroupList>> {
        let key = key(cid)?;
        let (list, is_young) = {
            let generations = self.read();
            let young = generations.young.get(&key);
            (young.or_else(|| generations.old.get(&key)).cloned()?, young.is_some())
        };
        if !is_young {
            self.put([Arc::clone(&list)]);
        }
        list.is_of(cid).then_some(list)
    }

    /// The list of a key, for whoever saves it.
    pub fn peek(&self, key: &Key) -> Option<Arc<GroupList>> {
        let generations = self.read();
        generations.young.get(key).or_else(|| generations.old.get(key)).cloned()
    }

    /// Takes lists in, in place of older ones of the same blocks.
    pub fn put(&self, lists: impl IntoIterator<Item = Arc<GroupList>>) {
        let mut generations = self.write();
        for list in lists {
            let bytes = list.memory_bytes();
            if generations.young_bytes + bytes > self.generation_bytes_max {
                generations.old = std::mem::take(&mut generations.young);
                generations.young_bytes = 0;
            }
            generations.young_bytes += bytes;
            if let Some(replaced) = generations.young.insert(list.key, list) {
                generations.young_bytes = generations.young_bytes.saturating_sub(replaced.memory_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_core::hash::{Hash, cid_v1};

    /// Every group of a painted block has other bytes.
    fn painted(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i ^ (i >> 8) ^ (i >> 14)).to_le_bytes()[0]).collect()
    }

    #[test]
    fn every_flipped_byte_is_found_in_its_group_and_in_no_other() {
        for hash in [Hash::Blake3, Hash::Sha256, Hash::Sha512] {
            let good = painted(2 * GROUP_BYTES + 100);
            let cid = cid_v1(hash, 0x55, &good).unwrap();
            let list = GroupList::check(&cid, &good).unwrap();
            let mut block = good.clone();
            // Every byte of the last group, and of the others some near their ends and between.
            let places = (0..good.len())
                .filter(|at| *at >= 2 * GROUP_BYTES || (at % GROUP_BYTES).is_multiple_of(1021) || (at + 1) % GROUP_BYTES == 0);
            for at in places {
                block[at] ^= 1 << (at % 8);
                for (index, group) in block.chunks(GROUP_BYTES).enumerate() {
                    assert_eq!(list.fits(index, group), index != at / GROUP_BYTES, "{hash:?} byte {at}, group {index}");
                }
                assert_eq!(GroupList::check(&cid, &block), None, "{hash:?} byte {at}");
                block[at] = good[at];
            }
        }
    }

    #[test]
    fn groups_that_are_swapped_cut_or_lengthened_do_not_fit() {
        for hash in [Hash::Blake3, Hash::Sha256] {
            let block = painted(3 * GROUP_BYTES);
            let list = GroupList::check(&cid_v1(hash, 0x55, &block).unwrap(), &block).unwrap();
            assert!(list.fits(0, &block) && list.fits(1, &block[GROUP_BYTES..]) && list.is_sound(&block));
            assert!(!list.fits(0, &block[GROUP_BYTES..2 * GROUP_BYTES]));
            assert!(!list.fits(0, &block[..GROUP_BYTES - 1]));
            assert!(!list.fits(0, &[&block[..], &[0]].concat()));
            assert!(!list.fits(3, &block[..1]));
        }
    }

    #[test]
    fn blocks_have_lists_from_one_byte_over_a_group_on() {
        for hash in [Hash::Blake3, Hash::Sha256] {
            for (bytes, values) in [(0, 0), (1, 0), (GROUP_BYTES, 0), (GROUP_BYTES + 1, 2), (2 * GROUP_BYTES, 2), (2 * GROUP_BYTES + 1, 3)]
            {
                let block = painted(bytes);
                let cid = cid_v1(hash, 0x55, &block).unwrap();
                let list = GroupList::check(&cid, &block);
                assert_eq!(list.as_ref().map_or(0, |list| list.values.len()), values, "{bytes}");
                let Some(list) = list else { continue };
                assert_eq!(GroupList::bind(&cid, list.values.to_vec()), Some(list));
            }
        }
    }

    #[test]
    fn a_list_of_another_block_is_refused_or_fits_no_group() {
        let (block, other) = (painted(2 * GROUP_BYTES), [painted(GROUP_BYTES), vec![1; GROUP_BYTES]].concat());
        for hash in [Hash::Blake3, Hash::Sha256] {
            let (cid, other_cid) = (cid_v1(hash, 0x55, &block).unwrap(), cid_v1(hash, 0x55, &other).unwrap());
            let foreign = GroupList::check(&other_cid, &other).unwrap();
            let bound = GroupList::bind(&cid, foreign.values.to_vec());
            // The first groups are equal, and still it does not fit where it is not refused.
            assert!(bound.is_none_or(|list| hash == Hash::Sha256 && !list.fits(0, &block[..GROUP_BYTES]) && !list.is_sound(&block)));
        }
    }

    #[test]
    fn lists_keep_to_their_memory_and_those_used_stay() {
        let lists: Vec<(Cid, Arc<GroupList>)> = (0..100u8)
            .map(|n| {
                let block = vec![n; GROUP_BYTES + 1];
                let cid = cid_v1(Hash::Blake3, 0x55, &block).unwrap();
                let list = Arc::new(GroupList::check(&cid, &block).unwrap());
                (cid, list)
            })
            .collect();
        let each = lists[0].1.memory_bytes();
        let kept = GroupLists::new(20 * each);
        for (cid, list) in &lists {
            kept.put([Arc::clone(list)]);
            assert!(kept.find(cid).is_some());
            assert!(kept.find(&lists[0].0).is_some(), "used all the time");
            let generations = kept.read();
            assert!(generations.young.len() <= 10 && generations.old.len() <= 10);
            assert_eq!(generations.young_bytes, generations.young.len() * each);
        }
        assert!(kept.find(&lists[50].0).is_none());
    }
}
