//! Reading a file by its hash: at any offset, verified, without holding more than a few blocks.
//!
//! The tree of a file is walked from its root each time it is needed; the inner nodes on the way to the last place read
//! are kept, so that reading on is one lookup a leaf.

use crate::blob::{Blob, Cursor};
use crate::block::Block;
use crate::disk::Map;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::output::Output;
use crate::range::{Ahead, Part as Checked};
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::limits::DAG_DEPTH_MAX;
use shoal_core::unixfs::{FileChild, Metadata, Node, decode_node};
use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A decoded inner node of a file.
#[derive(Debug)]
struct Inner {
    /// Content that stands in the node itself, before that of its children: a range of the block.
    data: Range<usize>,
    block: Block,
    children: Vec<FileChild>,
    /// Where each child's content ends, counted from where the node's content begins.
    ends: Vec<u64>,
    file_bytes: u64,
}

/// A node of a file: content, or links to content.
#[derive(Debug, Clone)]
enum Part {
    Leaf(Block, Range<usize>),
    Inner(Arc<Inner>),
    /// The whole file.
    Blob(Arc<Blob>),
}

impl Part {
    fn bytes(&self) -> u64 {
        match self {
            Self::Leaf(_, range) => range.len() as u64,
            Self::Inner(inner) => inner.file_bytes,
            Self::Blob(blob) => blob.bytes,
        }
    }
}

/// Reads and decodes one node of a file.
fn part(store: &Store, cid: &Cid) -> Result<(Part, Metadata)> {
    decode_part(cid, store.block(cid)?)
}

fn decode_part(cid: &Cid, block: Block) -> Result<(Part, Metadata)> {
    let node = decode_node(cid.codec(), &block).map_err(|e| Error::unixfs(cid, e))?;
    let within = |data: &[u8]| {
        let start = data.as_ptr().addr().saturating_sub(block.as_ptr().addr());
        if data.is_empty() { 0..0 } else { start..start + data.len() }
    };
    let (range, children, file_bytes, metadata) = match node {
        Node::Raw(data) => (within(data), Vec::new(), data.len() as u64, Metadata::default()),
        Node::File(file) => (within(file.data), file.children, file.file_bytes, file.metadata),
        Node::Directory(_) | Node::Shard(_) => return Err(Error::NotAFile { cid: cid.clone(), kind: "a directory" }),
        Node::Symlink(_) => return Err(Error::NotAFile { cid: cid.clone(), kind: "a symbolic link" }),
    };
    let part = if children.is_empty() {
        Part::Leaf(block, range)
    } else {
        let ends = children.iter().scan(range.len() as u64, |end, child| {
            *end = end.saturating_add(child.file_bytes);
            Some(*end)
        });
        Part::Inner(Arc::new(Inner { data: range, ends: ends.collect(), block, children, file_bytes }))
    };
    Ok((part, metadata))
}

/// A leaf's place in its file.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// Where its content begins in the file.
    pub offset: u64,
    pub content: LeafContent,
}

/// Where the content of a leaf is.
#[derive(Debug, Clone)]
pub(crate) enum LeafContent {
    /// In a block still to be read; that many bytes of the file by its parent's word.
    Block(Cid, u64),
    /// In a node that was read on the way.
    Here(Block, Range<usize>),
    /// So many bytes of a blob, from the leaf's offset on.
    Blob(Arc<Blob>, usize),
}

/// The leaves of a file in order, from one offset to another. Memory: one inner node a level.
pub(crate) struct Leaves {
    store: Store,
    range: Range<u64>,
    /// Inner nodes on the way, each with its offset and the next child to visit; `None` means its own data is next.
    stack: Vec<(Arc<Inner>, u64, Option<usize>)>,
    first: Option<Leaf>,
    /// A blob that is the whole file, and where the next piece of it begins.
    blob: Option<(Arc<Blob>, u64)>,
}

/// Bytes of a blob that are read together, as if they were a leaf.
const BLOB_LEAF_BYTES: u64 = 1024 * 1024;

impl Leaves {
    fn new(store: &Store, root: &Part, range: Range<u64>) -> Self {
        let mut leaves = Self { store: store.clone(), range, stack: Vec::new(), first: None, blob: None };
        match root {
            Part::Leaf(block, content) => {
                leaves.first = Some(Leaf { offset: 0, content: LeafContent::Here(block.clone(), content.clone()) });
            }
            Part::Inner(inner) => leaves.stack.push((Arc::clone(inner), 0, None)),
            Part::Blob(blob) => leaves.blob = Some((Arc::clone(blob), leaves.range.start - leaves.range.start % BLOB_LEAF_BYTES)),
        }
        leaves
    }

    fn step(&mut self) -> Result<Option<Leaf>> {
        if let Some(leaf) = self.first.take() {
            return Ok(Some(leaf));
        }
        if let Some((blob, next)) = &mut self.blob {
            let offset = *next;
            let end = offset.saturating_add(BLOB_LEAF_BYTES).min(blob.bytes);
            *next = end;
            let bytes = usize::try_from(end.saturating_sub(offset)).unwrap_or(0);
            let content = LeafContent::Blob(Arc::clone(blob), bytes);
            return Ok((offset < self.range.end && bytes > 0).then_some(Leaf { offset, content }));
        }
        while let Some((inner, offset, next)) = self.stack.last_mut() {
            let own = inner.data.len() as u64;
            let Some(index) = *next else {
                *next = Some(0);
                let leaf = Leaf { offset: *offset, content: LeafContent::Here(inner.block.clone(), inner.data.clone()) };
                *offset = offset.saturating_add(own);
                if own > 0 && leaf.offset < self.range.end && *offset > self.range.start {
                    return Ok(Some(leaf));
                }
                continue;
            };
            let Some(child) = inner.children.get(index).filter(|_| *offset < self.range.end) else {
                self.stack.pop();
                continue;
            };
            let (child, at) = (child.clone(), *offset);
            *next = Some(index + 1);
            *offset = offset.saturating_add(child.file_bytes);
            if *offset <= self.range.start {
                continue;
            }
            // A raw leaf needs no look: its block is its content.
            if child.cid.codec() == shoal_core::cid::codec::RAW {
                return Ok(Some(Leaf { offset: at, content: LeafContent::Block(child.cid, child.file_bytes) }));
            }
            let (part, _) = part(&self.store, &child.cid)?;
            check_size(&child.cid, child.file_bytes, part.bytes())?;
            match part {
                Part::Leaf(block, content) => return Ok(Some(Leaf { offset: at, content: LeafContent::Here(block, content) })),
                Part::Blob(_) => return Err(Error::IsBlob { cid: child.cid, bytes: child.file_bytes }),
                Part::Inner(inner) => {
                    if self.stack.len() >= DAG_DEPTH_MAX {
                        return Err(Error::DagTooDeep { cid: child.cid });
                    }
                    self.stack.push((inner, at, None));
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Leaves {
    type Item = Result<Leaf>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// A parent's claim about a child's size must be true: offsets rest on it.
fn check_size(cid: &Cid, claimed: u64, found: u64) -> Result<()> {
    if claimed == found { Ok(()) } else { Err(Error::WrongSize { cid: cid.clone(), claimed, found }) }
}

impl Leaf {
    /// Content bytes, by the parent's word.
    pub fn bytes(&self) -> u64 {
        match &self.content {
            LeafContent::Here(_, range) => range.len() as u64,
            LeafContent::Block(_, file_bytes) => *file_bytes,
            LeafContent::Blob(_, bytes) => *bytes as u64,
        }
    }
}

/// Many leaves at once, verified together. The same order.
pub(crate) fn read_leaves(store: &Store, leaves: &[Leaf]) -> Result<Vec<(Block, Range<usize>)>> {
    let cids: Vec<Cid> = leaves
        .iter()
        .filter_map(|leaf| match &leaf.content {
            LeafContent::Block(cid, _) => Some(cid.clone()),
            LeafContent::Here(..) | LeafContent::Blob(..) => None,
        })
        .collect();
    let mut blocks = store.blocks(&cids).into_iter();
    leaves
        .iter()
        .map(|leaf| match &leaf.content {
            LeafContent::Here(block, range) => Ok((block.clone(), range.clone())),
            LeafContent::Blob(blob, bytes) => {
                let mut content = vec![0; *bytes];
                blob.read_at(&mut Cursor::default(), leaf.offset, &mut content)?;
                Ok((Block::mapped(Map::from_bytes(content), 0, *bytes as u64), 0..*bytes))
            }
            LeafContent::Block(cid, file_bytes) => {
                let block = blocks.next().unwrap_or_else(|| Err(Error::NotFound { cid: cid.clone() }))?;
                check_size(cid, *file_bytes, block.len() as u64)?;
                let range = 0..block.len();
                Ok((block, range))
            }
        })
        .collect()
}

/// Bytes of a file that were checked group by group, in memory of their own.
#[derive(Default)]
struct Window {
    /// Where they begin in the file.
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes from `offset` on; none where they do not reach there.
    fn from(&self, offset: u64) -> &[u8] {
        let within = offset.checked_sub(self.offset).and_then(|n| usize::try_from(n).ok());
        within.and_then(|within| self.bytes.get(within..)).unwrap_or_default()
    }
}

/// Inner nodes of a file that were read and checked lately, so that reading here and there does not decode them anew each time.
#[derive(Default)]
struct InnerNodes {
    nodes: HashMap<Cid, Arc<Inner>>,
    links: usize,
}

/// Links of the inner nodes that an open file keeps, some 100 bytes each: enough for 64 GiB of leaves of 1 MiB.
const INNER_LINKS_MAX: usize = 64 * 1024;

impl InnerNodes {
    /// Keeps a node, and lets others go for it.
    fn keep(&mut self, cid: &Cid, inner: &Arc<Inner>) {
        while self.links.saturating_add(inner.children.len()) > INNER_LINKS_MAX {
            // Any will do: who reads everywhere needs each as much as the others.
            let Some(gone) = self.nodes.keys().next().cloned().and_then(|any| self.nodes.remove(&any)) else { break };
            self.links = self.links.saturating_sub(gone.children.len());
        }
        if self.nodes.insert(cid.clone(), Arc::clone(inner)).is_none() {
            self.links += inner.children.len();
        }
    }
}

/// An open file. Holds its root and what was read last; many may be open on one store.
pub struct FileReader {
    store: Store,
    cid: Cid,
    root: Part,
    metadata: Metadata,
    /// The leaf read last: where it begins, and its content.
    last: Option<(u64, Block, Range<usize>)>,
    /// The groups read last.
    window: Window,
    /// Where the last read ended.
    next: u64,
    /// The inner nodes that led to it, each with the offset where its content begins.
    path: Vec<(u64, Arc<Inner>)>,
    /// Other inner nodes, read lately.
    inner: InnerNodes,
    /// Where in a blob it is.
    cursor: Cursor,
}

impl FileReader {
    /// Opens a UnixFS file, a raw block or a blob. [`Error::NotAFile`] for anything else.
    pub fn open(store: &Store, cid: &Cid) -> Result<Self> {
        store.note_used(cid);
        let (root, metadata) = match part(store, cid) {
            Err(error @ Error::IsBlob { .. }) => (Part::Blob(store.0.blob(cid)?.ok_or(error)?), Metadata::default()),
            // Nothing of it, or a part.
            Err(error @ Error::NotFound { .. }) if cid.codec() == shoal_core::cid::codec::RAW => {
                (Part::Blob(store.0.partial_blob(cid)?.ok_or(error)?), Metadata::default())
            }
            other => other?,
        };
        Ok(Self {
            store: store.clone(),
            cid: cid.clone(),
            root,
            metadata,
            last: None,
            window: Window::default(),
            next: 0,
            path: Vec::new(),
            inner: InnerNodes::default(),
            cursor: Cursor::default(),
        })
    }

    /// Bytes of content.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.root.bytes()
    }

    /// The root's CID.
    #[must_use]
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Mode and modification time, where they were kept.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// Fills `buffer` from `offset` on; fewer bytes only at the end of the file. Every byte was verified.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        if let Part::Blob(blob) = &self.root {
            return blob.read_at(&mut self.cursor, offset, buffer);
        }
        if buffer.len() >= TOGETHER_BYTES_MIN {
            return self.read_together(offset, buffer);
        }
        let ahead = if offset == self.next { Ahead::Sequential } else { Ahead::Random };
        let mut done = 0;
        while let Some(room) = buffer.get_mut(done..).filter(|room| !room.is_empty()) {
            let at = offset.saturating_add(done as u64);
            if at >= self.size() {
                break;
            }
            let n = copy_front(self.window.from(at), room);
            done += if n > 0 { n } else { self.read_leaf(at, room, ahead)? };
        }
        self.next = offset.saturating_add(done as u64);
        Ok(done)
    }

    /// Reads what one leaf has of the file from `at` on, which is at least one byte.
    fn read_leaf(&mut self, at: u64, room: &mut [u8], ahead: Ahead) -> Result<usize> {
        let Leaf { offset, content } = self.leaf_at(at)?;
        let within = at.saturating_sub(offset);
        let (block, range) = match content {
            LeafContent::Here(block, range) => (block, range),
            // Read another way, before it comes to this.
            LeafContent::Blob(blob, _) => return Err(Error::IsBlob { cid: self.cid.clone(), bytes: blob.bytes }),
            LeafContent::Block(cid, file_bytes) => match self.read_groups(&cid, offset, file_bytes, within, room.len(), ahead)? {
                Some(block) => {
                    let range = 0..block.len();
                    self.last = Some((offset, block.clone(), range.clone()));
                    (block, range)
                }
                None => return expect_some(copy_front(self.window.from(at), room), &self.cid, at),
            },
        };
        let content = block.get(range).unwrap_or_default();
        let found = usize::try_from(within).ok().and_then(|within| content.get(within..)).unwrap_or_default();
        expect_some(copy_front(found, room), &self.cid, at)
    }

    /// Reads the groups of a raw leaf that hold so many bytes of it from `within` on into the window, or else all of it.
    fn read_groups(&mut self, cid: &Cid, offset: u64, file_bytes: u64, within: u64, bytes: usize, ahead: Ahead) -> Result<Option<Block>> {
        let bytes = if ahead == Ahead::Sequential { (bytes as u64).max(READ_AHEAD_BYTES) } else { bytes as u64 };
        let wanted = within..within.saturating_add(bytes).min(file_bytes);
        let checked = self.store.0.read_part(cid, wanted, ahead, &mut self.window.bytes)?;
        match checked {
            Checked::Whole(block) => {
                check_size(cid, file_bytes, block.len() as u64)?;
                Ok(Some(block))
            }
            Checked::Groups { start, block_bytes } => {
                self.window.offset = offset.saturating_add(start);
                if block_bytes != file_bytes {
                    self.window.bytes.clear();
                }
                check_size(cid, file_bytes, block_bytes).map(|()| None)
            }
        }
    }

    /// [`FileReader::read_at`] of many leaves, hashed side by side.
    fn read_together(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64).min(self.size());
        let together = leaves_together(&self.cid);
        let mut leaves = self.leaves(offset..end);
        let mut done = 0;
        loop {
            let batch = leaves.by_ref().take(together).collect::<Result<Vec<_>>>()?;
            if batch.is_empty() {
                return Ok(done);
            }
            for (leaf, (block, range)) in batch.iter().zip(read_leaves(&self.store, &batch)?) {
                let content = block.get(range).unwrap_or_default();
                let at = offset.saturating_add(done as u64);
                let within = usize::try_from(at.saturating_sub(leaf.offset)).unwrap_or(usize::MAX);
                let found = content.get(within..).unwrap_or_default();
                let room = buffer.get_mut(done..).unwrap_or_default();
                let n = found.len().min(room.len());
                if let (Some(to), Some(from)) = (room.get_mut(..n), found.get(..n)) {
                    to.copy_from_slice(from);
                }
                done += n;
            }
        }
    }

    /// The leaf that holds the byte at `offset`. A raw one is not read yet, unless it was the last.
    fn leaf_at(&mut self, offset: u64) -> Result<Leaf> {
        let here = |offset, block, range| Ok(Leaf { offset, content: LeafContent::Here(block, range) });
        if let Some((start, block, range)) = &self.last
            && (*start..start.saturating_add(range.len() as u64)).contains(&offset)
        {
            return here(*start, block.clone(), range.clone());
        }
        let root = match &self.root {
            Part::Leaf(block, range) => return here(0, block.clone(), range.clone()),
            Part::Inner(inner) => Arc::clone(inner),
            Part::Blob(blob) => return Err(Error::IsBlob { cid: self.cid.clone(), bytes: blob.bytes }),
        };
        while self.path.last().is_some_and(|(start, inner)| !(*start..start.saturating_add(inner.file_bytes)).contains(&offset)) {
            self.path.pop();
        }
        if self.path.is_empty() {
            self.path.push((0, root));
        }
        while let Some((start, inner)) = self.path.last().cloned() {
            let own = inner.data.len() as u64;
            if offset < start.saturating_add(own) {
                return here(start, inner.block.clone(), inner.data.clone());
            }
            let within = offset.saturating_sub(start);
            let index = inner.ends.partition_point(|&end| end <= within);
            let (Some(child), Some(end)) = (inner.children.get(index), inner.ends.get(index)) else { break };
            let at = start.saturating_add(end.saturating_sub(child.file_bytes));
            if child.cid.codec() == shoal_core::cid::codec::RAW {
                return Ok(Leaf { offset: at, content: LeafContent::Block(child.cid.clone(), child.file_bytes) });
            }
            let part = match self.inner.nodes.get(&child.cid) {
                Some(inner) => Part::Inner(Arc::clone(inner)),
                None => part(&self.store, &child.cid)?.0,
            };
            check_size(&child.cid, child.file_bytes, part.bytes())?;
            match part {
                Part::Leaf(block, range) => {
                    self.last = Some((at, block.clone(), range.clone()));
                    return here(at, block, range);
                }
                Part::Inner(inner) if self.path.len() < DAG_DEPTH_MAX => {
                    self.inner.keep(&child.cid, &inner);
                    self.path.push((at, inner));
                }
                Part::Inner(_) | Part::Blob(_) => return Err(Error::DagTooDeep { cid: child.cid.clone() }),
            }
        }
        // Sizes of children were checked against their node when it was decoded.
        Err(Error::WrongSize { cid: self.cid.clone(), claimed: self.size(), found: offset })
    }

    /// The leaves that hold `range`, in order.
    pub(crate) fn leaves(&self, range: Range<u64>) -> Leaves {
        Leaves::new(&self.store, &self.root, range)
    }
}

/// Writes `length` bytes (or all there are) of a file from `offset` on to a descriptor: a file, pipe, terminal or socket.
///
/// One thread reads and verifies ahead while this one writes. Returns the bytes written.
pub fn copy_to(file: &FileReader, output: BorrowedFd<'_>, offset: u64, length: Option<u64>, operation: &Operation) -> Result<u64> {
    let end = length.map_or(u64::MAX, |n| offset.saturating_add(n)).min(file.size());
    operation.expect(Some(end.saturating_sub(offset)), Some(1));
    if offset >= end {
        return Ok(0);
    }
    let mut output = Output::new(output, operation, true);
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Result<(u64, Block, Range<usize>)>>(VERIFY_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || verify_ahead(file, offset..end, &sender));
        let mut written = 0u64;
        for leaf in receiver {
            operation.check()?;
            let (start, block, range) = leaf?;
            let content = block.get(range).unwrap_or_default();
            let from = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX).min(content.len());
            let to = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX).min(content.len());
            let wanted = content.get(from..to).unwrap_or_default();
            output.write_all(wanted)?;
            written += wanted.len() as u64;
        }
        operation.add_files(1);
        Ok(written)
    })
}

/// Copies as much of `found` as there is room for: how many bytes.
fn copy_front(found: &[u8], room: &mut [u8]) -> usize {
    let n = found.len().min(room.len());
    if let (Some(to), Some(from)) = (room.get_mut(..n), found.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

/// A leaf has the bytes that its parent promised.
fn expect_some(bytes: usize, cid: &Cid, offset: u64) -> Result<usize> {
    if bytes > 0 { Ok(bytes) } else { Err(Error::WrongSize { cid: cid.clone(), claimed: offset.saturating_add(1), found: offset }) }
}

/// Who reads on in small steps is read ahead by so many bytes of a leaf: finding its groups costs as much as hashing one.
const READ_AHEAD_BYTES: u64 = 128 * 1024;

/// A read of so many bytes crosses some leaves, so that hashing them side by side pays.
const TOGETHER_BYTES_MIN: usize = 2 * 1024 * 1024;

/// How many leaves of a file are best verified at a time.
fn leaves_together(cid: &Cid) -> usize {
    shoal_core::hash::lanes(shoal_core::hash::Hash::from_code(cid.hash()).unwrap_or(shoal_core::hash::Hash::Blake3))
}

/// Verified leaves that may wait for the writer.
const VERIFY_AHEAD: usize = 4;

type Verified = Result<(u64, Block, Range<usize>)>;

fn verify_ahead(file: &FileReader, range: Range<u64>, sender: &std::sync::mpsc::SyncSender<Verified>) {
    let together = leaves_together(&file.cid);
    let mut leaves = file.leaves(range);
    loop {
        let mut batch = Vec::with_capacity(together);
        for leaf in leaves.by_ref().take(together) {
            match leaf {
                Ok(leaf) => batch.push(leaf),
                Err(error) => {
                    // The writer is gone only when it failed itself.
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        }
        if batch.is_empty() {
            return;
        }
        let contents = match read_leaves(&file.store, &batch) {
            Ok(contents) => contents,
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
        };
        for (leaf, (block, content)) in batch.iter().zip(contents) {
            if sender.send(Ok((leaf.offset, block, content))).is_err() {
                return;
            }
        }
    }
}
