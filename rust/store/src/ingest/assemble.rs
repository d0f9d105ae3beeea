//! Puts what the workers finished back into the order of the walk, and builds files and directories from it.

use super::job::{Item, Message, Queue};
use super::work::put_blocks;
use super::{AddOptions, Added, EntryKind, OnEntry, Sink};
use crate::error::{Error, Result};
use shoal_core::unixfs::{Block, Child, DirectoryBuilder, FileBuilder, Metadata, Profile, encode_symlink};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::Receiver;

/// The root of a file from its leaves, in order.
pub(super) fn finish_file(profile: &Profile, metadata: Metadata, leaves: impl Iterator<Item = Child>, blocks: &mut Vec<Block>) -> Child {
    let mut builder = FileBuilder::new(profile, metadata);
    for leaf in leaves {
        builder.push(leaf, blocks);
    }
    builder.finish(blocks)
}

/// A file whose leaves come in segments, in any order.
struct Segmented {
    name: Vec<u8>,
    builder: FileBuilder,
    next: u64,
    waiting: BTreeMap<u64, (Vec<Child>, bool)>,
}

/// A directory whose entries are coming in.
struct Level {
    name: Vec<u8>,
    /// Path from its source's name on, with a slash at its end; empty for the wrapping directory.
    prefix: Vec<u8>,
    builder: DirectoryBuilder,
    /// Entries on the disk, those left out for being empty too: what held them is not empty itself (as Kubo sees it).
    entries: u64,
    bytes: u64,
    files: u64,
}

/// A child on its way into its directory.
struct Finished {
    name: Vec<u8>,
    child: Child,
    kind: EntryKind,
    bytes: u64,
    files: u64,
}

pub(super) struct Assembler<'a, 'f> {
    options: &'a AddOptions,
    sink: &'a Sink,
    queue: &'a Queue,
    on_entry: &'a mut OnEntry<'f>,
    /// Sequence number of the item whose turn it is.
    turn: u64,
    early: BTreeMap<u64, Item>,
    segmented: HashMap<u64, Segmented>,
    levels: Vec<Level>,
    roots: Vec<Added>,
    blocks: Vec<Block>,
}

impl<'a, 'f> Assembler<'a, 'f> {
    pub fn new(options: &'a AddOptions, sink: &'a Sink, queue: &'a Queue, on_entry: &'a mut OnEntry<'f>, wrap: bool) -> Self {
        let mut assembler = Self {
            options,
            sink,
            queue,
            on_entry,
            turn: 0,
            early: BTreeMap::new(),
            segmented: HashMap::new(),
            levels: Vec::new(),
            roots: Vec::new(),
            blocks: Vec::new(),
        };
        if wrap {
            let builder = DirectoryBuilder::new(&options.profile, Metadata { mode: options.mode, mtime: options.mtime });
            assembler.levels.push(Level { name: Vec::new(), prefix: Vec::new(), builder, entries: 0, bytes: 0, files: 0 });
        }
        assembler
    }

    /// Takes messages until all senders are gone. Returns the roots.
    pub fn run(mut self, receiver: Receiver<Message>) -> Result<Vec<Added>> {
        for message in receiver {
            match message {
                Message::Failed(error) => return Err(error),
                Message::Opened { sequence, name, metadata } => {
                    let builder = FileBuilder::new(&self.options.profile, metadata);
                    self.segmented.insert(sequence, Segmented { name, builder, next: 0, waiting: BTreeMap::new() });
                }
                Message::Leaves { sequence, segment, leaves, last } => self.leaves(sequence, segment, leaves, last)?,
                Message::Item { sequence, item } => self.item(sequence, item)?,
            }
        }
        if self.options.wrap {
            self.leave()?;
        }
        Ok(self.roots)
    }

    fn leaves(&mut self, sequence: u64, segment: u64, leaves: Vec<Child>, last: bool) -> Result<()> {
        let Some(file) = self.segmented.get_mut(&sequence) else { return Ok(()) };
        file.waiting.insert(segment, (leaves, last));
        let mut complete = false;
        while let Some((leaves, last)) = file.waiting.remove(&file.next) {
            for leaf in leaves {
                file.builder.push(leaf, &mut self.blocks);
            }
            file.next += 1;
            complete |= last;
        }
        if complete && let Some(file) = self.segmented.remove(&sequence) {
            let child = file.builder.finish(&mut self.blocks);
            self.item(sequence, Item::Entry { name: file.name, child, kind: EntryKind::File })?;
        }
        self.put_blocks()
    }

    fn put_blocks(&mut self) -> Result<()> {
        put_blocks(self.sink, &self.blocks)?;
        self.blocks.clear();
        Ok(())
    }

    fn item(&mut self, sequence: u64, item: Item) -> Result<()> {
        self.early.insert(sequence, item);
        let before = self.turn;
        while let Some(item) = self.early.remove(&self.turn) {
            self.take(item)?;
            self.turn += 1;
        }
        // Telling the walker costs a lock: once in a while is enough.
        if before / 256 != self.turn / 256 {
            self.queue.consumed(self.turn);
        }
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Enter { name, metadata } => {
                let mut prefix = self.levels.last().map(|level| level.prefix.clone()).unwrap_or_default();
                prefix.extend_from_slice(&name);
                prefix.push(b'/');
                let builder = DirectoryBuilder::new(&self.options.profile, metadata);
                self.levels.push(Level { name, prefix, builder, entries: 0, bytes: 0, files: 0 });
                Ok(())
            }
            Item::Leave => self.leave(),
            Item::Symlink { name, target, metadata } => {
                let child = encode_symlink(&self.options.profile, &target, metadata, &mut self.blocks);
                self.put_blocks()?;
                self.entry(Finished { name, child, kind: EntryKind::Symlink, bytes: 0, files: 0 })
            }
            Item::Entry { mut name, child, kind } => {
                // Content without a name, wrapped: called by its CID, as Kubo does.
                if name.is_empty() && !self.levels.is_empty() {
                    name = child.cid.to_string().into_bytes();
                }
                let bytes = child.file_bytes;
                self.entry(Finished { name, child, kind, bytes, files: 1 })
            }
        }
    }

    fn leave(&mut self) -> Result<()> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        let is_root = self.levels.is_empty();
        if level.entries == 0 && !self.options.empty_directories && !is_root {
            if let Some(parent) = self.levels.last_mut() {
                parent.entries += 1;
            }
            return Ok(());
        }
        let child = level.builder.finish(&mut self.blocks).map_err(|e| Error::entry(&level.prefix, b"", e))?;
        self.put_blocks()?;
        self.entry(Finished { name: level.name, child, kind: EntryKind::Directory, bytes: level.bytes, files: level.files })
    }

    fn entry(&mut self, done: Finished) -> Result<()> {
        let mut path = Vec::new();
        if let Some(level) = self.levels.last_mut() {
            level.builder.push(&done.name, &done.child).map_err(|e| Error::entry(&level.prefix, &done.name, e))?;
            level.entries += 1;
            level.bytes = level.bytes.saturating_add(done.bytes);
            level.files = level.files.saturating_add(done.files);
            path.extend_from_slice(&level.prefix);
        }
        path.extend_from_slice(&done.name);
        let added = Added {
            cid: done.child.cid,
            name: OsString::from_vec(path),
            kind: done.kind,
            bytes: done.bytes,
            dag_bytes: done.child.dag_bytes,
            files: done.files,
        };
        (self.on_entry)(&added)?;
        if self.levels.is_empty() {
            self.roots.push(added);
        }
        Ok(())
    }
}
