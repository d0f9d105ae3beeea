//! Adds files and directories as ingest does, but from memory and one block after the other: what the tests compare with others.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_types, reason = "tests read files, and fail by panics")]
#![allow(dead_code, reason = "what a test leaves unused differs")]

use shoal_core::dag::pb;
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_core::unixfs::{Block, Child, DirectoryBuilder, FileBuilder, Metadata, Profile, decode_node, encode_leaf, encode_symlink};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Names of files, directories and symbolic links, with what they hold.
pub enum Tree {
    /// A file on disk.
    File(PathBuf, Metadata),
    Symlink(Vec<u8>, Metadata),
    Directory(Vec<(Vec<u8>, Tree)>, Metadata),
}

/// `len` bytes that depend on their position and repeat nowhere near: the high bytes of Knuth's MMIX generator, from 1.
pub fn painted(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Adds a file, holding a few chunks at a time.
pub fn add_file(profile: &Profile, metadata: Metadata, mut content: impl Read) -> Child {
    let mut cutter = profile.chunker.cutter();
    let room = 2 * profile.chunker.chunk_bytes_max().max(1 << 16);
    let mut builder = FileBuilder::new(profile, metadata);
    let (mut buffer, mut held, mut at_end, mut blocks, mut leaf) = (vec![0; room], 0, false, Vec::new(), Vec::new());
    let mut is_first = true;
    loop {
        while !at_end && held < room {
            match content.read(&mut buffer[held..]).unwrap() {
                0 => at_end = true,
                n => held += n,
            }
        }
        let mut start = 0;
        while let Some(n) = cutter.cut(&buffer[start..held], at_end).or((at_end && held == 0 && is_first).then_some(0)) {
            let is_only = is_first && at_end && n == held;
            leaf.clear();
            let codec = encode_leaf(profile, &buffer[start..start + n], is_only.then_some(&metadata), &mut leaf);
            builder.push(Child { cid: profile.cid(codec, &leaf), file_bytes: n as u64, dag_bytes: leaf.len() as u64 }, &mut blocks);
            check(&mut blocks);
            start += n;
            is_first = false;
        }
        buffer.copy_within(start..held, 0);
        held -= start;
        if at_end && held == 0 {
            let root = builder.finish(&mut blocks);
            check(&mut blocks);
            return root;
        }
    }
}

/// Whatever is built can be read, is in its one canonical form, and is small enough for others to take.
fn check(blocks: &mut Vec<Block>) {
    for Block { cid, data } in blocks.drain(..) {
        decode_node(cid.codec(), &data).unwrap();
        assert!(data.len() <= BLOCK_BYTES_MAX);
        let node = pb::decode(&data).unwrap();
        let is_data_first = data.first() == Some(&0x0a) && !node.links.is_empty();
        let mut again = Vec::new();
        pb::encode(&node.links, node.data, is_data_first, &mut again);
        assert_eq!(again, data);
    }
}

/// Adds a whole tree.
pub fn add_tree(profile: &Profile, tree: &Tree) -> Child {
    match tree {
        Tree::File(path, metadata) => add_file(profile, *metadata, File::open(path).unwrap()),
        Tree::Symlink(target, metadata) => encode_symlink(profile, target, *metadata, &mut Vec::new()),
        Tree::Directory(entries, metadata) => {
            let children: Vec<Child> = entries.iter().map(|(_, tree)| add_tree(profile, tree)).collect();
            add_directory(profile, *metadata, entries.iter().map(|(name, _)| name.as_slice()).zip(&children))
        }
    }
}

/// Adds a directory of finished children.
pub fn add_directory<'a>(profile: &Profile, metadata: Metadata, entries: impl Iterator<Item = (&'a [u8], &'a Child)>) -> Child {
    let mut builder = DirectoryBuilder::new(profile, metadata);
    entries.for_each(|(name, child)| builder.push(name, child).unwrap());
    let mut blocks: Vec<Block> = Vec::new();
    let root = builder.finish(&mut blocks).unwrap();
    assert_eq!(blocks.last().unwrap().cid, root.cid);
    check(&mut blocks);
    root
}
