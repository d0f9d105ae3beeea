//! Reading UnixFS: what a block is, borrowed from its bytes.
//!
//! One block at a time; nothing here follows a link. What a block says of itself is checked against itself (sizes, bitfields); what it says
//! of others (sizes of children) only the reader of those can check. Names are as found: [`super::check_name`] before use as a path.

use super::message::{Kind, MURMUR3_X64_64, Message};
use super::{Metadata, NameError, UnixfsError, hamt};
use crate::Cid;
use crate::cid::codec;
use crate::dag::pb;
use crate::limits::SYMLINK_BYTES_MAX;

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<'a> {
    /// A file, or a part of one: plain bytes.
    Raw(&'a [u8]),
    /// A file, or a part of one.
    File(File<'a>),
    /// A directory in one block.
    Directory(Directory<'a>),
    /// A shard of a directory, or the root of one that is sharded.
    Shard(Shard<'a>),
    /// A symbolic link.
    Symlink(Symlink<'a>),
}

/// A file, or a part of one: its own bytes, then those of its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File<'a> {
    /// Bytes in this block.
    pub data: &'a [u8],
    /// Parts in other blocks, in order.
    pub children: Vec<FileChild>,
    /// Bytes of `data` and of all children, as this block says.
    pub file_bytes: u64,
    /// Kept of the file, where this is its root.
    pub metadata: Metadata,
}

/// A part of a file in another block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChild {
    /// The block.
    pub cid: Cid,
    /// Bytes of file under it, as the parent says.
    pub file_bytes: u64,
}

/// A directory in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory<'a> {
    /// In the order of the block; no two have the same name.
    pub entries: Vec<Entry<'a>>,
    /// Kept of the directory.
    pub metadata: Metadata,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// As found, not necessarily fit to be a file's name.
    pub name: &'a [u8],
    /// Its root.
    pub cid: Cid,
    /// Bytes of all its blocks, as the parent says; 0 where it does not.
    pub dag_bytes: u64,
}

/// A shard of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard<'a> {
    /// How many slots there are: a power of two from 8 to 1024.
    pub fanout: usize,
    /// The slots in use, in order.
    pub slots: Vec<Slot<'a>>,
    /// Kept of the directory, where this is its root.
    pub metadata: Metadata,
}

/// A slot in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot<'a> {
    /// More entries, told apart by the next bits of their hashes.
    Shard {
        /// Number of the slot.
        index: usize,
        /// The shard.
        cid: Cid,
    },
    /// One entry.
    Entry {
        /// Number of the slot.
        index: usize,
        /// The entry, its name without the slot's digits.
        entry: Entry<'a>,
    },
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symlink<'a> {
    /// Where it points, as found.
    pub target: &'a [u8],
    /// Kept of the link.
    pub metadata: Metadata,
}

/// Reads a block with its CID's codec: raw is a [`Node::Raw`], dag-pb is UnixFS, all others are errors.
pub fn decode(codec: u64, block: &[u8]) -> Result<Node<'_>, UnixfsError> {
    match codec {
        codec::RAW => return Ok(Node::Raw(block)),
        codec::DAG_PB => {}
        other => return Err(UnixfsError::Codec(other)),
    }
    let node = pb::decode(block)?;
    let message = Message::decode(node.data.ok_or(UnixfsError::NoMessage)?)?;
    match message.kind {
        Kind::Raw | Kind::File => file(message, node.links).map(Node::File),
        Kind::Directory => directory(&message, node.links).map(Node::Directory),
        Kind::Shard => shard(&message, node.links).map(Node::Shard),
        Kind::Symlink => symlink(&message, &node.links).map(Node::Symlink),
    }
}

fn file<'a>(message: Message<'a>, links: Vec<pb::Link<'a>>) -> Result<File<'a>, UnixfsError> {
    let sizes = message.block_bytes;
    if links.len() != sizes.len() {
        return Err(UnixfsError::BlockSizes { links: links.len(), sizes: sizes.len() });
    }
    let data = message.data.unwrap_or_default();
    let sum = sizes.iter().try_fold(data.len() as u64, |sum, &n| sum.checked_add(n)).ok_or(UnixfsError::FileBytes)?;
    if message.file_bytes.is_some_and(|claimed| claimed != sum) {
        return Err(UnixfsError::FileBytes);
    }
    let children = links.into_iter().zip(sizes).map(|(link, file_bytes)| FileChild { cid: link.cid, file_bytes }).collect();
    Ok(File { data, children, file_bytes: sum, metadata: message.metadata })
}

fn entry<'a>(link: pb::Link<'a>, name: &'a [u8]) -> Entry<'a> {
    Entry { name, cid: link.cid, dag_bytes: link.dag_bytes.unwrap_or(0) }
}

fn directory<'a>(message: &Message<'a>, links: Vec<pb::Link<'a>>) -> Result<Directory<'a>, UnixfsError> {
    let entries: Vec<Entry<'a>> = links
        .into_iter()
        .map(|link| {
            let name = link.name.unwrap_or_default();
            entry(link, name)
        })
        .collect();
    let is_ascending = |names: &[&[u8]]| names.is_sorted_by(|a, b| a < b);
    let mut names: Vec<&[u8]> = entries.iter().map(|entry| entry.name).collect();
    if !is_ascending(&names) {
        names.sort_unstable();
        if !is_ascending(&names) {
            return Err(NameError::Duplicate.into());
        }
    }
    Ok(Directory { entries, metadata: message.metadata })
}

fn shard<'a>(message: &Message<'a>, links: Vec<pb::Link<'a>>) -> Result<Shard<'a>, UnixfsError> {
    let claimed = message.fanout.unwrap_or(0);
    let fanout = usize::try_from(claimed).ok().filter(|&n| hamt::bits_per_level(n).is_some()).ok_or(UnixfsError::Fanout(claimed))?;
    match message.hash_type {
        Some(MURMUR3_X64_64) => {}
        other => return Err(UnixfsError::HashType(other.unwrap_or(0))),
    }
    // The last byte holds the first eight slots; leading zeros are left out, or not.
    let bitfield = message.data.unwrap_or_default();
    if bitfield.len() > fanout / 8 {
        return Err(UnixfsError::Bitfield);
    }
    let mut used =
        bitfield.iter().rev().zip(0..).flat_map(|(byte, at)| (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| 8 * at + bit));
    let width = hamt::prefix_len(fanout);
    let mut slots = Vec::new();
    for link in links {
        let (prefix, name) = link.name.unwrap_or_default().split_at_checked(width).ok_or(UnixfsError::Bitfield)?;
        let index: usize = used.next().ok_or(UnixfsError::Bitfield)?;
        if format!("{index:0width$X}").as_bytes() != prefix {
            return Err(UnixfsError::Bitfield);
        }
        slots.push(if name.is_empty() { Slot::Shard { index, cid: link.cid } } else { Slot::Entry { index, entry: entry(link, name) } });
    }
    if used.next().is_some() {
        return Err(UnixfsError::Bitfield);
    }
    Ok(Shard { fanout, slots, metadata: message.metadata })
}

fn symlink<'a>(message: &Message<'a>, links: &[pb::Link<'a>]) -> Result<Symlink<'a>, UnixfsError> {
    let target = message.data.unwrap_or_default();
    if target.len() > SYMLINK_BYTES_MAX || !links.is_empty() {
        return Err(UnixfsError::Symlink);
    }
    Ok(Symlink { target, metadata: message.metadata })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(message: &[u8], names: &[&[u8]]) -> Vec<u8> {
        let link = |name: &&'static [u8]| pb::Link { cid: "bafkqaaa".parse().unwrap(), name: Some(*name), dag_bytes: Some(7) };
        let names: Vec<&'static [u8]> = names.iter().map(|name| &*name.to_vec().leak()).collect();
        let mut out = Vec::new();
        // One at a time: the encoder would sort them.
        names.iter().for_each(|name| pb::encode(&[link(name)], None, false, &mut out));
        pb::encode(&[], Some(message), false, &mut out);
        out
    }

    fn error(message: &[u8], names: &[&[u8]]) -> UnixfsError {
        decode(codec::DAG_PB, &block(message, names)).unwrap_err()
    }

    #[test]
    fn files_must_be_as_large_as_they_say() {
        assert_eq!(error(b"\x08\x02\x18\x02\x20\x02", &[b"", b""]), UnixfsError::BlockSizes { links: 2, sizes: 1 });
        assert_eq!(error(b"\x08\x02\x18\x02\x20\x01\x20\x01", &[b""]), UnixfsError::BlockSizes { links: 1, sizes: 2 });
        assert_eq!(error(b"\x08\x02\x18\x03\x20\x02", &[b""]), UnixfsError::FileBytes);
        assert_eq!(error(b"\x08\x02\x12\x01a\x18\x02", &[]), UnixfsError::FileBytes);
        let huge = b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        // The sum of the two wraps to 4 in 64 bits.
        assert_eq!(error(&[b"\x08\x02\x18\x04\x20\x05", &huge[..]].concat(), &[b"", b""]), UnixfsError::FileBytes);
        let block = block(b"\x08\x02\x12\x01a\x18\x03\x20\x02", &[b""]);
        let Ok(Node::File(file)) = decode(codec::DAG_PB, &block) else { panic!() };
        assert_eq!((file.data, file.file_bytes, file.children.len(), file.children[0].file_bytes), (&b"a"[..], 3, 1, 2));
    }

    #[test]
    fn a_file_without_size_has_that_of_its_parts() {
        let block = block(b"\x08\x00\x12\x03abc", &[]);
        let Ok(Node::File(file)) = decode(codec::DAG_PB, &block) else { panic!() };
        assert_eq!((file.data, file.file_bytes), (&b"abc"[..], 3));
    }

    #[test]
    fn other_blocks_are_refused() {
        assert_eq!(decode(codec::RAW, b"abc"), Ok(Node::Raw(b"abc")));
        assert_eq!(decode(codec::DAG_CBOR, b"abc"), Err(UnixfsError::Codec(codec::DAG_CBOR)));
        assert_eq!(decode(codec::DAG_PB, b""), Err(UnixfsError::NoMessage));
        assert_eq!(decode(codec::DAG_PB, b"\x08"), Err(UnixfsError::Node(pb::PbError::Field(8))));
        assert_eq!(error(b"", &[]), UnixfsError::NoType);
        assert_eq!(error(b"\x08\x03", &[]), UnixfsError::Type(3));
    }

    #[test]
    fn directories_may_be_unsorted_but_have_each_name_once() {
        let unsorted = block(b"\x08\x01", &[b"b", b"a/b", b"", b".."]);
        let Ok(Node::Directory(directory)) = decode(codec::DAG_PB, &unsorted) else { panic!() };
        let names: Vec<_> = directory.entries.iter().map(|entry| (entry.name, entry.dag_bytes)).collect();
        assert_eq!(names, [(&b"b"[..], 7), (b"a/b", 7), (b"", 7), (b"..", 7)]);
        assert_eq!(error(b"\x08\x01", &[b"a", b"a"]), UnixfsError::Name(NameError::Duplicate));
        assert_eq!(error(b"\x08\x01", &[b"b", b"a", b"b"]), UnixfsError::Name(NameError::Duplicate));
    }

    #[test]
    fn symbolic_links_are_short_and_have_no_children() {
        assert_eq!(error(b"\x08\x04\x12\x01a", &[b"x"]), UnixfsError::Symlink);
        let long = [&b"\x08\x04\x12\x81\x20"[..], &[b'a'; 4097]].concat();
        assert_eq!(error(&long, &[]), UnixfsError::Symlink);
        let block = block(b"\x08\x04\x12\x02..", &[]);
        let target = Symlink { target: b"..", metadata: Metadata::default() };
        assert_eq!(decode(codec::DAG_PB, &block), Ok(Node::Symlink(target)));
    }

    #[test]
    fn shards_have_a_sound_fanout_hash_and_bitfield() {
        let message = |bitfield: &[u8], rest: &[u8]| [&[0x08, 5, 0x12, u8::try_from(bitfield.len()).unwrap()], bitfield, rest].concat();
        let sound = b"\x28\x22\x30\x10";
        let good = block(&message(b"\x80\x02", sound), &[b"1", b"Fname"]);
        let Ok(Node::Shard(shard)) = decode(codec::DAG_PB, &good) else { panic!() };
        let cid: Cid = "bafkqaaa".parse().unwrap();
        let entry = Entry { name: b"name", cid: cid.clone(), dag_bytes: 7 };
        assert_eq!((shard.fanout, shard.slots), (16, vec![Slot::Shard { index: 1, cid }, Slot::Entry { index: 15, entry }]));
        // Leading zeros may stand or not.
        for bitfield in [&b"\x02"[..], b"\x00\x02"] {
            assert!(decode(codec::DAG_PB, &block(&message(bitfield, sound), &[b"1"])).is_ok());
        }
        assert!(decode(codec::DAG_PB, &block(b"\x08\x05\x28\x22\x30\x10", &[])).is_ok());
        for (bitfield, names) in [
            (&b"\x02"[..], &[][..]),
            (b"\x02", &[&b"1"[..], b"2"]),
            (b"\x06", &[b"1"]),
            (b"\x02", &[b"2"]),
            (b"\x06", &[b"2", b"1"]),
            (b"\x02", &[b""]),
            (b"\x00\x00\x02", &[b"1"]),
            (b"\x00\x04", &[b"a"]),
            (b"\x04\x00", &[b"aname"]),
        ] {
            assert_eq!(error(&message(bitfield, sound), names), UnixfsError::Bitfield, "{bitfield:?} {names:?}");
        }
        for (fanout, n) in [
            (&b"\x30\x00"[..], 0),
            (b"\x30\x03", 3),
            (b"\x30\x04", 4),
            (b"\x30\x18", 24),
            (b"\x30\x80\x10", 2048),
            (b"\x30\x80\x80\x80\x80\x80\x20", 1 << 40),
            (b"", 0),
        ] {
            assert_eq!(error(&message(b"\x02", &[b"\x28\x22", fanout].concat()), &[b"1"]), UnixfsError::Fanout(n));
        }
        assert_eq!(error(&message(b"\x02", b"\x28\x23\x30\x10"), &[b"1"]), UnixfsError::HashType(0x23));
        assert_eq!(error(&message(b"\x02", b"\x30\x10"), &[b"1"]), UnixfsError::HashType(0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(block: Vec<u8>) {
            let _ = decode(codec::DAG_PB, &block);
        }

        #[test]
        fn no_message_panics(message: Vec<u8>, names: Vec<Vec<u8>>) {
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let _ = decode(codec::DAG_PB, &block(&message, &names));
        }

        /// Whatever a few changed bytes make of a sound block is refused, or keeps its promises.
        #[test]
        fn damaged_blocks_are_refused_or_sound(
            which in 0..3usize, changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4), cut: proptest::sample::Index,
        ) {
            let shard = block(b"\x08\x05\x12\x02\x80\x06\x28\x22\x30\x10\x38\xa4\x03\x42\x02\x08\x01", &[b"1", b"2name", b"Fother"]);
            let directory = block(b"\x08\x01", &[b"a", b"b", b"c"]);
            let file = block(b"\x08\x02\x12\x01a\x18\x83\x02\x20\x80\x02\x20\x02", &[b"", b""]);
            let mut block = [shard, directory, file][which].clone();
            prop_assert!(decode(codec::DAG_PB, &block).is_ok());
            for (at, byte) in changes {
                let at = at.index(block.len());
                block[at] = byte;
            }
            if cut.index(3) == 0 {
                block.truncate(cut.index(block.len()));
            }
            match decode(codec::DAG_PB, &block) {
                Ok(Node::File(file)) => {
                    let parts: u64 = file.children.iter().map(|child| child.file_bytes).sum();
                    prop_assert_eq!(file.file_bytes, parts + file.data.len() as u64);
                }
                Ok(Node::Directory(directory)) => {
                    let names: std::collections::BTreeSet<_> = directory.entries.iter().map(|entry| entry.name).collect();
                    prop_assert_eq!(names.len(), directory.entries.len());
                }
                Ok(Node::Shard(shard)) => {
                    let indices: Vec<usize> = shard.slots.iter().map(|slot| match slot {
                        Slot::Shard { index, .. } | Slot::Entry { index, .. } => *index,
                    }).collect();
                    prop_assert!(indices.is_sorted_by(|a, b| a < b) && indices.iter().all(|&index| index < shard.fanout));
                }
                _ => {}
            }
        }
    }
}
