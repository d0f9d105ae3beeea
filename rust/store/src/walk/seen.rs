//! Which blocks a walk has met. Answers for whole blocks, whatever codec their links name.

use crate::pack::{Key, key};
use shoal_core::Cid;
use shoal_core::cid::codec;
use std::collections::{HashMap, HashSet};

/// The first bytes of a key: enough that no two blocks share them.
type ShortKey = [u8; 16];

fn short(key: &Key) -> ShortKey {
    key.first_chunk().copied().unwrap_or_default()
}

/// The lookup key of any CID, those that carry their block too.
fn short_of(cid: &Cid) -> ShortKey {
    short(&key(cid).unwrap_or_else(|| *blake3::hash(cid.multihash()).as_bytes()))
}

/// Blocks met, and under which codecs: some 20 to 40 bytes of memory for each.
///
/// One block can be met as raw bytes and as a node. Both count, for only as a node does it link to others.
#[derive(Debug, Default)]
pub struct Seen {
    /// A bit for each common codec.
    blocks: HashMap<ShortKey, u8>,
    /// Blocks under any other codec.
    others: HashSet<(ShortKey, u64)>,
    is_exact: bool,
}

impl Seen {
    /// Nothing yet. With `is_exact`, CIDv0 and CIDv1 of one node are two.
    #[must_use]
    pub fn new(is_exact: bool) -> Self {
        Self { is_exact, ..Self::default() }
    }

    fn bit(&self, cid: &Cid) -> Option<u8> {
        Some(match cid.codec() {
            codec::RAW => 1,
            codec::DAG_PB if self.is_exact && cid.version() == 0 => 16,
            codec::DAG_PB => 2,
            codec::DAG_CBOR => 4,
            codec::DAG_JSON => 8,
            _ => return None,
        })
    }

    /// Takes note of a node; whether it is new.
    pub fn insert(&mut self, cid: &Cid) -> bool {
        let (short, bit) = (short_of(cid), self.bit(cid));
        let bits = self.blocks.entry(short).or_default();
        match bit {
            Some(bit) => {
                let is_new = *bits & bit == 0;
                *bits |= bit;
                is_new
            }
            None => self.others.insert((short, cid.codec())),
        }
    }

    /// Whether this node was met, under this codec.
    #[must_use]
    pub fn has(&self, cid: &Cid) -> bool {
        let short = short_of(cid);
        match self.bit(cid) {
            Some(bit) => self.blocks.get(&short).is_some_and(|bits| bits & bit != 0),
            None => self.others.contains(&(short, cid.codec())),
        }
    }

    /// Whether the block of this CID was met, under whichever codec.
    #[must_use]
    pub fn has_block(&self, cid: &Cid) -> bool {
        self.blocks.contains_key(&short_of(cid))
    }

    /// Takes in what another walk has met.
    pub(crate) fn take_in(&mut self, other: Self) {
        for (short, bits) in other.blocks {
            *self.blocks.entry(short).or_default() |= bits;
        }
        self.others.extend(other.others);
    }

    /// How many blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_core::hash::{Hash, cid_v1};

    #[test]
    fn a_block_met_as_bytes_has_not_been_met_as_a_node() {
        let node = cid_v1(Hash::Sha256, codec::DAG_PB, b"node").unwrap();
        let raw = cid_v1(Hash::Sha256, codec::RAW, b"node").unwrap();
        let mut seen = Seen::new(false);
        assert!(seen.insert(&raw));
        assert!(!seen.has(&node) && seen.has_block(&node));
        assert!(seen.insert(&node) && !seen.insert(&node) && !seen.insert(&raw));
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn versions_are_told_apart_only_when_asked() {
        let v1 = cid_v1(Hash::Sha256, codec::DAG_PB, b"node").unwrap();
        let v0 = v1.to_v0().unwrap();
        for is_exact in [false, true] {
            let mut seen = Seen::new(is_exact);
            seen.insert(&v1);
            assert_eq!(seen.insert(&v0), is_exact);
        }
    }

    #[test]
    fn a_rare_codec_is_a_codec_of_its_own() {
        let mut seen = Seen::new(false);
        for rare in [0x78, 0x90] {
            let cid = cid_v1(Hash::Blake3, rare, b"block").unwrap();
            assert!(!seen.has(&cid) && seen.insert(&cid) && seen.has(&cid));
        }
    }
}
