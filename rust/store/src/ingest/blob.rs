//! Files that become blobs: read once, hashed in groups and written while they are hot in the cache.
//!
//! A file of known length is shared between all workers in aligned pieces; a stream is read from front to end by one.
//! What fits one block is one: its CID is the same, and a file of its own would cost more than it holds.

use super::job::{Item, LargeFile, Message};
use super::{EntryKind, Sink};
use crate::blob::{NewBlob, NewTree, cid_of};
use crate::disk::{DiskFile, read_full_at};
use crate::error::{Error, Result};
use crate::operation::Operation;
use shoal_core::bao::{GROUP_BYTES, group_values, groups};
use shoal_core::hash::{Hash, digest_32};
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_core::unixfs::Child;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Groups of a piece, which is a full subtree: 4 MiB, so that its nodes are one write of 16 KiB.
const PIECE_GROUPS: usize = 256;
pub(super) const PIECE_BYTES: usize = PIECE_GROUPS * GROUP_BYTES;
/// Read, hashed and written together: stays in a second-level cache.
const STEP_BYTES: usize = 16 * GROUP_BYTES;

/// Where the pieces of a blob go.
enum Target {
    Store(Box<NewBlob>),
    /// Only the digest is wanted.
    Nowhere(NewTree),
}

impl Target {
    fn new(sink: &Sink, bytes: Option<u64>) -> Result<Self> {
        Ok(match sink {
            Sink::Store { session, .. } => Self::Store(Box::new(session.new_blob(bytes)?)),
            Sink::HashOnly => Self::Nowhere(NewTree::new(None)),
        })
    }

    /// Of a file whose bytes the store can share, where the filesystem can.
    fn of_file(sink: &Sink, source: &Path, bytes: u64) -> Result<Self> {
        let cloned = match sink {
            Sink::Store { session, .. } => session.clone_blob(source, bytes)?,
            Sink::HashOnly => None,
        };
        cloned.map_or_else(|| Self::new(sink, Some(bytes)), |blob| Ok(Self::Store(Box::new(blob))))
    }

    /// Where to read from instead of the file that is added.
    fn clone_data(&self) -> Option<&dyn DiskFile> {
        match self {
            Self::Store(blob) => blob.clone_data(),
            Self::Nowhere(_) => None,
        }
    }

    fn tree(&self) -> &NewTree {
        match self {
            Self::Store(blob) => &blob.tree,
            Self::Nowhere(tree) => tree,
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        match self {
            Self::Store(blob) => blob.write(offset, data),
            Self::Nowhere(_) => Ok(()),
        }
    }

    /// Takes the piece that begins at `offset` from `read`, which is given room and an offset, and says how many bytes it filled:
    /// fewer than there is room for only at the end. How many bytes the piece has.
    fn piece(&self, offset: u64, buffer: &mut Vec<u8>, mut read: impl FnMut(&mut [u8], u64) -> Result<usize>) -> Result<u64> {
        buffer.resize(STEP_BYTES, 0);
        let first = offset / GROUP_BYTES as u64;
        let mut values = Vec::with_capacity(PIECE_GROUPS);
        let mut at = offset;
        while values.len() < PIECE_GROUPS {
            let filled = read(buffer, at)?;
            let step = buffer.get(..filled).unwrap_or_default();
            group_values(first + values.len() as u64, step, &mut values);
            self.write(at, step)?;
            at += filled as u64;
            if filled < STEP_BYTES {
                break;
            }
        }
        self.tree().add(first, &values)?;
        Ok(at - offset)
    }

    fn finish(&self, sink: &Sink, bytes: u64) -> Result<Child> {
        let digest = self.tree().finish(groups(bytes))?;
        let digest = digest.ok_or_else(|| Error::Format("a blob of a single group was begun".to_owned()))?;
        if let (Self::Store(blob), Sink::Store { session, new_blocks, new_bytes, .. }) = (self, sink)
            && blob.finish(session, digest, bytes)?
        {
            new_blocks.fetch_add(1, Ordering::Relaxed);
            new_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(Child { cid: cid_of(&digest), file_bytes: bytes, dag_bytes: bytes })
    }
}

/// A file of known length on its way to be a blob, in the hands of several workers.
pub(super) struct BlobFile {
    name: Vec<u8>,
    target: Target,
    /// Pieces that are not done.
    left: AtomicU64,
}

impl BlobFile {
    pub fn new(name: Vec<u8>, source: &Path, bytes: u64, sink: &Sink) -> Result<Self> {
        Ok(Self { name, target: Target::of_file(sink, source, bytes)?, left: AtomicU64::new(bytes.div_ceil(PIECE_BYTES as u64)) })
    }
}

/// Does one piece of a large file. Whoever does the last one finishes the blob, and gets its entry.
pub(super) fn piece(
    large: &LargeFile,
    blob: &BlobFile,
    piece: u64,
    buffer: &mut Vec<u8>,
    sink: &Sink,
    operation: &Operation,
) -> Result<Option<Message>> {
    let bytes = blob.target.piece(piece * PIECE_BYTES as u64, buffer, |room, at| {
        operation.check()?;
        let length = usize::try_from(large.bytes.saturating_sub(at)).unwrap_or(usize::MAX).min(room.len());
        let step = room.get_mut(..length).unwrap_or_default();
        if let Some(data) = blob.target.clone_data() {
            let n = read_full_at(data, step, at).map_err(|e| Error::source("cannot read", &large.path, e))?;
            return if n == length { Ok(length) } else { Err(Error::SourceChanged { path: large.path.clone() }) };
        }
        large.file.read_exact_at(step, at).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::SourceChanged { path: large.path.clone() },
            _ => Error::source("cannot read", &large.path, e),
        })?;
        Ok(length)
    })?;
    operation.add_bytes(bytes);
    if blob.left.fetch_sub(1, Ordering::AcqRel) > 1 {
        return Ok(None);
    }
    let child = blob.target.finish(sink, large.bytes)?;
    operation.add_files(1);
    Ok(Some(entry(large.sequence, blob.name.clone(), child)))
}

fn entry(sequence: u64, name: Vec<u8>, child: Child) -> Message {
    Message::Item { sequence, item: Item::Entry { name, child, kind: EntryKind::File } }
}

/// Reads all of a stream: its entry.
pub(super) fn stream(
    sequence: u64,
    name: Vec<u8>,
    input: &mut (impl Read + ?Sized),
    failed: impl Fn(std::io::Error) -> Error,
    sink: &Sink,
    operation: &Operation,
) -> Result<Message> {
    let mut head = Vec::new();
    input.take(BLOCK_BYTES_MAX as u64 + 1).read_to_end(&mut head).map_err(&failed)?;
    if head.len() <= BLOCK_BYTES_MAX {
        let child = block(&head, sink)?;
        operation.add_bytes(head.len() as u64);
        operation.add_files(1);
        return Ok(entry(sequence, name, child));
    }
    let target = Target::new(sink, None)?;
    let mut input = head.chain(input);
    let mut buffer = Vec::new();
    let mut total = 0;
    loop {
        let bytes = target.piece(total, &mut buffer, |room, _| {
            operation.check()?;
            fill(&mut input, room).map_err(&failed)
        })?;
        total += bytes;
        operation.add_bytes(bytes);
        if bytes < PIECE_BYTES as u64 {
            break;
        }
    }
    let child = target.finish(sink, total)?;
    operation.add_files(1);
    Ok(entry(sequence, name, child))
}

/// Content that fits one block, as that.
fn block(content: &[u8], sink: &Sink) -> Result<Child> {
    let cid = cid_of(&digest_32(Hash::Blake3, content));
    sink.put_many(&[(&cid, content)])?;
    Ok(Child { cid, file_bytes: content.len() as u64, dag_bytes: content.len() as u64 })
}

/// Reads until `room` is full or the input ends: how many bytes.
fn fill(input: &mut impl Read, room: &mut [u8]) -> std::io::Result<usize> {
    let mut used = 0;
    while let Some(rest) = room.get_mut(used..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(n) => used += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(used)
}
