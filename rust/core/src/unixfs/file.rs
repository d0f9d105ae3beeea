//! Files: from leaves in order to a tree of links.
//!
//! The balanced layout has all leaves at one depth; `trickle.rs` has the other. A builder holds one unfinished node a level, never
//! the file. The one rule: a node is closed only when its next sibling is known to exist, so the root is what is left at the end.

use super::message::{Kind, Message};
use super::profile::Layout;
use super::trickle::Trickle;
use super::{Block, Child, Metadata, Profile, finish_node};
use crate::cid::codec;
use crate::dag::pb;

impl Metadata {
    /// What Kubo writes for a file: a mode without any permission counts as none.
    fn of_file(self) -> Self {
        Self { mode: self.mode.filter(|mode| mode & 0o7777 != 0), mtime: self.mtime }
    }
}

/// Appends the block of a leaf to `out` and returns its codec. `only` is the file's metadata when this leaf is the whole file.
///
/// Where the leaf is the root it carries the metadata; a raw leaf cannot, so a raw profile makes it dag-pb when there is any
/// (Helia does so too; Kubo turns raw leaves off altogether when asked to keep metadata).
pub fn encode_leaf(profile: &Profile, chunk: &[u8], only: Option<&Metadata>, out: &mut Vec<u8>) -> u64 {
    let metadata = only.map(|metadata| metadata.of_file()).unwrap_or_default();
    let is_root = only.is_some() && (profile.layout != Layout::Trickle || chunk.is_empty());
    if profile.raw_leaves && !(is_root && (!metadata.is_empty() || profile.layout == Layout::Trickle)) {
        out.extend_from_slice(chunk);
        return codec::RAW;
    }
    let mut message = Message::new(match profile.layout {
        Layout::Trickle if !is_root => Kind::Raw,
        _ => Kind::File,
    });
    message.data = Some(chunk).filter(|chunk| !chunk.is_empty());
    message.file_bytes = Some(chunk.len() as u64);
    if is_root {
        message.metadata = metadata;
    }
    let mut encoded = Vec::with_capacity(message.encoded_len_max());
    message.encode(&mut encoded);
    pb::encode(&[], Some(&encoded), profile.data_first, out);
    codec::DAG_PB
}

/// Closes a node over `children`.
pub(super) fn close(profile: &Profile, children: &[Child], metadata: Metadata, out: &mut Vec<Block>) -> Child {
    let mut message = Message::new(Kind::File);
    let file_bytes = children.iter().fold(0u64, |sum, child| sum.saturating_add(child.file_bytes));
    message.file_bytes = Some(file_bytes);
    message.block_bytes = children.iter().map(|child| child.file_bytes).collect();
    message.metadata = metadata;
    let link = |child: &Child| pb::Link { cid: child.cid.clone(), name: Some(b""), dag_bytes: Some(child.dag_bytes) };
    let links: Vec<pb::Link<'_>> = children.iter().map(link).collect();
    finish_node(profile, &links, &message, file_bytes, out)
}

/// Builds one file from its leaves. Memory: links × depth, whatever the size of the file.
#[derive(Debug)]
pub struct FileBuilder {
    profile: Profile,
    metadata: Metadata,
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    /// The unfinished node of each level, leaves' parents first.
    Balanced(Vec<Vec<Child>>),
    Trickle(Trickle),
}

impl FileBuilder {
    /// Starts a file. Its metadata goes into the root; a file of one leaf has it from [`encode_leaf`].
    #[must_use]
    pub fn new(profile: &Profile, metadata: Metadata) -> Self {
        let tree = match profile.layout {
            Layout::Balanced | Layout::Blob => Tree::Balanced(Vec::new()),
            Layout::Trickle => Tree::Trickle(Trickle::new(profile.file_links_max)),
        };
        Self { profile: profile.clone(), metadata: metadata.of_file(), tree }
    }

    /// Takes the next leaf, and appends the nodes that are finished by it to `out`.
    pub fn push(&mut self, leaf: Child, out: &mut Vec<Block>) {
        match &mut self.tree {
            Tree::Balanced(levels) => insert_balanced(&self.profile, levels, 0, leaf, out),
            Tree::Trickle(tree) => tree.push(&self.profile, leaf, out),
        }
    }

    /// Closes all nodes, the root last. The leaf itself where there is only one (balanced). An empty file is one leaf of no
    /// bytes; without any leaf at all its block is made here.
    pub fn finish(self, out: &mut Vec<Block>) -> Child {
        match self.tree {
            Tree::Balanced(levels) => finish_balanced(&self.profile, levels, self.metadata, out),
            Tree::Trickle(tree) => tree.finish(&self.profile, self.metadata, out),
        }
    }
}

/// Puts `child` into the level at `height`, closing levels that are full on its way up.
fn insert_balanced(profile: &Profile, levels: &mut Vec<Vec<Child>>, height: usize, mut child: Child, out: &mut Vec<Block>) {
    // Fewer than two could never end.
    let links_max = profile.file_links_max.max(2);
    for level in levels.iter_mut().skip(height) {
        if level.len() < links_max {
            level.push(child);
            return;
        }
        let closed = close(profile, level, Metadata::default(), out);
        level.clear();
        level.push(std::mem::replace(&mut child, closed));
    }
    levels.push(vec![child]);
}

fn finish_balanced(profile: &Profile, mut levels: Vec<Vec<Child>>, metadata: Metadata, out: &mut Vec<Block>) -> Child {
    let mut height = 0;
    while let Some(level) = levels.get_mut(height).map(std::mem::take) {
        height += 1;
        if height < levels.len() {
            let closed = close(profile, &level, Metadata::default(), out);
            insert_balanced(profile, &mut levels, height, closed, out);
        } else if let [only] = level.as_slice() {
            return only.clone();
        } else {
            return close(profile, &level, metadata, out);
        }
    }
    let mut data = Vec::new();
    let codec = encode_leaf(profile, &[], Some(&metadata), &mut data);
    let cid = profile.cid(codec, &data);
    let dag_bytes = data.len() as u64;
    out.push(Block { cid: cid.clone(), data });
    Child { cid, file_bytes: 0, dag_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunker;
    use crate::limits::FILE_LINKS_MAX;
    use crate::unixfs::node::{Node, decode};
    use std::collections::HashMap;

    /// Builds a file of `leaves` leaves of one byte, and reads it back by walking its tree.
    fn build_and_read(profile: &Profile, leaves: usize) -> (usize, usize) {
        let mut builder = FileBuilder::new(profile, Metadata::default());
        let (mut blocks, mut store, mut content, mut most) = (Vec::new(), HashMap::new(), Vec::new(), 0);
        for i in 0..leaves {
            let chunk = [i.to_le_bytes()[0]];
            content.push(i.to_le_bytes()[0]);
            let mut data = Vec::new();
            let codec = encode_leaf(profile, &chunk, None, &mut data);
            let cid = profile.cid(codec, &data);
            let dag_bytes = data.len() as u64;
            store.insert(cid.clone(), data);
            builder.push(Child { cid, file_bytes: 1, dag_bytes }, &mut blocks);
            most = most.max(blocks.len());
            store.extend(blocks.drain(..).map(|block| (block.cid, block.data)));
        }
        let root = builder.finish(&mut blocks);
        store.extend(blocks.into_iter().map(|block| (block.cid, block.data)));
        assert_eq!(root.file_bytes, leaves as u64);
        let (mut read, mut todo, mut depth_max, mut links_most) = (Vec::new(), vec![(root.cid, 0)], 0, 0);
        while let Some((cid, depth)) = todo.pop() {
            depth_max = depth_max.max(depth);
            match decode(cid.codec(), &store[&cid]).unwrap() {
                Node::Raw(data) => read.extend_from_slice(data),
                Node::File(file) => {
                    read.extend_from_slice(file.data);
                    links_most = links_most.max(file.children.len());
                    todo.extend(file.children.into_iter().rev().map(|child| (child.cid, depth + 1)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read, content);
        (depth_max, links_most)
    }

    #[test]
    fn balanced_trees_are_as_low_as_they_can_be() {
        let profile = Profile { file_links_max: 3, ..Profile::unixfs_v1_2025() };
        for leaves in 1..100usize {
            let (depth, links) = build_and_read(&profile, leaves);
            let lowest = (0..).find(|&depth| 3usize.pow(depth) >= leaves).unwrap() as usize;
            assert_eq!(depth, lowest, "{leaves}");
            assert!(links <= 3);
        }
    }

    #[test]
    fn trickle_trees_grow_four_subtrees_a_depth() {
        for raw_leaves in [true, false] {
            let profile = Profile { file_links_max: 2, layout: Layout::Trickle, raw_leaves, ..Profile::unixfs_v1_2025() };
            // Two leaves, then four subtrees of two, then four of ten.
            for (leaves, depth) in [(1, 1), (2, 1), (3, 2), (10, 2), (11, 2), (12, 2), (13, 3), (50, 3), (51, 3), (62, 3), (63, 4)] {
                assert_eq!(build_and_read(&profile, leaves).0, depth, "{leaves}");
            }
        }
    }

    #[test]
    fn an_empty_file_has_the_well_known_names() {
        let empty = |profile: &Profile| FileBuilder::new(profile, Metadata::default()).finish(&mut Vec::new()).cid.to_string();
        assert_eq!(empty(&Profile::unixfs_v0_2015()), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
        assert_eq!(empty(&Profile::unixfs_v1_2025()), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
        let trickle = Profile { layout: Layout::Trickle, ..Profile::unixfs_v1_2025() };
        assert_eq!(empty(&trickle), "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y");
    }

    #[test]
    fn metadata_stands_in_the_root_and_nowhere_else() {
        let kept = Metadata { mode: Some(0o644), mtime: Some((-7, 5)) };
        for (layout, raw_leaves) in [(Layout::Balanced, true), (Layout::Balanced, false), (Layout::Trickle, true), (Layout::Trickle, false)]
        {
            let profile = Profile { layout, raw_leaves, file_links_max: 2, ..Profile::unixfs_v1_2025() };
            for leaves in 0..12 {
                let (mut builder, mut blocks) = (FileBuilder::new(&profile, kept), Vec::new());
                for i in 0..leaves {
                    let mut data = Vec::new();
                    let codec = encode_leaf(&profile, &[i], (leaves == 1).then_some(&kept), &mut data);
                    let child = Child { cid: profile.cid(codec, &data), file_bytes: 1, dag_bytes: data.len() as u64 };
                    blocks.push(Block { cid: child.cid.clone(), data });
                    builder.push(child, &mut blocks);
                }
                let root = builder.finish(&mut blocks);
                for block in blocks {
                    let found = match decode(block.cid.codec(), &block.data) {
                        Ok(Node::File(file)) => file.metadata,
                        Ok(Node::Raw(_)) => Metadata::default(),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(found, if block.cid == root.cid { kept } else { Metadata::default() }, "{layout:?} {raw_leaves} {leaves}");
                }
            }
        }
    }

    #[test]
    fn a_mode_without_permissions_is_not_kept_of_files() {
        let of = |metadata| {
            let mut data = Vec::new();
            encode_leaf(&Profile::unixfs_v0_2015(), b"x", Some(&metadata), &mut data);
            data
        };
        assert_eq!(of(Metadata { mode: Some(0), mtime: None }), of(Metadata::default()));
        assert_ne!(of(Metadata { mode: Some(1), mtime: None }), of(Metadata::default()));
    }

    #[test]
    fn a_full_node_fits_a_block_whatever_the_names() {
        let profile =
            Profile { file_links_max: FILE_LINKS_MAX, inline_bytes_max: 128, chunker: Chunker::Size(128), ..Profile::unixfs_v1_2025() };
        let (mut builder, mut blocks) = (FileBuilder::new(&profile, Metadata::default()), Vec::new());
        for _ in 0..FILE_LINKS_MAX {
            builder.push(Child { cid: profile.cid(codec::RAW, &[1; 128]), file_bytes: 2_096_896, dag_bytes: u64::MAX >> 1 }, &mut blocks);
        }
        builder.finish(&mut blocks);
        assert!(blocks[0].data.len() <= crate::limits::BLOCK_BYTES_MAX, "{}", blocks[0].data.len());
    }
}
