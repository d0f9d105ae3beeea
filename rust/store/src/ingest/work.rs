//! The workers: read, cut, hash many chunks at once, put them with one write.
//!
//! Buffers are made once a worker and reused: one for small files side by side, one for a segment of a large file.

use super::assemble::finish_file;
use super::job::{DataJob, FileJob, Item, Job, LargeFile, Message, Queue, Segment};
use super::place::Place;
use super::source::kept_metadata;
use super::{AddOptions, EntryKind, Sink, blob, stream};
use crate::error::{Error, Result};
use crate::group_list::GroupList;
use crate::operation::Operation;
use crate::queue::Work;
use shoal_core::Cid;
use shoal_core::bao;
use shoal_core::chunk::{Chunker, segment};
use shoal_core::cid::codec;
use shoal_core::hash::{self, Hash};
use shoal_core::unixfs::profile::Layout;
use shoal_core::unixfs::{Child, Metadata, Profile, encode_leaf};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Files up to this many bytes are read whole, several side by side, by one worker; larger ones are shared between all.
const SMALL_FILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Room for small files read side by side: fills 16 hash lanes, stays in a second-level cache with what is written.
const SMALL_FILES_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes a worker holds of a large file at once.
const SEGMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a segment where the content decides where it is cut.
const CUT_SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// Takes jobs until there are none. The first error ends everything: the assembler gets it and stops the queue.
pub(super) fn run(options: &AddOptions, operation: &Operation, queue: &Queue, sink: &Sink, sender: &Sender<Message>) {
    let mut worker =
        Worker { options, operation, queue, sender, hasher: LeafHasher::new(&options.profile, sink), small: None, segment: Vec::new() };
    while let Some(work) = queue.next() {
        let done = operation.check().and_then(|()| match work {
            Work::Segment(large, segment) => worker.segment(&large, segment),
            Work::Job(job) => {
                let _done = queue.done_on_drop();
                match job {
                    Job::Files(files) => worker.files(files),
                    Job::Data(data) => worker.data(data),
                }
            }
        });
        if let Err(error) = done {
            // The receiver is gone only when it has an error already.
            let _ = sender.send(Message::Failed(error));
            return;
        }
    }
}

/// A small file in the shared buffer, waiting to be hashed with its neighbours.
struct Gathered {
    sequence: u64,
    name: Vec<u8>,
    metadata: Metadata,
    /// Where it is, if it is to stay there.
    place: Option<Place>,
    /// Its chunks' places in the buffer.
    chunks: Vec<Range<usize>>,
}

struct Small {
    buffer: Box<[u8]>,
    used: usize,
    files: Vec<Gathered>,
}

struct Worker<'a> {
    options: &'a AddOptions,
    operation: &'a Operation,
    queue: &'a Queue,
    sender: &'a Sender<Message>,
    hasher: LeafHasher<'a>,
    small: Option<Small>,
    segment: Vec<u8>,
}

impl Worker<'_> {
    fn send(&self, message: Message) -> Result<()> {
        self.sender.send(message).map_err(|_| Error::Cancelled)
    }

    fn files(&mut self, files: Vec<FileJob>) -> Result<()> {
        for job in files {
            self.operation.check()?;
            self.file(job)?;
        }
        self.flush()
    }

    fn file(&mut self, job: FileJob) -> Result<()> {
        let mut file = open_source(&job.path, self.options.dereference_symlinks)?;
        let about = file.metadata().map_err(|e| Error::source("cannot read", &job.path, e))?;
        let metadata = kept_metadata(self.options, &about);
        self.operation.name_current(&job.path.display());
        let place = if self.hasher.sink.is_referring() { Some(Place::of(&job.path, &file)?) } else { None };
        if about.len() > SMALL_FILE_BYTES_MAX as u64 {
            return self.large(job, file, about.len(), metadata, place);
        }
        let expected = usize::try_from(about.len()).unwrap_or(SMALL_FILE_BYTES_MAX);
        if self.small.as_ref().is_some_and(|small| small.used + expected >= small.buffer.len()) {
            self.flush()?;
        }
        let small = self.small.get_or_insert_with(|| Small { buffer: vec![0; SMALL_FILES_BYTES].into(), used: 0, files: Vec::new() });
        let start = small.used;
        let room = small.buffer.get_mut(start..).unwrap_or_default();
        let Some(length) = read_to_end(&mut file, room).map_err(|e| Error::source("cannot read", &job.path, e))? else {
            // It says it is small, and is not: a growing file, or one of /proc. Read it as a stream, from its beginning.
            if place.is_some() {
                return Err(Error::SourceChanged { path: job.path });
            }
            let again = open_source(&job.path, self.options.dereference_symlinks)?;
            return self.stream(job, again, metadata);
        };
        if let Some(place) = &place {
            place.check(&file)?;
        }
        let content = small.buffer.get(start..start + length).unwrap_or_default();
        let chunks = match self.options.profile.layout {
            // A file of this size is one block.
            Layout::Blob => std::iter::once(start..start + length).collect(),
            Layout::Balanced | Layout::Trickle => cut(&self.options.profile.chunker, content, start),
        };
        small.used += length;
        small.files.push(Gathered { sequence: job.sequence, name: job.name, metadata, place, chunks });
        Ok(())
    }

    /// Hashes and puts the small files gathered so far.
    fn flush(&mut self) -> Result<()> {
        let Some(small) = &mut self.small else { return Ok(()) };
        let mut inputs = Vec::new();
        for file in &small.files {
            let only = (file.chunks.len() == 1).then_some(&file.metadata);
            inputs.extend(file.chunks.iter().map(|range| (small.buffer.get(range.clone()).unwrap_or_default(), only)));
        }
        let leaves = self.hasher.put(&inputs)?;
        let mut leaves = leaves.into_iter();
        let mut blocks = Vec::new();
        let mut done = Vec::with_capacity(small.files.len());
        for file in small.files.drain(..) {
            let own: Vec<Child> = leaves.by_ref().take(file.chunks.len()).collect();
            if let Some(place) = &file.place {
                place.refer(self.hasher.sink, 0, &own)?;
            }
            let child = finish_file(&self.options.profile, file.metadata, own.into_iter(), &mut blocks);
            done.push((file.sequence, file.name, child));
        }
        let used = std::mem::take(&mut small.used);
        self.hasher.put_nodes(&blocks)?;
        self.operation.add_bytes(used as u64);
        self.operation.add_files(done.len() as u64);
        for (sequence, name, child) in done {
            self.send(Message::Item { sequence, item: Item::Entry { name, child, kind: EntryKind::File } })?;
        }
        Ok(())
    }

    fn large(&mut self, job: FileJob, file: File, bytes: u64, metadata: Metadata, place: Option<Place>) -> Result<()> {
        if self.options.profile.layout == Layout::Blob {
            let blob = blob::BlobFile::new(job.name.clone(), &job.path, bytes, self.hasher.sink)?;
            self.queue.offer(LargeFile::blob(job, file, bytes, blob));
            return Ok(());
        }
        self.send(Message::Opened { sequence: job.sequence, name: job.name.clone(), metadata })?;
        self.queue.offer(LargeFile::new(job, file, bytes, &self.options.profile, place));
        Ok(())
    }

    fn segment(&mut self, large: &LargeFile, segment: Segment) -> Result<()> {
        if let Some(file) = &large.blob {
            let done = blob::piece(large, file, segment.index, &mut self.segment, self.hasher.sink, self.operation)?;
            return done.map_or(Ok(()), |message| self.send(message));
        }
        let chunker = self.options.profile.chunker;
        let offset = segment.index * large.segment_bytes as u64;
        let left = usize::try_from(large.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let until = left.min(large.segment_bytes);
        // The last chunk that begins in the segment may end in the next.
        let over = if segment.turn.is_some() { chunker.chunk_bytes_max() } else { 0 };
        let length = left.min(large.segment_bytes + over);
        if self.segment.len() < length {
            self.segment.resize(length, 0);
        }
        let buffer = self.segment.get_mut(..length).unwrap_or_default();
        large.file.read_exact_at(buffer, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::SourceChanged { path: large.path.clone() },
            _ => Error::source("cannot read", &large.path, e),
        })?;
        let at_end = length == left;
        let (start, ends) = match segment.turn {
            None => (0, segment::cuts(&chunker, buffer, 0, until, at_end)),
            Some(turn) => {
                // While others cut, a guess costs nothing.
                let guess = if turn.has_come() { Vec::new() } else { segment::cuts(&chunker, buffer, 0, until, at_end) };
                // Who dropped the baton has said why.
                let Some(start) = turn.wait() else { return Ok(()) };
                let start = usize::try_from(start.saturating_sub(offset)).unwrap_or(length);
                let ends = segment::cuts_until_met(&chunker, buffer, start, until, at_end, &guess);
                turn.pass(offset + ends.last().copied().unwrap_or(start) as u64);
                (start, ends)
            }
        };
        let starts = std::iter::once(start).chain(ends.iter().copied());
        let inputs: Vec<_> = starts.zip(&ends).map(|(start, &end)| (buffer.get(start..end).unwrap_or_default(), None)).collect();
        let leaves = self.hasher.put(&inputs)?;
        if let Some(place) = &large.place {
            place.refer(self.hasher.sink, offset + start as u64, &leaves)?;
            if large.is_last_to_end() {
                place.check(&large.file)?;
            }
        }
        let last = segment.index + 1 == large.segments;
        self.operation.add_bytes((ends.last().copied().unwrap_or(start) - start) as u64);
        self.operation.add_files(u64::from(last));
        self.send(Message::Leaves { sequence: large.sequence, segment: segment.index, leaves, last })
    }

    /// A file of unknown length: one worker reads it from front to end.
    fn stream(&mut self, job: FileJob, mut file: File, metadata: Metadata) -> Result<()> {
        self.flush()?;
        if self.options.profile.layout == Layout::Blob {
            let failed = |e| Error::source("cannot read", &job.path, e);
            return self.send(blob::stream(job.sequence, job.name, &mut file, failed, self.hasher.sink, self.operation)?);
        }
        self.send(Message::Opened { sequence: job.sequence, name: job.name, metadata })?;
        let cannot_read = |e| Error::source("cannot read", &job.path, e);
        let mut cutter = stream::Segments::new(&self.options.profile);
        let mut segment = 0;
        loop {
            self.operation.check()?;
            let (buffer, cuts, last) = cutter.next(&mut file).map_err(cannot_read)?;
            self.data(DataJob { sequence: job.sequence, segment, metadata, buffer, cuts, last })?;
            if last {
                return Ok(());
            }
            segment += 1;
        }
    }

    fn data(&mut self, job: DataJob) -> Result<()> {
        let only = (job.last && job.segment == 0 && job.cuts.len() == 1).then_some(&job.metadata);
        let mut rest = job.buffer.as_slice();
        let mut inputs = Vec::with_capacity(job.cuts.len());
        for &length in &job.cuts {
            let (chunk, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            inputs.push((chunk, only));
            rest = after;
        }
        let leaves = self.hasher.put(&inputs)?;
        self.operation.add_bytes(job.cuts.iter().sum::<usize>() as u64);
        self.operation.add_files(u64::from(job.last));
        self.send(Message::Leaves { sequence: job.sequence, segment: job.segment, leaves, last: job.last })
    }
}

/// How many bytes to cut and hash together: whole chunks where all have one size, as many as fill the lanes, within the worker's
/// memory.
pub(super) fn segment_bytes(profile: &Profile) -> usize {
    let Chunker::Size(chunk_bytes) = profile.chunker else {
        return CUT_SEGMENT_BYTES.max(2 * profile.chunker.chunk_bytes_max());
    };
    let chunk_bytes = chunk_bytes as usize;
    // Small chunks are taken by the megabyte whatever the hash, so that each write is a large one.
    let by_bytes = (1024 * 1024usize).div_ceil(chunk_bytes.max(1));
    let by_lanes = hash::lanes(profile.hash);
    chunk_bytes * by_bytes.max(by_lanes).min((SEGMENT_BYTES_MAX / chunk_bytes.max(1)).max(1))
}

/// Opens a file to add. A link that took the file's place after the walk saw it is not followed.
fn open_source(path: &Path, follow: bool) -> Result<File> {
    let no_follow = if follow { 0 } else { rustix::fs::OFlags::NOFOLLOW.bits() };
    OpenOptions::new().read(true).custom_flags(no_follow.cast_signed()).open(path).map_err(|e| Error::source("cannot open", path, e))
}

/// Reads a file into `room`. None when it does not end there.
fn read_to_end(file: &mut File, room: &mut [u8]) -> std::io::Result<Option<usize>> {
    let mut used = 0;
    loop {
        let Some(rest) = room.get_mut(used..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
        match file.read(rest) {
            Ok(0) => return Ok(Some(used)),
            Ok(n) => used += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The chunks of a whole file that stands at `start` of a buffer. An empty file is one empty chunk.
fn cut(chunker: &Chunker, content: &[u8], start: usize) -> Vec<Range<usize>> {
    if content.len() <= 1 {
        return std::iter::once(start..start + content.len()).collect();
    }
    let mut cutter = chunker.cutter();
    let mut chunks = Vec::new();
    let mut at = 0;
    while let Some(length) = content.get(at..).filter(|rest| !rest.is_empty()).and_then(|rest| cutter.cut(rest, true)) {
        chunks.push(start + at..start + at + length);
        at += length;
    }
    chunks
}

/// Turns chunks into leaf blocks, hashes them together and puts them with one call.
struct LeafHasher<'a> {
    profile: &'a Profile,
    sink: &'a Sink,
    encoded: Vec<u8>,
}

impl<'a> LeafHasher<'a> {
    fn new(profile: &'a Profile, sink: &'a Sink) -> Self {
        Self { profile, sink, encoded: Vec::new() }
    }

    fn put_nodes(&self, blocks: &[shoal_core::unixfs::Block]) -> Result<()> {
        put_blocks(self.sink, blocks)
    }

    /// The leaves of `chunks`, each with its file's metadata where it is the only leaf of that file.
    fn put(&mut self, chunks: &[(&[u8], Option<&Metadata>)]) -> Result<Vec<Child>> {
        // A leaf that is a whole file may have to be a node: to carry metadata, or as the root of a trickle tree.
        let is_plain = |only: Option<&Metadata>| only.is_none_or(|metadata| metadata.is_empty() && self.profile.layout != Layout::Trickle);
        if self.profile.raw_leaves && chunks.iter().all(|&(_, only)| is_plain(only)) {
            let blocks: Vec<(u64, &[u8])> = chunks.iter().map(|&(chunk, _)| (codec::RAW, chunk)).collect();
            let files: Vec<u64> = chunks.iter().map(|(chunk, _)| chunk.len() as u64).collect();
            return self.put_encoded(&blocks, &files);
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        let mut places = Vec::with_capacity(chunks.len());
        for &(chunk, only) in chunks {
            let start = encoded.len();
            let leaf_codec = encode_leaf(self.profile, chunk, only, &mut encoded);
            places.push((leaf_codec, start..encoded.len()));
        }
        let blocks: Vec<(u64, &[u8])> =
            places.into_iter().map(|(leaf_codec, range)| (leaf_codec, encoded.get(range).unwrap_or_default())).collect();
        let files: Vec<u64> = chunks.iter().map(|(chunk, _)| chunk.len() as u64).collect();
        let leaves = self.put_encoded(&blocks, &files);
        self.encoded = encoded;
        leaves
    }

    fn put_encoded(&self, blocks: &[(u64, &[u8])], file_bytes: &[u64]) -> Result<Vec<Child>> {
        // Constant bytes are cut into equal blocks in a row: comparing them is cheaper than hashing them.
        let runs: Vec<_> = blocks.chunk_by(|a, b| a == b).collect();
        let distinct: Vec<(u64, &[u8])> = runs.iter().filter_map(|run| run.first().copied()).collect();
        let cids = match self.sink {
            Sink::Store { is_referring: false, .. } if self.profile.hash == Hash::Blake3 && self.profile.inline_bytes_max == 0 => {
                let (cids, lists) = cids_and_lists(self.profile, &distinct);
                self.sink.note_lists(lists);
                cids
            }
            Sink::Store { .. } | Sink::HashOnly => cids(self.profile, &distinct),
        };
        let new: Vec<(&Cid, &[u8])> = cids.iter().zip(&distinct).map(|(cid, &(_, block))| (cid, block)).collect();
        self.sink.put_leaves(&new)?;
        let cids = runs.iter().zip(&cids).flat_map(|(run, cid)| std::iter::repeat_n(cid, run.len()));
        Ok(cids
            .zip(blocks)
            .zip(file_bytes)
            .map(|((cid, (_, block)), &file_bytes)| Child { cid: cid.clone(), file_bytes, dag_bytes: block.len() as u64 })
            .collect())
    }
}

/// Names blocks, many at a time where the hash allows.
fn cids(profile: &Profile, blocks: &[(u64, &[u8])]) -> Vec<Cid> {
    if !matches!(profile.hash, Hash::Sha256 | Hash::Blake3) || profile.inline_bytes_max > 0 {
        return blocks.iter().map(|&(codec, block)| profile.cid(codec, block)).collect();
    }
    let inputs: Vec<&[u8]> = blocks.iter().map(|&(_, block)| block).collect();
    let mut digests = vec![[0; 32]; blocks.len()];
    hash::digest_many(profile.hash, &inputs, &mut digests);
    blocks.iter().zip(&digests).map(|(&(codec, block), digest)| profile.cid_of_digest(codec, digest, block)).collect()
}

/// Names blocks by BLAKE3, and gives the values of their groups, which are made on the way.
fn cids_and_lists(profile: &Profile, blocks: &[(u64, &[u8])]) -> (Vec<Cid>, Vec<Arc<GroupList>>) {
    let mut lists = Vec::new();
    let mut values = Vec::new();
    let mut cid = |&(codec, block): &(u64, &[u8])| {
        values.clear();
        let digest = bao::hash(block, &mut values);
        let cid = profile.cid_of_digest(codec, &digest, block);
        lists.extend(GroupList::of_hashed(&cid, &values).map(Arc::new));
        cid
    };
    let cids = blocks.iter().map(&mut cid).collect();
    (cids, lists)
}

/// Puts finished inner nodes.
pub(super) fn put_blocks(sink: &Sink, blocks: &[shoal_core::unixfs::Block]) -> Result<()> {
    let new: Vec<(&Cid, &[u8])> = blocks.iter().map(|block| (&block.cid, block.data.as_slice())).collect();
    sink.put_many(&new)
}
