//! Directories and symbolic links: from entries in any order to one block, or to a HAMT where that block would be too large.
//!
//! Whether it is too large is decided once, at the end, from all entries: growing entry by entry, as Kubo does, ends the same.
//! The one rule: an entry's name can always be exported, so what a file system cannot hold is refused here.

use super::message::{Kind, Message};
use super::profile::DirectorySize;
use super::{Block, Child, Metadata, NameError, Profile, UnixfsError, finish_node, hamt};
use crate::Cid;
use crate::dag::pb;
use crate::limits::{BLOCK_BYTES_MAX, NAME_BYTES_MAX};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

/// Whether `name` can be that of an entry: not empty, `.` or `..`, without `/` and NUL, at most [`NAME_BYTES_MAX`] bytes.
pub fn check_name(name: &[u8]) -> Result<(), NameError> {
    match name {
        b"" => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dots),
        _ if name.len() > NAME_BYTES_MAX => Err(NameError::TooLong),
        _ if name.contains(&b'/') => Err(NameError::Slash),
        _ if name.contains(&0) => Err(NameError::Nul),
        _ => Ok(()),
    }
}

/// What an entry points to.
#[derive(Debug)]
pub(super) struct Target {
    pub cid: Cid,
    pub dag_bytes: u64,
}

impl Target {
    pub fn link<'a>(&self, name: &'a [u8]) -> pb::Link<'a> {
        pb::Link { cid: self.cid.clone(), name: Some(name), dag_bytes: Some(self.dag_bytes) }
    }
}

/// Builds one directory from its entries, which it holds until the end.
#[derive(Debug)]
pub struct DirectoryBuilder {
    profile: Profile,
    metadata: Metadata,
    entries: BTreeMap<Box<[u8]>, Target>,
    /// Sums over the entries of name and CID lengths, and of their links' encodings.
    links_bytes: u64,
    block_bytes: u64,
}

impl DirectoryBuilder {
    /// Starts an empty directory.
    #[must_use]
    pub fn new(profile: &Profile, metadata: Metadata) -> Self {
        Self { profile: profile.clone(), metadata, entries: BTreeMap::new(), links_bytes: 0, block_bytes: 0 }
    }

    /// Adds an entry. Names come in any order; one that is there already, or fails [`check_name`], is an error and changes
    /// nothing.
    pub fn push(&mut self, name: &[u8], child: &Child) -> Result<(), UnixfsError> {
        check_name(name)?;
        let Slot::Vacant(slot) = self.entries.entry(name.into()) else { return Err(NameError::Duplicate.into()) };
        let target = slot.insert(Target { cid: child.cid.clone(), dag_bytes: child.dag_bytes });
        self.links_bytes += (name.len() + target.cid.as_bytes().len()) as u64;
        self.block_bytes += target.link(name).encoded_len() as u64;
        Ok(())
    }

    /// Writes the directory's blocks, the root last. Fails where a single block would be too large for others to take and
    /// the profile does not allow sharding, or where names cannot be told apart by their hashes.
    pub fn finish(self, out: &mut Vec<Block>) -> Result<Child, UnixfsError> {
        let message = Message { metadata: self.metadata, ..Message::new(Kind::Directory) };
        if self.is_large(&message) {
            return hamt::build(&self.profile, &self.entries, self.metadata, out);
        }
        let block_bytes = self.block_bytes.saturating_add(message_bytes(&message));
        if block_bytes > BLOCK_BYTES_MAX as u64 {
            return Err(UnixfsError::BlockTooLarge(usize::try_from(block_bytes).unwrap_or(usize::MAX)));
        }
        let links: Vec<pb::Link<'_>> = self.entries.iter().map(|(name, target)| target.link(name)).collect();
        Ok(finish_node(&self.profile, &links, &message, 0, out))
    }

    /// Whether the profile's limits ask for a HAMT. A threshold of 0 turns the limit by size off, as Kubo's does.
    fn is_large(&self, message: &Message<'_>) -> bool {
        let Profile { directory_links_max: links_max, hamt_threshold_bytes: threshold, .. } = self.profile;
        let bytes = match self.profile.directory_size {
            DirectorySize::LinksBytes => self.links_bytes,
            DirectorySize::BlockBytes => self.block_bytes.saturating_add(message_bytes(message)),
        };
        (threshold > 0 && bytes > threshold) || (links_max > 0 && self.entries.len() > links_max)
    }
}

/// Bytes that UnixFS's message adds to a node.
fn message_bytes(message: &Message<'_>) -> u64 {
    let (mut encoded, mut data) = (Vec::new(), Vec::new());
    message.encode(&mut encoded);
    pb::encode(&[], Some(&encoded), false, &mut data);
    data.len() as u64
}

/// Writes the block of a symbolic link. Its mode is not kept: Kubo does not, and no file system asks for it.
pub fn encode_symlink(profile: &Profile, target: &[u8], metadata: Metadata, out: &mut Vec<Block>) -> Child {
    let mut message = Message::new(Kind::Symlink);
    message.data = Some(target);
    message.metadata = Metadata { mode: None, mtime: metadata.mtime };
    finish_node(profile, &[], &message, 0, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::node::{Node, decode};

    fn child(profile: &Profile, data: &[u8]) -> Child {
        Child { cid: profile.cid(crate::cid::codec::RAW, data), file_bytes: data.len() as u64, dag_bytes: data.len() as u64 }
    }

    #[test]
    fn an_empty_directory_has_the_well_known_names() {
        let empty = |profile: &Profile| DirectoryBuilder::new(profile, Metadata::default()).finish(&mut Vec::new()).unwrap();
        assert_eq!(empty(&Profile::unixfs_v0_2015()).cid.to_string(), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
        let v1 = empty(&Profile::unixfs_v1_2025());
        assert_eq!(v1.cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
        assert_eq!((v1.file_bytes, v1.dag_bytes), (0, 4));
    }

    #[test]
    fn names_that_cannot_be_exported_are_refused_and_leave_the_directory_as_it_was() {
        let profile = Profile::blake3();
        let x = child(&profile, b"x");
        let mut builder = DirectoryBuilder::new(&profile, Metadata::default());
        builder.push(b"a", &x).unwrap();
        for (name, error) in [
            (&b""[..], NameError::Empty),
            (b".", NameError::Dots),
            (b"..", NameError::Dots),
            (b"a/b", NameError::Slash),
            (b"a\0", NameError::Nul),
            (&[b'n'; 256], NameError::TooLong),
            (b"a", NameError::Duplicate),
        ] {
            assert_eq!(builder.push(name, &child(&profile, b"y")), Err(UnixfsError::Name(error)));
        }
        for name in [&b"..."[..], b" ", b"\n", b"\xff\xfe", &[b'n'; 255]] {
            builder.push(name, &x).unwrap();
        }
        let mut blocks = Vec::new();
        builder.finish(&mut blocks).unwrap();
        let Ok(Node::Directory(directory)) = decode(0x70, &blocks[0].data) else { panic!() };
        let names: Vec<&[u8]> = directory.entries.iter().map(|entry| entry.name).collect();
        assert_eq!(names, [&b"\n"[..], b" ", b"...", b"a", &[b'n'; 255], b"\xff\xfe"]);
        assert!(directory.entries.iter().all(|entry| entry.cid == x.cid && entry.dag_bytes == 1));
    }

    #[test]
    fn order_of_entries_does_not_matter() {
        for threshold in [100, 1 << 20] {
            let profile = Profile { hamt_threshold_bytes: threshold, ..Profile::unixfs_v1_2025() };
            let x = child(&profile, b"x");
            let root = |order: &mut dyn Iterator<Item = u32>| {
                let mut builder = DirectoryBuilder::new(&profile, Metadata::default());
                order.for_each(|i| builder.push(i.to_string().as_bytes(), &x).unwrap());
                builder.finish(&mut Vec::new()).unwrap()
            };
            assert_eq!(root(&mut (0..500)), root(&mut (0..500).rev()));
        }
    }

    #[test]
    fn a_directory_is_sharded_just_above_its_threshold_by_either_measure_or_by_its_links() {
        let is_sharded = |profile: &Profile, metadata, names: usize| {
            let mut builder = DirectoryBuilder::new(profile, metadata);
            let x = child(profile, b"x");
            (0..names).for_each(|i| builder.push(format!("{i:03}").as_bytes(), &x).unwrap());
            let mut blocks = Vec::new();
            builder.finish(&mut blocks).unwrap();
            matches!(decode(0x70, &blocks.last().unwrap().data), Ok(Node::Shard(_)))
        };
        let none = Metadata::default();
        // A name of 3 and a CID of 36 bytes, in a link of 47; the message takes 4 more, 4 of mode, 8 of mtime.
        let block = |threshold| Profile { hamt_threshold_bytes: threshold, ..Profile::unixfs_v1_2025() };
        let links = |threshold| Profile { directory_size: DirectorySize::LinksBytes, ..block(threshold) };
        assert!(!is_sharded(&links(39 * 5), none, 5));
        assert!(is_sharded(&links(39 * 5 - 1), none, 5));
        assert!(!is_sharded(&block(47 * 5 + 4), none, 5));
        assert!(is_sharded(&block(47 * 5 + 3), none, 5));
        let kept = Metadata { mode: Some(0o755), mtime: Some((1_700_000_000, 0)) };
        assert!(!is_sharded(&block(47 * 5 + 4 + 3 + 8), kept, 5));
        assert!(is_sharded(&block(47 * 5 + 4 + 3 + 7), kept, 5));
        let by_links = Profile { directory_links_max: 5, ..block(0) };
        assert!(!is_sharded(&by_links, none, 5));
        assert!(is_sharded(&by_links, none, 6));
        assert!(!is_sharded(&block(0), none, 999));
    }

    #[test]
    fn a_block_that_nobody_would_take_is_not_made() {
        let profile = Profile { hamt_threshold_bytes: 0, ..Profile::unixfs_v1_2025() };
        let mut builder = DirectoryBuilder::new(&profile, Metadata::default());
        let x = child(&profile, b"x");
        (0..8000).for_each(|i| builder.push(format!("{i:0250}").as_bytes(), &x).unwrap());
        assert!(matches!(builder.finish(&mut Vec::new()), Err(UnixfsError::BlockTooLarge(_))));
    }
}
