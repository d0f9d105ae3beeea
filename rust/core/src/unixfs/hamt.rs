//! Sharded directories: a hash array mapped trie over the hashes of names.
//!
//! Each level of shards takes the next bits of a name's murmur3-x64-64, from the most significant on; a slot holds one entry, or a shard
//! of all names that fall into it. So the trie depends on the set of names only. Spec: UnixFS, "HAMTDirectory".

use super::directory::Target;
use super::message::{Kind, MURMUR3_X64_64, Message};
use super::{Block, Child, Metadata, Profile, UnixfsError, finish_node};
use crate::dag::pb;
use crate::limits::HAMT_FANOUT_MAX;
use std::collections::BTreeMap;

const HASH_BITS: u32 = u64::BITS;
/// A bitfield is whole bytes.
const FANOUT_MIN: usize = 8;

/// Bits of the hash that choose a slot; none where `fanout` is not a power of two from 8 to [`HAMT_FANOUT_MAX`].
pub(super) fn bits_per_level(fanout: usize) -> Option<u32> {
    (fanout.is_power_of_two() && (FANOUT_MIN..=HAMT_FANOUT_MAX).contains(&fanout)).then(|| fanout.ilog2())
}

/// Hexadecimal digits before a name in a shard: those of the last slot.
pub(super) fn prefix_len(fanout: usize) -> usize {
    (fanout.saturating_sub(1).max(1).ilog2() / 4 + 1) as usize
}

/// Which slot of a shard at `depth` (0 is the root) holds `name`. None when the hash has no bits left for that depth, or the
/// fanout is none that a shard can have.
#[must_use]
pub fn slot(name: &[u8], depth: usize, fanout: usize) -> Option<usize> {
    slot_of_hash(murmur3_x64_64(name), depth, bits_per_level(fanout)?)
}

fn slot_of_hash(hash: u64, depth: usize, bits: u32) -> Option<usize> {
    let used = u32::try_from(depth).ok()?.checked_mul(bits)?;
    let left = HASH_BITS.checked_sub(used.checked_add(bits)?)?;
    usize::try_from((hash >> left) & ((1 << bits) - 1)).ok()
}

/// An entry with the hash of its name.
struct Hashed<'a> {
    hash: u64,
    name: &'a [u8],
    target: &'a Target,
}

/// Writes all shards of a directory, the root last. The metadata is the root's.
pub(super) fn build(
    profile: &Profile,
    entries: &BTreeMap<Box<[u8]>, Target>,
    metadata: Metadata,
    out: &mut Vec<Block>,
) -> Result<Child, UnixfsError> {
    let bits = bits_per_level(profile.hamt_fanout).ok_or(UnixfsError::Fanout(profile.hamt_fanout as u64))?;
    let mut hashed: Vec<Hashed<'_>> = entries.iter().map(|(name, target)| Hashed { hash: murmur3_x64_64(name), name, target }).collect();
    // Sorted by hash, the entries of a slot, and of all slots below it, stand together.
    hashed.sort_unstable_by_key(|entry| entry.hash);
    build_shard(profile, bits, &hashed, 0, metadata, out)
}

/// Writes the shard at `depth` of `entries`, which agree in all bits above it. Recurses at most 64 / 3 times.
fn build_shard(
    profile: &Profile,
    bits: u32,
    entries: &[Hashed<'_>],
    depth: usize,
    metadata: Metadata,
    out: &mut Vec<Block>,
) -> Result<Child, UnixfsError> {
    let slot_of = |entry: &Hashed<'_>| slot_of_hash(entry.hash, depth, bits);
    let mut bitfield = vec![0u8; profile.hamt_fanout / 8];
    let mut links = Vec::new();
    let width = prefix_len(profile.hamt_fanout);
    for group in entries.chunk_by(|a, b| slot_of(a) == slot_of(b)) {
        let Some(slot) = group.first().and_then(slot_of) else { return Err(UnixfsError::HashExhausted) };
        if let Some(byte) = bitfield.iter_mut().rev().nth(slot / 8) {
            *byte |= 1 << (slot % 8);
        }
        let mut name = format!("{slot:0width$X}").into_bytes();
        if let [entry] = group {
            name.extend_from_slice(entry.name);
            links.push((name, entry.target.cid.clone(), entry.target.dag_bytes));
        } else {
            let shard = build_shard(profile, bits, group, depth + 1, Metadata::default(), out)?;
            links.push((name, shard.cid, shard.dag_bytes));
        }
    }
    let mut message = Message { metadata, ..Message::new(Kind::Shard) };
    let zeros = bitfield.iter().take_while(|&&byte| byte == 0).count();
    message.data = bitfield.get(zeros..);
    message.hash_type = Some(MURMUR3_X64_64);
    message.fanout = Some(profile.hamt_fanout as u64);
    let links: Vec<pb::Link<'_>> =
        links.iter().map(|(name, cid, n)| pb::Link { cid: cid.clone(), name: Some(name), dag_bytes: Some(*n) }).collect();
    Ok(finish_node(profile, &links, &message, 0, out))
}

/// The first half of MurmurHash3's 128-bit hash for 64-bit machines (Austin Appleby, public domain), with seed 0.
#[must_use]
pub fn murmur3_x64_64(data: &[u8]) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let finish = |mut h: u64| {
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    };
    let halves = |block: &[u8; 16]| {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *block;
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes(rest))
    };
    let (blocks, tail) = data.as_chunks::<16>();
    let (mut h1, mut h2) = (0u64, 0u64);
    for block in blocks {
        let (k1, k2) = halves(block);
        h1 = (h1 ^ mix1(k1)).rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix2(k2)).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; 16];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    let (k1, k2) = halves(&last);
    h2 = h2 ^ mix2(k2) ^ data.len() as u64;
    h1 = h1 ^ mix1(k1) ^ data.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    finish(h1).wrapping_add(finish(h2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cid;
    use crate::unixfs::node::{Node, Slot, decode};
    use crate::unixfs::{DirectoryBuilder, Shard};
    use std::collections::HashMap;

    #[test]
    fn murmur3_gives_the_published_hashes() {
        // First halves of the x64 128-bit hash, seed 0, as in the test of github.com/spaolacci/murmur3 (which Kubo uses).
        for (data, hash) in [
            (&b""[..], 0),
            (b"hello", 0xcbd8_a7b3_41bd_9b02),
            (b"hello, world", 0x342f_ac62_3a5e_bc8e),
            (b"19 Jan 2038 at 3:14:07 AM", 0xb89e_5988_b737_affc),
            (b"The quick brown fox jumps over the lazy dog.", 0xcd99_481f_9ee9_02c9),
        ] {
            assert_eq!(murmur3_x64_64(data), hash);
        }
    }

    #[test]
    fn slots_take_bits_from_the_top_until_there_are_none() {
        let hash = murmur3_x64_64(b"hello");
        assert_eq!(hash, 0xcbd8_a7b3_41bd_9b02);
        let slots: Vec<_> = (0..9).map(|depth| slot(b"hello", depth, 256)).collect();
        let bytes = [0xcb, 0xd8, 0xa7, 0xb3, 0x41, 0xbd, 0x9b, 0x02].map(Some);
        assert_eq!(slots, [&bytes[..], &[None]].concat());
        assert_eq!(slot(b"hello", 0, 1024), Some(0b11_0010_1111));
        assert_eq!((slot(b"hello", 20, 8).is_some(), slot(b"hello", 21, 8)), (true, None));
        for fanout in [0, 1, 2, 4, 9, 24, 2048, usize::MAX] {
            assert_eq!(slot(b"hello", 0, fanout), None);
        }
        assert_eq!(slot(b"hello", usize::MAX, 256), None);
    }

    #[test]
    fn prefixes_are_as_wide_as_the_last_slot() {
        assert_eq!([8, 16, 32, 64, 128, 256, 512, 1024].map(prefix_len), [1, 1, 2, 2, 2, 2, 3, 3]);
    }

    fn shard<'a>(store: &'a HashMap<Cid, Vec<u8>>, cid: &Cid) -> Shard<'a> {
        match decode(0x70, &store[cid]) {
            Ok(Node::Shard(shard)) => shard,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_entry_is_found_by_its_slots_and_no_other() {
        for fanout in [8, 16, 64, 256, 1024] {
            let profile = Profile { hamt_fanout: fanout, hamt_threshold_bytes: 1, ..Profile::unixfs_v1_2025() };
            let child = Child { cid: profile.cid(0x55, b"x"), file_bytes: 1, dag_bytes: 1 };
            let mut builder = DirectoryBuilder::new(&profile, Metadata::default());
            let names: Vec<Vec<u8>> = (0..3000u32).map(|i| format!("file {i}").into_bytes()).collect();
            names.iter().for_each(|name| builder.push(name, &child).unwrap());
            let mut blocks = Vec::new();
            let root = builder.finish(&mut blocks).unwrap();
            assert_eq!(blocks.last().unwrap().cid, root.cid);
            let store: HashMap<Cid, Vec<u8>> = blocks.into_iter().map(|block| (block.cid, block.data)).collect();
            for name in &names {
                let (mut cid, mut depth) = (root.cid.clone(), 0);
                loop {
                    let slots = shard(&store, &cid).slots;
                    let wanted = slot(name, depth, fanout).unwrap();
                    match slots
                        .iter()
                        .find(|slot| matches!(slot, Slot::Shard { index, .. } | Slot::Entry { index, .. } if *index == wanted))
                    {
                        Some(Slot::Shard { cid: below, .. }) => (cid, depth) = (below.clone(), depth + 1),
                        Some(Slot::Entry { entry, .. }) => break assert_eq!(entry.name, name.as_slice()),
                        None => panic!("{name:?}"),
                    }
                }
            }
            let entries = store.keys().flat_map(|cid| shard(&store, cid).slots).filter(|slot| matches!(slot, Slot::Entry { .. })).count();
            assert_eq!(entries, names.len());
        }
    }

    #[test]
    fn names_with_equal_hashes_are_an_error_and_no_endless_descent() {
        let target = || Target { cid: "bafkqaaa".parse().unwrap(), dag_bytes: 0 };
        let (a, b) = (target(), target());
        let entries = [Hashed { hash: 5, name: b"a", target: &a }, Hashed { hash: 5, name: b"b", target: &b }];
        for (fanout, bits) in [(8, 3), (256, 8), (1024, 10)] {
            let profile = Profile { hamt_fanout: fanout, ..Profile::blake3() };
            let built = build_shard(&profile, bits, &entries, 0, Metadata::default(), &mut Vec::new());
            assert_eq!(built, Err(UnixfsError::HashExhausted));
        }
    }
}
