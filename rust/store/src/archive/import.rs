//! Taking in an archive from a stream. The caller's thread reads and cuts, workers verify and store.

use crate::error::{Error, Result};
use crate::inner::locked;
use crate::meta::{Pin, PinKind};
use crate::operation::Operation;
use crate::queue::{Queue, Shared, Work};
use crate::session::{PutCount, Session};
use crate::store::Store;
use crate::walk::{WalkOptions, walk};
use shoal_core::Cid;
use shoal_core::car::{CarError, v1, v2};
use shoal_core::hash::{self, VerifyError};
use shoal_core::limits::{CAR_HEADER_BYTES_MAX, CAR_SECTION_BYTES_MAX, VARINT_BYTES_MAX};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Pin the archive's roots recursively. Then all that is under them must be there, in the archive or in the store.
    pub pin_roots: bool,
    /// What to call the pins. None leaves names that are there already.
    pub pin_name: Option<String>,
}

/// What was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Roots that the archive names, in its order.
    pub roots: Vec<Cid>,
    /// Blocks in the archive, repeats and those of identity CIDs too.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Blocks that were not in the store.
    pub new_blocks: u64,
    /// Their lengths together, in bytes.
    pub new_bytes: u64,
}

/// Bytes of the archive verified together: sixteen blocks of 1 MiB fill the widest SHA-256.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Room for a batch and the beginning of the section behind it.
const BUFFER_BYTES: usize = BATCH_BYTES + SECTION_BYTES;
/// A buffer of this size holds any section.
const SECTION_BYTES: usize = CAR_SECTION_BYTES_MAX + VARINT_BYTES_MAX;
/// Bytes read at a time where nothing is verified.
const SKIP_BYTES: usize = 64 * 1024;
/// Workers, each with a buffer. More would outrun any input.
const WORKERS_MAX: usize = 4;

/// Takes in a CARv1 or CARv2 from its beginning to the end of the input.
///
/// All or nothing: a block that does not match its CID, an archive that is cut or malformed, a section over the limit, a missing
/// block under a root to be pinned: then the store is as before (car §3.4 has the one exception). The index of a CARv2 is not used.
/// When this returns, everything is durable.
pub fn import_car(store: &Store, input: &mut dyn Read, options: &ImportOptions, operation: &Operation) -> Result<Imported> {
    import_car_of(store, input, None, options, operation)
}

/// As [`import_car`], of an archive of so many bytes, where that is known: under a quota, room is made for so many.
pub fn import_car_of(
    store: &Store,
    input: &mut dyn Read,
    bytes: Option<u64>,
    options: &ImportOptions,
    operation: &Operation,
) -> Result<Imported> {
    crate::pinning::check_name(options.pin_name.as_deref())?;
    crate::quota::make_room_for_stream(store, bytes, operation)?;
    let session = store.write()?;
    let before: BTreeMap<u32, u64> = store.packs()?.into_iter().map(|stat| (stat.pack, stat.bytes)).collect();
    let result = take_in(store, &session, input, options, operation);
    match result {
        Ok(imported) => {
            session.commit()?;
            Ok(imported)
        }
        Err(error) => {
            // The reason for the failure is what the caller must hear; what cannot be taken back now is left to the collector.
            let _ = take_back(store, session, &before);
            Err(error)
        }
    }
}

fn take_in(store: &Store, session: &Session, input: &mut dyn Read, options: &ImportOptions, operation: &Operation) -> Result<Imported> {
    let mut archive = Archive::open(input)?;
    let mut imported = store_blocks(session, &mut archive, operation)?;
    imported.roots = archive.roots;
    pin_roots(store, session, &imported.roots, options, operation)?;
    Ok(imported)
}

/// car §3.2: pins the roots where that was asked for, and else notes that they were used.
pub(super) fn pin_roots(store: &Store, session: &Session, roots: &[Cid], options: &ImportOptions, operation: &Operation) -> Result<()> {
    if options.pin_roots {
        // A root named twice is one pin.
        walk(session, roots, WalkOptions::default(), &Operation::new(), &mut |_| operation.check())?;
        for cid in roots {
            let old_name = store.pin(cid)?.and_then(|pin| pin.name);
            let name = options.pin_name.clone().or(old_name);
            session.pin(Pin { cid: cid.clone(), kind: PinKind::Recursive, name })?;
        }
    } else {
        for (cid, is_here) in roots.iter().zip(session.has_many(roots)?) {
            if is_here {
                session.used_now(cid)?;
            }
        }
    }
    Ok(())
}

/// car §3.4: undoes what was put. Packs that were sealed on the way are committed already, and are given up again, unless another session
/// of this process may rely on a block it found in them.
pub(super) fn take_back(store: &Store, session: Session, before: &BTreeMap<u32, u64>) -> Result<()> {
    if !session.take_over_alone() {
        return Ok(());
    }
    for stat in store.packs()? {
        match before.get(&stat.pack) {
            None => session.retire(stat.pack)?,
            Some(&bytes) if stat.bytes > bytes => {
                let mut added = Vec::new();
                for entry in store.pack_entries(stat.pack)? {
                    let entry = entry?;
                    if entry.offset >= bytes {
                        added.push(entry.cid);
                    }
                }
                session.delete(&added)?;
            }
            Some(_) => {}
        }
    }
    session.commit()
}

/// Gives every section of an archive to `each`, in order and unverified.
pub(crate) fn scan(path: &Path, operation: &Operation, each: &mut dyn FnMut(&Cid, &[u8]) -> Result<()>) -> Result<()> {
    let mut input = std::fs::File::open(path).map_err(|e| Error::io("opening", path, e))?;
    let mut archive = Archive::open(&mut input)?;
    let mut buffer = Vec::new();
    loop {
        operation.check()?;
        let batch = archive.next_batch(buffer)?;
        if batch.sections.is_empty() {
            return Ok(());
        }
        for (cid, range) in &batch.sections {
            each(cid, batch.bytes.get(range.clone()).unwrap_or_default())?;
        }
        buffer = batch.bytes;
    }
}

/// A piece of the archive, cut into sections.
struct Batch {
    bytes: Vec<u8>,
    sections: Vec<(Cid, Range<usize>)>,
}

/// Batches are not shared further.
pub(super) enum Undivided {}

impl Shared for Undivided {
    type Segment = ();

    fn claim(&self) -> Option<()> {
        None
    }
}

/// What the workers found together.
#[derive(Default)]
struct Tally {
    count: PutCount,
    error: Option<Error>,
}

fn store_blocks(session: &Session, archive: &mut Archive<'_>, operation: &Operation) -> Result<Imported> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(WORKERS_MAX);
    let queue: Queue<Batch, Undivided> = Queue::new(1);
    let tally = Mutex::new(Tally::default());
    // Bounds what is in memory: a buffer for each worker, one that waits and one that is being filled.
    let (give_back, spare) = channel();
    let mut imported = Imported::default();
    let read = std::thread::scope(|scope| {
        for _ in 0..workers + 2 {
            let _ = give_back.send(Vec::new());
        }
        let _close = queue.close_on_drop();
        for _ in 0..workers {
            let give_back = give_back.clone();
            let (queue, tally) = (&queue, &tally);
            scope.spawn(move || check_and_put(session, queue, tally, &give_back, operation));
        }
        drop(give_back);
        let read = cut(archive, &queue, &spare, &mut imported, operation);
        if read.is_err() {
            queue.stop();
        }
        read
    });
    let tally = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = tally.error {
        return Err(error);
    }
    read?;
    (imported.new_blocks, imported.new_bytes) = (tally.count.new_blocks, tally.count.new_bytes);
    Ok(imported)
}

fn cut(
    archive: &mut Archive<'_>,
    queue: &Queue<Batch, Undivided>,
    spare: &Receiver<Vec<u8>>,
    imported: &mut Imported,
    operation: &Operation,
) -> Result<()> {
    loop {
        operation.check()?;
        // Nobody gives buffers back any more: the workers are gone, and have said why.
        let Ok(buffer) = spare.recv() else { return Err(Error::Cancelled) };
        let batch = archive.next_batch(buffer)?;
        if batch.sections.is_empty() {
            return Ok(());
        }
        imported.blocks += batch.sections.len() as u64;
        imported.bytes += batch.sections.iter().map(|(_, range)| range.len() as u64).sum::<u64>();
        if !queue.push(batch) {
            return Err(Error::Cancelled);
        }
    }
}

fn check_and_put(
    session: &Session,
    queue: &Queue<Batch, Undivided>,
    tally: &Mutex<Tally>,
    give_back: &Sender<Vec<u8>>,
    operation: &Operation,
) {
    while let Some(Work::Job(batch)) = queue.next() {
        let _done = queue.done_on_drop();
        match put_batch(session, &batch, operation) {
            Ok(count) => {
                let mut tally = locked(tally);
                tally.count.new_blocks += count.new_blocks;
                tally.count.new_bytes += count.new_bytes;
            }
            Err(error) => {
                locked(tally).error.get_or_insert(error);
                queue.stop();
                return;
            }
        }
        // Nobody takes it at the end of the archive.
        let _ = give_back.send(batch.bytes);
    }
}

/// Fails with the first block that does not match its CID.
pub(super) fn check_hashes(blocks: &[(&Cid, &[u8])]) -> Result<()> {
    let mut failures = Vec::new();
    hash::verify_many(blocks, &mut failures);
    let Some((cid, data)) = failures.first().and_then(|&at| blocks.get(at)) else { return Ok(()) };
    let cid = (*cid).clone();
    Err(match hash::verify(&cid, data) {
        Err(VerifyError::UnknownHash(_)) => Error::UnsupportedHash { cid },
        Err(VerifyError::Mismatch) | Ok(()) => Error::ArchiveBlock { cid },
    })
}

fn put_batch(session: &Session, batch: &Batch, operation: &Operation) -> Result<PutCount> {
    operation.check()?;
    let blocks: Vec<(&Cid, &[u8])> =
        batch.sections.iter().map(|(cid, range)| (cid, batch.bytes.get(range.clone()).unwrap_or_default())).collect();
    check_hashes(&blocks)?;
    let count = session.put_many(&blocks)?;
    operation.add_bytes(blocks.iter().map(|(_, data)| data.len() as u64).sum());
    operation.add_files(blocks.len() as u64);
    Ok(count)
}

/// An archive behind its header, being read.
struct Archive<'a> {
    input: &'a mut dyn Read,
    roots: Vec<Cid>,
    /// Read and not yet cut.
    rest: Vec<u8>,
    /// Bytes of the archive that were read.
    position: u64,
    /// How much the next batch may be: little at first, for small archives are many.
    buffer_bytes: usize,
    /// car §2.1: where the data end and what comes behind them; version 1 ends where its input does.
    wrapper: Option<v2::Header>,
}

impl<'a> Archive<'a> {
    fn open(input: &'a mut dyn Read) -> Result<Self> {
        let mut archive = Self { input, roots: Vec::new(), rest: Vec::new(), position: 0, buffer_bytes: SECTION_BYTES, wrapper: None };
        archive.read_more(v2::PRAGMA.len())?;
        if archive.rest == v2::PRAGMA {
            archive.rest.clear();
            // No byte more than needed, until it is known where the data ends.
            archive.read_more(v2::HEADER_BYTES)?;
            let header = archive.rest.first_chunk().ok_or(CarError::Truncated).and_then(v2::Header::parse)?;
            archive.skip_to(header.data_offset)?;
            archive.wrapper = Some(header);
        }
        archive.read_header()?;
        Ok(archive)
    }

    fn read_header(&mut self) -> Result<()> {
        loop {
            match v1::read_header(&self.rest, CAR_HEADER_BYTES_MAX) {
                Ok((roots, used)) => {
                    self.roots = roots;
                    self.rest.drain(..used);
                    return Ok(());
                }
                Err(CarError::Truncated) if self.read_more(SKIP_BYTES)? > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where the input may be read to, by what version 2 says of its data.
    fn data_left(&self) -> u64 {
        self.wrapper.as_ref().map_or(u64::MAX, |header| header.data_end().saturating_sub(self.position))
    }

    /// Reads up to `bytes` more into `rest`, within the data: how many; 0 at the end.
    fn read_more(&mut self, bytes: usize) -> Result<usize> {
        let mut buffer = std::mem::take(&mut self.rest);
        let from = buffer.len();
        buffer.resize(from + bytes, 0);
        let read = self.fill(&mut buffer, from);
        buffer.truncate(from + read.as_ref().map_or(0, |n| *n));
        self.rest = buffer;
        read
    }

    /// Fills `buffer` from `from` on, as far as the data goes: how many bytes.
    fn fill(&mut self, buffer: &mut [u8], from: usize) -> Result<usize> {
        let mut filled = from;
        loop {
            let left = usize::try_from(self.data_left()).unwrap_or(usize::MAX);
            let end = buffer.len().min(filled.saturating_add(left));
            let Some(room) = buffer.get_mut(filled..end).filter(|room| !room.is_empty()) else { break };
            match self.input.read(room) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    self.position += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Stream(e)),
            }
        }
        Ok(filled - from)
    }

    /// Leaves out everything up to an offset in the archive.
    fn skip_to(&mut self, offset: u64) -> Result<()> {
        self.rest.clear();
        while self.position < offset {
            let step = usize::try_from(offset - self.position).map_or(SKIP_BYTES, |left| left.min(SKIP_BYTES));
            if self.read_more(step)? == 0 {
                return Err(CarError::Truncated.into());
            }
            self.rest.clear();
        }
        Ok(())
    }

    /// The next sections, some 16 MiB of them; none at the end of the archive.
    fn next_batch(&mut self, mut buffer: Vec<u8>) -> Result<Batch> {
        buffer.resize(self.buffer_bytes.max(self.rest.len()), 0);
        self.buffer_bytes = BUFFER_BYTES.min(2 * self.buffer_bytes);
        let from = self.rest.len();
        if let Some(front) = buffer.get_mut(..from) {
            front.copy_from_slice(&self.rest);
        }
        self.rest.clear();
        let read = self.fill(&mut buffer, from)?;
        let filled = from + read;
        let is_end = filled < buffer.len();
        let mut sections = Vec::new();
        let mut at = 0;
        loop {
            let bytes = buffer.get(at..filled).unwrap_or_default();
            if bytes.is_empty() || at >= BATCH_BYTES {
                break;
            }
            match v1::parse_section(bytes) {
                Ok(section) => {
                    let data = at + section.data_range.start..at + section.data_range.end;
                    sections.push((section.cid, data));
                    at += section.total_len;
                }
                Err(CarError::Truncated) if !is_end => break,
                Err(CarError::Truncated) if self.wrapper.is_some() && self.data_left() == 0 => {
                    return Err(CarError::Layout("a section reaches over the end of the data").into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.rest.extend_from_slice(buffer.get(at..filled).unwrap_or_default());
        if sections.is_empty() {
            self.finish()?;
        }
        Ok(Batch { bytes: buffer, sections })
    }

    /// Reads what stands behind the data of a version 2, and throws it away (car §2.6).
    fn finish(&mut self) -> Result<()> {
        let Some(header) = self.wrapper.take() else { return Ok(()) };
        if self.position < header.data_end() {
            return Err(CarError::Truncated.into());
        }
        while self.read_more(SKIP_BYTES)? > 0 {
            self.rest.clear();
        }
        if header.index_offset != 0 && self.position <= header.index_offset {
            return Err(CarError::Truncated.into());
        }
        Ok(())
    }
}
