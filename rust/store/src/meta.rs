//! The journal of the store: which packs there are, how much of each is committed, what is dead, what is pinned.
//!
//! One record is one transaction. Records form a chain of checksums, so a crash leaves a prefix, and damage in the middle is told
//! from a torn end. Readers need no lock: they read on from where they stopped, or from the start when the file was replaced.
//! Format: docs/formats/meta.md; the numbers in comments are its paragraphs.

use crate::disk::{Disk, DiskFile, Identity, read_to_end, write_all_at};
use crate::error::{Error, Result};
use shoal_core::Cid;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod contents;
mod op;

pub(crate) use contents::{Contents, PackRecord};
use op::Payload;
pub(crate) use op::{Op, References};

/// §2: the first bytes of the file.
const MAGIC: &[u8; 8] = b"shoalmet";
const VERSION: u32 = 1;
/// §2: magic, version, zero, generation, checksum.
pub(crate) const HEADER_BYTES: usize = 32;
/// §3: length and checksum in front of a payload.
const RECORD_HEADER_BYTES: usize = 12;
/// §3: longest payload. Ten million deletions in one commit are some 30 MB.
const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// §7: a journal smaller than this is never rewritten, unless [`crate::Options`] say otherwise.
pub(crate) const COMPACT_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// §7: a snapshot is cut into records of about this size.
const SNAPSHOT_RECORD_BYTES: usize = 1024 * 1024;
/// Longest name of a pin, in bytes (Kubo: the same).
pub const PIN_NAME_BYTES_MAX: usize = 255;

/// Truncated BLAKE3, enough against accidents; nobody hostile writes this file.
pub(crate) type Check = [u8; 8];

pub(crate) fn check(parts: &[&[u8]]) -> Check {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut out = [0; 8];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// What a pin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PinKind {
    /// The block and everything it links to.
    Recursive,
    /// The block alone.
    Direct,
}

/// "Keep this DAG."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The root.
    pub cid: Cid,
    /// How much of it.
    pub kind: PinKind,
    /// What a person calls it, at most 255 bytes.
    pub name: Option<String>,
}

fn header(generation: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    let sum = check(&[&bytes]);
    bytes.extend_from_slice(&sum);
    bytes.try_into().unwrap_or([0; HEADER_BYTES])
}

/// §3: appends a record to `out`; the checksum that the next one starts from.
fn write_record(payload: &[u8], chain: Check, out: &mut Vec<u8>) -> Check {
    let sum = check(&[&chain, payload]);
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&sum);
    out.extend_from_slice(payload);
    sum
}

/// The payload and stored checksum of what would be a record at `at`, whether good or not.
fn record_at(bytes: &[u8], at: usize) -> Option<(&[u8], Check)> {
    let head = bytes.get(at..at.checked_add(RECORD_HEADER_BYTES)?)?;
    let (length, sum) = head.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > RECORD_BYTES_MAX {
        return None;
    }
    let start = at + RECORD_HEADER_BYTES;
    Some((bytes.get(start..start.checked_add(length)?)?, sum.try_into().ok()?))
}

fn good_record_at(bytes: &[u8], at: usize, chain: &Check) -> Option<(Vec<Op>, usize, Check)> {
    let (payload, sum) = record_at(bytes, at)?;
    if check(&[chain, payload]) != sum {
        return None;
    }
    Some((Payload(payload).ops()?, at + RECORD_HEADER_BYTES + payload.len(), sum))
}

/// §6: what stands after the last record that follows on from the ones before.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(crate) enum Tail {
    /// Nothing.
    Clean,
    /// The beginning of a record that was never finished, of this many bytes.
    Torn(u64),
    /// Bad bytes, and further on, here, a good record.
    Damaged { good_at: usize, chain: Check },
}

struct Parsed {
    ops: Vec<Op>,
    end: usize,
    last_start: Option<usize>,
    chain: Check,
    tail: Tail,
}

fn parse(bytes: &[u8], chain: Check) -> Parsed {
    let mut parsed = Parsed { ops: Vec::new(), end: 0, last_start: None, chain, tail: Tail::Clean };
    while let Some((ops, end, sum)) = good_record_at(bytes, parsed.end, &parsed.chain) {
        parsed.ops.extend(ops);
        parsed.last_start = Some(parsed.end);
        (parsed.end, parsed.chain) = (end, sum);
    }
    if parsed.end < bytes.len() {
        parsed.tail = match resume(bytes, parsed.end, parsed.chain) {
            Some((good_at, chain)) => Tail::Damaged { good_at, chain },
            None => Tail::Torn((bytes.len() - parsed.end) as u64),
        };
    }
    parsed
}

/// §6: a good record somewhere after the bad one at `bad`, and the checksum it starts from. Only one record can be torn by a
/// crash, since each is synced before the next is written; so a good one further on means damage.
fn resume(bytes: &[u8], bad: usize, chain: Check) -> Option<(usize, Check)> {
    // The checksum that the next record was chained to: as stored in the bad one, or as its payload should have had it.
    let mut chains = Vec::new();
    if let Some(stored) = bytes.get(bad + 4..bad + RECORD_HEADER_BYTES).and_then(|sum| sum.try_into().ok()) {
        chains.push(stored);
    }
    if let Some((payload, _)) = record_at(bytes, bad) {
        chains.push(check(&[&chain, payload]));
    }
    for at in bad + 1..bytes.len() {
        let Some((payload, stored)) = record_at(bytes, at) else { continue };
        if !matches!(payload.first(), Some(1..=15)) {
            continue;
        }
        if let Some(good) = chains.iter().find(|chain| check(&[*chain, payload]) == stored) {
            return Some((at, *good));
        }
        // Or any two records of which the second follows on from the first.
        let next = at + RECORD_HEADER_BYTES + payload.len();
        if let Some((payload, sum)) = record_at(bytes, next)
            && check(&[&stored, payload]) == sum
        {
            return Some((next, stored));
        }
    }
    None
}

/// The journal's file, and how far it has been read and written.
pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    identity: Identity,
    generation: u64,
    /// End of the last good record.
    end: u64,
    last_start: Option<u64>,
    chain: Check,
    /// Bytes of a record that was never finished, after `end`.
    pub torn: u64,
    /// Whether all of it is known to be on the disk, not only in the system's memory.
    pub is_synced: bool,
    compact_bytes_min: u64,
    compact_at: u64,
}

/// What [`Journal::refresh`] found.
pub(crate) enum News {
    /// Nothing.
    Nothing,
    /// Further records.
    More(Vec<Op>),
    /// The file was replaced: everything from the start.
    All(Contents),
}

impl Journal {
    /// Writes a journal that says `contents` under a temporary name, synced, and renames it into place.
    fn write_new(disk: &dyn Disk, path: &Path, contents: &Contents, generation: u64) -> Result<u64> {
        let temporary = path.with_extension("new");
        let failed = |what, e| Error::io(what, &temporary, e);
        let _ = disk.remove(&temporary);
        let file = disk.create(&temporary).map_err(|e| failed("creating", e))?;
        let mut bytes = header(generation).to_vec();
        let mut chain: Check = bytes.get(HEADER_BYTES - 8..).and_then(|sum| sum.try_into().ok()).unwrap_or_default();
        let mut payload = Vec::new();
        let mut at = 0;
        let mut flush = |bytes: &mut Vec<u8>| -> Result<()> {
            write_all_at(&*file, &mut [IoSlice::new(bytes)], at).map_err(|e| failed("writing", e))?;
            at += bytes.len() as u64;
            bytes.clear();
            Ok(())
        };
        for op in contents.snapshot() {
            op.write(&mut payload);
            if payload.len() >= SNAPSHOT_RECORD_BYTES {
                chain = write_record(&payload, chain, &mut bytes);
                payload.clear();
                flush(&mut bytes)?;
            }
        }
        if !payload.is_empty() {
            write_record(&payload, chain, &mut bytes);
        }
        flush(&mut bytes)?;
        file.sync_data().map_err(|e| failed("syncing", e))?;
        disk.rename(&temporary, path).map_err(|e| failed("renaming", e))?;
        Ok(at)
    }

    /// Makes the first journal of a store. The folder is not synced yet.
    pub fn create(disk: &dyn Disk, path: &Path, contents: &Contents) -> Result<()> {
        Self::write_new(disk, path, contents, 1).map(|_| ())
    }

    /// Opens and reads a journal. With `is_rebuilding`, damage in the middle is stepped over instead of reported.
    pub fn open(disk: &dyn Disk, path: &Path, writable: bool, is_rebuilding: bool) -> Result<(Self, Contents)> {
        let file = disk.open(path, writable).map_err(|e| Error::io("opening", path, e))?;
        let identity = file.identity().map_err(|e| Error::io("reading", path, e))?;
        let bytes = read_to_end(&*file, 0).map_err(|e| Error::io("reading", path, e))?;
        let damaged = |at: u64| {
            Error::Format(format!(
                "{} is damaged at byte {at}. The blocks are safe in packs/, but pins may be lost: restore the file from a backup, \
                 or open the store with rebuild_meta to keep what can be read",
                path.display()
            ))
        };
        let head = bytes.get(..HEADER_BYTES).ok_or_else(|| damaged(bytes.len() as u64))?;
        let (fields, sum) = head.split_at(HEADER_BYTES - 8);
        let version = head.get(8..12).and_then(|v| v.try_into().ok()).map_or(0, u32::from_le_bytes);
        if !head.starts_with(MAGIC) || check(&[fields]) != sum {
            return Err(damaged(0));
        }
        if version != VERSION {
            return Err(Error::Format(format!(
                "{} has version {version}, and this program knows version {VERSION}: use a newer one",
                path.display()
            )));
        }
        let generation = head.get(16..24).and_then(|v| v.try_into().ok()).map_or(0, u64::from_le_bytes);
        let chain = sum.try_into().unwrap_or_default();
        let mut journal = Self {
            path: path.to_owned(),
            file,
            identity,
            generation,
            end: HEADER_BYTES as u64,
            last_start: None,
            chain,
            torn: 0,
            is_synced: false,
            compact_bytes_min: COMPACT_BYTES_MIN,
            compact_at: COMPACT_BYTES_MIN,
        };
        let mut contents = Contents::default();
        let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
        loop {
            let parsed = parse(rest, journal.chain);
            for op in &parsed.ops {
                contents.apply(op);
            }
            journal.accept(&parsed);
            match parsed.tail {
                Tail::Damaged { good_at, chain } if is_rebuilding => {
                    rest = rest.get(good_at..).unwrap_or_default();
                    journal.end = (bytes.len() - rest.len()) as u64;
                    journal.chain = chain;
                }
                Tail::Damaged { .. } => return Err(damaged(journal.end)),
                Tail::Torn(_) | Tail::Clean => return Ok((journal, contents)),
            }
        }
    }

    /// Sets below what length it is never rewritten.
    pub fn set_compact_bytes_min(&mut self, bytes: u64) {
        (self.compact_bytes_min, self.compact_at) = (bytes, bytes);
    }

    /// Goes on with the file that is in this one's place now.
    fn reopen(&mut self, disk: &dyn Disk, writable: bool) -> Result<Contents> {
        let (journal, contents) = Self::open(disk, &self.path, writable, false)?;
        let bytes = self.compact_bytes_min;
        *self = journal;
        self.set_compact_bytes_min(bytes);
        Ok(contents)
    }

    fn accept(&mut self, parsed: &Parsed) {
        if let Some(start) = parsed.last_start {
            self.last_start = Some(self.end + start as u64);
            self.is_synced = false;
        }
        self.end += parsed.end as u64;
        self.chain = parsed.chain;
        self.torn = match parsed.tail {
            Tail::Torn(bytes) => bytes,
            Tail::Clean | Tail::Damaged { .. } => 0,
        };
    }

    /// Reads what others have written since. One `stat` when that is nothing.
    pub fn refresh(&mut self, disk: &dyn Disk, writable: bool) -> Result<News> {
        let now = disk.identity(&self.path).map_err(|e| Error::io("reading", &self.path, e))?;
        // Shorter than what was read: put back from somewhere, in place.
        if !now.is_same_file(&self.identity) || now.bytes < self.end {
            return Ok(News::All(self.reopen(disk, writable)?));
        }
        if now.bytes == self.end {
            self.torn = 0;
            return Ok(News::Nothing);
        }
        let bytes = read_to_end(&*self.file, self.end).map_err(|e| Error::io("reading", &self.path, e))?;
        let parsed = parse(&bytes, self.chain);
        if let Tail::Damaged { .. } = parsed.tail {
            // Say so with the words of `open`.
            Self::open(disk, &self.path, writable, false)?;
        }
        self.accept(&parsed);
        Ok(if parsed.ops.is_empty() { News::Nothing } else { News::More(parsed.ops) })
    }

    /// Called with the store's lock held: cuts a torn end, and makes sure that the last record will be on the disk with the next
    /// sync, even when an earlier sync of it failed and the system took its pages for clean. Returns the bytes cut.
    pub fn take_over(&mut self) -> Result<u64> {
        let failed = |e| Error::io("repairing", &self.path, e);
        let torn = self.torn;
        if torn > 0 {
            self.file.set_len(self.end).map_err(failed)?;
            self.torn = 0;
            self.is_synced = false;
        }
        if !self.is_synced
            && let Some(start) = self.last_start
        {
            let length = usize::try_from(self.end.saturating_sub(start)).unwrap_or(0);
            let mut record = vec![0; length.min(RECORD_BYTES_MAX + RECORD_HEADER_BYTES)];
            let n = crate::disk::read_full_at(&*self.file, &mut record, start).map_err(failed)?;
            write_all_at(&*self.file, &mut [IoSlice::new(record.get(..n).unwrap_or_default())], start).map_err(failed)?;
        }
        Ok(torn)
    }

    /// Appends one transaction and syncs it. `Err((_, true))` when nobody knows any more what is on the disk.
    pub fn append(&mut self, ops: &[Op]) -> std::result::Result<(), (Error, bool)> {
        let mut record = Vec::new();
        let mut chain = self.chain;
        if !ops.is_empty() {
            let mut payload = Vec::new();
            for op in ops {
                op.write(&mut payload);
            }
            if payload.len() > RECORD_BYTES_MAX {
                let text = format!("one commit would need {} bytes of metadata; commit in smaller parts", payload.len());
                return Err((Error::Format(text), false));
            }
            chain = write_record(&payload, chain, &mut record);
        }
        if let Err(e) = write_all_at(&*self.file, &mut [IoSlice::new(&record)], self.end) {
            let is_lost = self.file.set_len(self.end).is_err();
            return Err((Error::io("writing", &self.path, e), is_lost));
        }
        if let Err(e) = self.file.sync_data() {
            return Err((Error::io("syncing", &self.path, e), true));
        }
        self.is_synced = true;
        if !record.is_empty() {
            self.last_start = Some(self.end);
            self.end += record.len() as u64;
            self.chain = chain;
        }
        Ok(())
    }

    /// §7: rewrites the journal when it has grown to more than 4 MiB and twice its live content.
    pub fn compact_if_large(&mut self, disk: &dyn Disk, contents: &Contents) -> std::result::Result<(), (Error, bool)> {
        if self.end < self.compact_at {
            return Ok(());
        }
        let live = contents.live_bytes();
        if self.end < live.saturating_mul(2) {
            self.compact_at = live.saturating_mul(2).max(self.compact_bytes_min);
            return Ok(());
        }
        let compacted = self.compact(disk, contents);
        if compacted.is_err() {
            // Not at every commit again: a full disk may stay full.
            self.compact_at = self.end.saturating_mul(2);
        }
        compacted
    }

    /// Rewrites the journal to say just `contents`. `Err((_, true))` when the new one is in place and may not stay there.
    pub fn compact(&mut self, disk: &dyn Disk, contents: &Contents) -> std::result::Result<(), (Error, bool)> {
        let generation = self.generation.saturating_add(1);
        let bytes = Self::write_new(disk, &self.path, contents, generation).map_err(|e| {
            // A rename that fails may have happened all the same, and then this file is nobody's any more.
            let is_in_place = disk.identity(&self.path).is_ok_and(|now| now.is_same_file(&self.identity));
            (e, !is_in_place)
        })?;
        if let Some(folder) = self.path.parent() {
            disk.sync_dir(folder).map_err(|e| (Error::io("syncing", folder, e), true))?;
        }
        self.reopen(disk, true).map_err(|e| (e, true))?;
        self.is_synced = true;
        self.compact_at = self.compact_bytes_min.max(bytes.saturating_mul(2));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_disk::MemoryDisk;

    fn cid(n: u8) -> Cid {
        shoal_core::hash::cid_v1(shoal_core::hash::Hash::Sha256, 0x55, &[n]).unwrap()
    }

    fn every_op() -> Vec<Op> {
        vec![
            Op::PackOpened { pack: 1 },
            Op::PackCommitted { pack: 1, length: 1 << 39, entries: 7, block_bytes: 9, log_check: [3; 8] },
            Op::BlobSet { digest: [7; 32], bytes: 1 << 45 },
            Op::BlobSet { digest: [8; 32], bytes: 3 << 20 },
            Op::BlobRemoved { digest: [8; 32] },
            Op::BlocksDamaged { pack: 1, offsets: vec![26, 27, 1 << 38] },
            Op::BlocksDead { pack: 1, block_bytes: 5, offsets: vec![26, 1000, 1 << 38] },
            Op::PinSet(Pin { cid: cid(1), kind: PinKind::Recursive, name: Some("naïve".into()) }),
            Op::PinSet(Pin { cid: cid(2), kind: PinKind::Direct, name: None }),
            Op::PackSealed { pack: 1, length: 100, entries: 3, block_bytes: 2 },
            Op::PackOpened { pack: 2 },
            Op::PackRetired { pack: 2 },
            Op::PinRemoved(cid(2)),
            Op::ReferencesSet(References { table: 4, files: 1, blocks: 2, block_bytes: 1 << 21 }),
            Op::ReferencesSet(References { table: 6, files: 3, blocks: 1 << 33, block_bytes: 1 << 50 }),
            Op::ReferencesRemoved { table: 6 },
            Op::Used { cid: cid(3), seconds: 1 << 40 },
            Op::Used { cid: cid(4), seconds: 7 },
            Op::Used { cid: cid(4), seconds: 0 },
            Op::PackNext { pack: 9 },
        ]
    }

    fn journal() -> (MemoryDisk, PathBuf) {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/s")).unwrap();
        let path = PathBuf::from("/s/meta");
        Journal::create(&disk, &path, &Contents::default()).unwrap();
        let (mut journal, _) = Journal::open(&disk, &path, true, false).unwrap();
        for op in every_op() {
            journal.append(&[op]).map_err(|(e, _)| e).unwrap();
        }
        (disk, path)
    }

    fn expected(n: usize) -> Contents {
        let mut contents = Contents::default();
        for op in every_op().iter().take(n) {
            contents.apply(op);
        }
        contents
    }

    #[test]
    fn what_is_appended_is_read_back_and_a_snapshot_says_the_same() {
        let (disk, path) = journal();
        let (mut journal, contents) = Journal::open(&disk, &path, true, false).unwrap();
        assert_eq!(contents, expected(usize::MAX));
        journal.compact(&disk, &contents).map_err(|(e, _)| e).unwrap();
        assert_eq!(Journal::open(&disk, &path, true, false).unwrap().1, contents);
    }

    #[test]
    fn every_truncation_is_a_prefix_of_the_transactions() {
        let (disk, path) = journal();
        let file = disk.open(&path, true).unwrap();
        let whole = read_to_end(&*file, 0).unwrap();
        let mut seen = 0;
        for length in HEADER_BYTES..=whole.len() {
            file.set_len(0).unwrap();
            write_all_at(&*file, &mut [IoSlice::new(&whole[..length])], 0).unwrap();
            let (journal, contents) = Journal::open(&disk, &path, true, false).unwrap();
            assert_eq!(journal.end + journal.torn, length as u64);
            while contents != expected(seen) {
                seen += 1;
                assert!(seen <= every_op().len(), "not a prefix at {length}");
            }
        }
        assert!(contents_after(&disk, &path) == expected(usize::MAX));
    }

    fn contents_after(disk: &MemoryDisk, path: &Path) -> Contents {
        Journal::open(disk, path, true, false).unwrap().1
    }

    #[test]
    fn a_flipped_byte_is_reported_unless_it_is_in_the_last_record() {
        let (disk, path) = journal();
        let (opened, _) = Journal::open(&disk, &path, true, false).unwrap();
        let last = usize::try_from(opened.last_start.unwrap()).unwrap();
        let file = disk.open(&path, true).unwrap();
        let whole = read_to_end(&*file, 0).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x41;
            write_all_at(&*file, &mut [IoSlice::new(&bad)], 0).unwrap();
            match Journal::open(&disk, &path, true, false) {
                Ok((journal, contents)) => {
                    assert!(at >= last, "damage at {at} went unnoticed");
                    assert_eq!((contents, journal.torn), (expected(every_op().len() - 1), (whole.len() - last) as u64));
                }
                Err(Error::Format(text)) => assert!(at < last && text.contains("damaged"), "{at}: {text}"),
                Err(e) => panic!("{e}"),
            }
        }
    }

    #[test]
    fn a_journal_is_rewritten_when_most_of_it_is_past_and_only_then() {
        let (disk, path) = journal();
        let (mut journal, mut contents) = Journal::open(&disk, &path, true, false).unwrap();
        let mut reader = Journal::open(&disk, &path, false, false).unwrap();
        let named = |n: u32, name: &str| {
            Op::PinSet(Pin { cid: cid((n % 200).to_le_bytes()[0]), kind: PinKind::Direct, name: Some(name.repeat(255)) })
        };
        let add = |journal: &mut Journal, contents: &mut Contents, ops: &[Op]| {
            journal.append(ops).map_err(|(e, _)| e).unwrap();
            ops.iter().for_each(|op| contents.apply(op));
            journal.compact_if_large(&disk, contents).map_err(|(e, _)| e).unwrap();
        };
        for n in 0..300u32 {
            let ops: Vec<Op> = (0..100).map(|i| named(n * 100 + i, "x")).collect();
            add(&mut journal, &mut contents, &ops);
            assert!(journal.end < COMPACT_BYTES_MIN + 100_000, "grew to {} bytes", journal.end);
        }
        // Some 9 MB went in, 60 kB of it live: rewritten twice.
        assert_eq!(journal.generation, 3);
        match reader.0.refresh(&disk, false).unwrap() {
            News::All(read) => assert_eq!(read, contents),
            News::Nothing | News::More(_) => panic!("the reader did not notice the new file"),
        }
        // All of it live: not rewritten, not even by those who open it anew.
        let many = |n: u32| Pin {
            cid: shoal_core::hash::cid_v1(shoal_core::hash::Hash::Blake3, 0x55, &n.to_le_bytes()).unwrap(),
            kind: PinKind::Direct,
            name: Some("y".repeat(250)),
        };
        for n in 0..60u32 {
            let ops: Vec<Op> = (0..500).map(|i| Op::PinSet(many(n * 500 + i))).collect();
            add(&mut journal, &mut contents, &ops);
        }
        let generation = journal.generation;
        assert!(generation <= 4, "{generation}");
        let (mut journal, mut contents) = Journal::open(&disk, &path, true, false).unwrap();
        assert!(journal.end > 8_000_000);
        add(&mut journal, &mut contents, &[Op::PackNext { pack: 10 }]);
        assert_eq!(journal.generation, generation);
    }

    #[test]
    fn rebuilding_steps_over_a_damaged_record_and_keeps_the_others() {
        let (disk, path) = journal();
        let file = disk.open(&path, true).unwrap();
        let whole = read_to_end(&*file, 0).unwrap();
        let name = whole.windows(6).position(|w| w == "naïve".as_bytes()).unwrap();
        write_all_at(&*file, &mut [IoSlice::new(b"X")], name as u64).unwrap();
        let (_, contents) = Journal::open(&disk, &path, true, true).unwrap();
        let mut without = Contents::default();
        for op in every_op() {
            if !matches!(&op, Op::PinSet(pin) if pin.name.is_some()) {
                without.apply(&op);
            }
        }
        assert_eq!(contents, without);
    }
}
