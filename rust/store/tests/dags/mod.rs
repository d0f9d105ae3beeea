//! What the tests of walks, pins, collection and archives share: small DAGs, and a slow, plain walk to compare with.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of this")]

use proptest::prelude::*;
use shoal_core::cid::codec;
use shoal_core::dag::pb;
use shoal_core::hash::{Hash, cid_v1};
use shoal_core::{Cid, dag};
use shoal_store::disk::Disk;
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::{Operation, Options, Pin, PinKind, Store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub type Block = (Cid, Vec<u8>);

pub fn raw(hash: Hash, data: &[u8]) -> Block {
    (cid_v1(hash, codec::RAW, data).unwrap(), data.to_vec())
}

/// A dag-pb node with these children, named by their position.
pub fn node(hash: Hash, children: &[Cid], data: &[u8]) -> Block {
    let names: Vec<String> = (0..children.len()).map(|i| format!("{i:04}")).collect();
    let links: Vec<pb::Link<'_>> = children
        .iter()
        .zip(&names)
        .map(|(cid, name)| pb::Link { cid: cid.clone(), name: Some(name.as_bytes()), dag_bytes: Some(0) })
        .collect();
    let mut block = Vec::new();
    pb::encode(&links, Some(data), false, &mut block);
    (cid_v1(hash, codec::DAG_PB, &block).unwrap(), block)
}

/// Painted, not random: bytes that follow from a number.
pub fn painted(n: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut data);
    data
}

/// `levels` nodes, each with two links to the next: 2^levels paths.
pub fn bomb(levels: usize) -> Vec<Block> {
    let mut blocks = vec![raw(Hash::Sha256, b"at the bottom")];
    for _ in 0..levels {
        let below = blocks.last().unwrap().0.clone();
        blocks.push(node(Hash::Sha256, &[below.clone(), below], b""));
    }
    blocks.reverse();
    blocks
}

/// `nodes` nodes in a line, the root first.
pub fn chain(nodes: usize) -> Vec<Block> {
    let mut blocks = vec![node(Hash::Blake3, &[], b"the last")];
    while blocks.len() < nodes {
        let below = blocks.last().unwrap().0.clone();
        blocks.push(node(Hash::Blake3, &[below], b""));
    }
    blocks.reverse();
    blocks
}

pub fn memory() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/")).unwrap();
    disk
}

pub fn small_packs(pack_bytes_max: u64) -> Options {
    Options { pack_bytes_max, lock_wait: Duration::from_secs(20), reserve_bytes: 1000, ..Options::default() }
}

pub fn open(disk: &MemoryDisk, options: &Options) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new("/store"), options.clone()).unwrap()
}

pub fn new_store() -> (MemoryDisk, Store) {
    let disk = memory();
    let store = open(&disk, &Options::default());
    (disk, store)
}

pub fn put_all(store: &Store, blocks: &[Block]) {
    let session = store.write().unwrap();
    let all: Vec<(&Cid, &[u8])> = blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect();
    session.put_many(&all).unwrap();
    session.commit().unwrap();
}

/// Sets a pin, without the checks of `pinning::add`.
pub fn set_pin(store: &Store, cid: &Cid, kind: PinKind) {
    let session = store.write().unwrap();
    session.pin(Pin { cid: cid.clone(), kind, name: None }).unwrap();
    session.commit().unwrap();
}

pub fn operation() -> Operation {
    Operation::new()
}

/// Parents first, in the order of links, each CID once: by recursion, one block at a time.
pub fn walked_plainly(store: &Store, root: &Cid) -> Vec<Cid> {
    fn enter(store: &Store, cid: &Cid, seen: &mut BTreeSet<Cid>, out: &mut Vec<Cid>) {
        if !seen.insert(cid.clone()) {
            return;
        }
        out.push(cid.clone());
        let mut links = Vec::new();
        dag::links(cid.codec(), &store.block(cid).unwrap(), &mut links).unwrap();
        links.iter().for_each(|link| enter(store, link, seen, out));
    }
    let mut out = Vec::new();
    enter(store, root, &mut BTreeSet::new(), &mut out);
    out
}

/// A DAG in words: for each node, its length and which of the nodes before it (counted from the end, modulo) it links to.
pub type Plan = Vec<(usize, Vec<usize>)>;

pub fn any_plan(nodes_max: usize, bytes_max: usize) -> impl Strategy<Value = Plan> {
    prop::collection::vec((0..bytes_max, prop::collection::vec(any::<prop::sample::Index>(), 0..5)), 1..nodes_max).prop_map(|nodes| {
        let links = |(at, (bytes, links)): (usize, (usize, Vec<prop::sample::Index>))| {
            (bytes, links.iter().filter(|_| at > 0).map(|link| link.index(at.max(1))).collect())
        };
        nodes.into_iter().enumerate().map(links).collect()
    })
}

/// The blocks of a plan, children before parents. Both hashes; what links to nothing is raw or a node.
pub fn build(plan: &Plan) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (n, (bytes, links)) in plan.iter().enumerate() {
        let data = painted(n as u64, *bytes);
        let hash = if n % 3 == 0 { Hash::Blake3 } else { Hash::Sha256 };
        let children: Vec<Cid> = links.iter().map(|&link| blocks[link].0.clone()).collect();
        let is_raw = children.is_empty() && n % 2 == 0;
        blocks.push(if is_raw { raw(hash, &data) } else { node(hash, &children, &data) });
    }
    blocks
}

/// Every file of a folder of the disk with this ending.
pub fn files(disk: &MemoryDisk, folder: &str, ending: &str) -> Vec<String> {
    let mut names = disk.list(Path::new(folder)).unwrap();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names.iter().map(|name| format!("{folder}/{name}")).collect()
}

pub fn content(disk: &MemoryDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), false).unwrap();
    shoal_store::disk::read_to_end(&*file, 0).unwrap()
}

/// Overwrites bytes of a file.
pub fn overwrite(disk: &MemoryDisk, path: &str, offset: u64, bytes: &[u8]) {
    let file = disk.open(Path::new(path), true).unwrap();
    shoal_store::disk::write_all_at(&*file, &mut [std::io::IoSlice::new(bytes)], offset).unwrap();
}

pub fn truncate(disk: &MemoryDisk, path: &str, bytes: u64) {
    disk.open(Path::new(path), true).unwrap().set_len(bytes).unwrap();
}

/// Flips a byte in the middle of a block on the disk.
pub fn damage(disk: &MemoryDisk, store: &Store, cid: &Cid) {
    for entry in store.entries().unwrap() {
        let entry = entry.unwrap();
        if entry.cid.multihash() == cid.multihash() {
            let path = format!("/store/packs/{:08}.car", entry.pack);
            let end = entry.offset + shoal_core::car::v1::section_bytes(&entry.cid, usize::try_from(entry.bytes).unwrap()) as u64;
            let at = end - 1 - entry.bytes / 2;
            let old = content(disk, &path)[usize::try_from(at).unwrap()];
            overwrite(disk, &path, at, &[old ^ 0x10]);
            return;
        }
    }
    panic!("{cid} is not in the store");
}
