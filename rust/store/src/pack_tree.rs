//! Tree files: the values of every 16 KiB group of a pack's blocks, so that a range of a block can be checked on its own.
//!
//! One sorted table a pack (`index.rs`), whose keys are places: a block's list is found by where the block stands. It may say
//! nothing of some blocks; those are checked whole. The rule it keeps: what it says is believed only as far as its pages'
//! checksums go, and whoever reads a list binds it to the block (`group_list.rs`). Format: docs/formats/pack-tree.md; the numbers
//! in comments are its paragraphs.

use crate::disk::Map;
use crate::index::{BadPage, Table, Writer};
use crate::pack::{Place, Sink};
use shoal_core::bao::{Value, groups};

const MAGIC: &[u8; 8] = b"shoaltre";
/// §2.2: place of the group, and its value.
const ENTRY_BYTES: usize = 40;
const KEY_BYTES: usize = 8;

/// §2.2: which group an entry is of.
fn key(place: Place, group: u64) -> [u8; KEY_BYTES] {
    (place.offset() << 24 | group).to_be_bytes()
}

/// A tree file, open.
pub(crate) struct PackTree(Table<ENTRY_BYTES, KEY_BYTES>);

impl PackTree {
    /// Writes the tree file of a pack whose first `length` bytes are committed: so many values in all, list by list, in the order
    /// of their places.
    pub fn write<L: AsRef<[Value]>>(
        pack: u32,
        length: u64,
        values: u64,
        lists: &mut dyn Iterator<Item = Result<(Place, L), BadPage>>,
        sink: &mut Sink<'_>,
    ) -> std::io::Result<()> {
        let rest = [u64::from(pack).to_le_bytes(), length.to_le_bytes()];
        let mut writer = Writer::<ENTRY_BYTES>::new(sink, MAGIC, values, rest.as_flattened())?;
        for list in lists {
            let (place, list) = list.map_err(|BadPage| std::io::ErrorKind::InvalidData)?;
            for (group, value) in (0..).zip(list.as_ref()) {
                let mut entry = [0; ENTRY_BYTES];
                if let Some((to_key, to_value)) = entry.split_first_chunk_mut::<KEY_BYTES>() {
                    *to_key = key(place, group);
                    to_value.copy_from_slice(value);
                }
                writer.push(&entry)?;
            }
        }
        writer.finish()
    }

    /// §2.4: takes a tree file, if it is one of this pack, of which `length` bytes are committed now.
    pub fn open(map: Map, pack: u32, length: u64) -> Result<Self, BadPage> {
        let (table, head) = Table::open(map, MAGIC)?;
        let of_pack = head.get(24..32).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes);
        let at_length = head.get(32..40).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes);
        if of_pack == Some(u64::from(pack)) && at_length.is_some_and(|at| at <= length) { Ok(Self(table)) } else { Err(BadPage) }
    }

    /// How many values it has.
    pub fn len(&self) -> u64 {
        self.0.entries
    }

    /// The values of the block at a place; `None` where it says nothing of that block.
    pub fn find(&self, place: Place) -> Result<Option<Vec<Value>>, BadPage> {
        // A block is at most 2 MiB, but what a place says is bounded by 24 bits only.
        let count = groups(place.block_bytes());
        let first = self.0.lower_bound(&key(place, 0))?;
        if first.saturating_add(count) > self.0.entries {
            return Ok(None);
        }
        let mut values = Vec::new();
        for group in 0..count {
            let entry = self.0.entry(first + group)?;
            match entry.split_first_chunk::<KEY_BYTES>() {
                Some((found, value)) if *found == key(place, group) => values.push(value.try_into().map_err(|_| BadPage)?),
                // The block that stood here when this was written was another one, or this says nothing of it.
                _ => return Ok(None),
            }
        }
        Ok(Some(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, groups: usize) -> Place {
        Place::new(offset, groups * 16384).unwrap()
    }

    fn list(of: u64, groups: usize) -> Vec<Value> {
        (0..groups).map(|group| *blake3::hash(&[of.to_le_bytes(), (group as u64).to_le_bytes()].concat()).as_bytes()).collect()
    }

    /// Blocks of 2 to 9 groups, one behind the other, from behind the header on.
    fn lists(blocks: u64) -> Vec<(Place, Vec<Value>)> {
        let mut offset = 26;
        let mut all = Vec::new();
        for block in 0..blocks {
            let groups = 2 + (block % 8) as usize;
            all.push((place(offset, groups), list(block, groups)));
            offset += 40 + groups as u64 * 16384;
        }
        all
    }

    fn written(lists: &[(Place, Vec<Value>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = lists.iter().map(|(_, list)| list.len() as u64).sum();
        PackTree::write(3, 1 << 30, count, &mut lists.iter().map(|(place, list)| Ok((*place, list))), &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        bytes
    }

    #[test]
    fn every_list_is_found_by_its_place_and_no_other_is() {
        for blocks in [0, 1, 2, 17, 18, 100, 3000] {
            let lists = lists(blocks);
            let tree = PackTree::open(Map::from_bytes(written(&lists)), 3, 1 << 30).unwrap();
            assert_eq!(tree.len(), lists.iter().map(|(_, list)| list.len() as u64).sum::<u64>());
            for (at, list) in &lists {
                assert_eq!(tree.find(*at), Ok(Some(list.clone())), "of {blocks}");
                for other in [place(at.offset() + 1, 2), place(at.offset() - 1, 2), place(at.offset(), list.len() + 1)] {
                    assert_eq!(tree.find(other), Ok(None), "of {blocks}");
                }
            }
            assert_eq!(tree.find(place(Place::OFFSET_MAX, 100)), Ok(None));
        }
    }

    #[test]
    fn a_flipped_byte_makes_a_list_bad_or_leaves_it_right() {
        let lists = lists(60);
        let good = written(&lists);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            let Ok(tree) = PackTree::open(Map::from_bytes(bytes), 3, 1 << 30) else { continue };
            for (at, list) in lists.iter().step_by(7) {
                assert!(matches!(tree.find(*at), Err(BadPage)) || tree.find(*at) == Ok(Some(list.clone())));
            }
        }
    }

    #[test]
    fn a_cut_file_and_one_of_another_or_a_longer_pack_are_refused() {
        let good = written(&lists(100));
        for n in (0..good.len()).step_by(97) {
            assert!(PackTree::open(Map::from_bytes(good[..n].to_vec()), 3, 1 << 30).is_err());
        }
        assert!(PackTree::open(Map::from_bytes(good.clone()), 4, 1 << 30).is_err());
        assert!(PackTree::open(Map::from_bytes(good.clone()), 3, (1 << 30) - 1).is_err());
        assert!(PackTree::open(Map::from_bytes(good), 3, (1 << 30) + 1).is_ok());
    }
}
