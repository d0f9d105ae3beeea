//! Packs: append-only CARv1 files of blocks. What a section looks like, how it is found by key, and the two lives of a pack.
//!
//! An [`Active`] pack grows; its entries are in memory. A [`Sealed`] one is a mapped file beside a mapped index.
//! The rule kept here: what is read from a pack is bounds-checked and parsed again each time, since disks lie.
//! Format: docs/formats/pack.md; the numbers in comments are its paragraphs.

use crate::disk::{Disk, DiskFile, Map, read_full_at, write_all_at};
use crate::error::{Error, Result};
use crate::index::{BadPage, PackIndex};
use crate::meta::{Check, PackRecord, check};
use hashbrown::HashTable;
use shoal_core::car::{CarError, v1};
use shoal_core::hash::code;
use shoal_core::limits::{BLOCK_BYTES_MAX, CAR_HEADER_BYTES_MAX, CAR_SECTION_BYTES_MAX, VARINT_BYTES_MAX};
use shoal_core::{Cid, varint};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// §1: a CARv1 header whose one root is the empty identity CID: `{roots: [bafkqaaa], version: 1}` in DAG-CBOR, and its length.
pub(crate) const HEADER: [u8; 26] = *b"\x19\xa2\x65roots\x81\xd8\x2a\x45\x00\x01\x55\x00\x00\x67version\x01";
pub(crate) const HEADER_BYTES: u64 = HEADER.len() as u64;

/// §1.2: the header of a pack that was adopted: its length, and the checksum of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForeignHeader {
    pub bytes: u64,
    pub check: Check,
}

impl ForeignHeader {
    /// The most bytes that [`Self::of`] has to see.
    pub const BYTES_MAX: usize = CAR_HEADER_BYTES_MAX + VARINT_BYTES_MAX;

    /// The header at the front of a CARv1, and the roots it names.
    pub fn of(front: &[u8]) -> std::result::Result<(Self, Vec<Cid>), CarError> {
        let (roots, used) = v1::read_header(front, CAR_HEADER_BYTES_MAX)?;
        let header = front.get(..used).ok_or(CarError::Truncated)?;
        Ok((Self { bytes: used as u64, check: check(&[header]) }, roots))
    }
}

impl PackRecord {
    /// §1: where the first section begins.
    pub fn header_bytes(&self) -> u64 {
        self.header.map_or(HEADER_BYTES, |header| header.bytes)
    }

    /// Whether the pack begins with the header that it had.
    pub fn has_sound_header(&self, map: &Map, readable: u64) -> bool {
        let front = map.get(0, self.header_bytes().min(readable));
        match self.header {
            None => front == Some(&HEADER[..]),
            Some(header) => front.is_some_and(|front| front.len() as u64 == header.bytes && check(&[front]) == header.check),
        }
    }
}

/// §5: what a block is looked up by.
pub(crate) type Key = [u8; 32];

/// §5: the digest itself where it is a 32-byte one that is spread evenly, else the BLAKE3 of the multihash. None for identity
/// CIDs, which carry their block.
pub(crate) fn key(cid: &Cid) -> Option<Key> {
    // The common case, without taking the CID apart: version 1, a codec of one byte, a 32-byte digest.
    if let [1, 0..=0x7f, 0x12 | 0x1e, 32, digest @ ..] = cid.as_bytes() {
        return digest.try_into().ok();
    }
    let parts = cid.parts();
    match (parts.hash, <Key>::try_from(parts.digest)) {
        (code::IDENTITY, _) => None,
        (code::SHA2_256 | code::BLAKE3, Ok(digest)) => Some(digest),
        _ => Some(*blake3::hash(parts.multihash).as_bytes()),
    }
}

/// §6: where a section begins (40 bits), and the length of its block (24 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u64);

impl Place {
    pub const OFFSET_MAX: u64 = (1 << 40) - 1;

    pub fn new(offset: u64, block_bytes: usize) -> Option<Self> {
        (offset <= Self::OFFSET_MAX && block_bytes < 1 << 24).then_some(Self(offset << 24 | block_bytes as u64))
    }

    pub fn offset(self) -> u64 {
        self.0 >> 24
    }

    pub fn block_bytes(self) -> u64 {
        self.0 & ((1 << 24) - 1)
    }
}

/// A block of a pack: 40 bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: Key,
    pub place: Place,
}

impl Entry {
    pub fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        if let Some((key, place)) = bytes.split_first_chunk_mut::<32>() {
            *key = self.key;
            place.copy_from_slice(&self.place.0.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8; 40]) -> Self {
        match bytes.split_first_chunk::<32>() {
            Some((key, place)) => Self { key: *key, place: Place(place.try_into().map_or(0, u64::from_le_bytes)) },
            None => Self { key: [0; 32], place: Place(0) },
        }
    }
}

/// Appends to `out` what stands in front of a block's bytes.
pub(crate) fn write_section_head(cid: &Cid, block_bytes: usize, out: &mut Vec<u8>) {
    let cid = cid.as_bytes();
    varint::write((cid.len() + block_bytes) as u64, out);
    out.extend_from_slice(cid);
}

/// A section, parsed.
#[derive(Debug)]
pub(crate) struct Section {
    pub cid: Cid,
    pub block_start: u64,
    pub end: u64,
}

/// §3: the section at `offset` of a pack whose first `limit` bytes are there.
pub(crate) fn section_at(map: &Map, offset: u64, limit: u64) -> Option<Section> {
    // The head first: a varint and a CID, of at most so many bytes.
    let head_end = limit.min(offset.checked_add((VARINT_BYTES_MAX + shoal_core::limits::CID_BYTES_MAX) as u64)?);
    let head = map.get(offset, head_end)?;
    let (bytes, varint_bytes) = varint::read(head).ok()?;
    if bytes > CAR_SECTION_BYTES_MAX as u64 {
        return None;
    }
    let (cid, cid_bytes) = Cid::read(head.get(varint_bytes..)?).ok()?;
    let end = offset.checked_add(varint_bytes as u64)?.checked_add(bytes)?;
    let block_start = offset + (varint_bytes + cid_bytes) as u64;
    let is_sound = end <= limit && block_start <= end && end - block_start <= BLOCK_BYTES_MAX as u64;
    is_sound.then_some(Section { cid, block_start, end })
}

/// The names of a pack's files.
#[derive(Clone)]
pub(crate) struct PackPaths {
    folder: PathBuf,
}

impl PackPaths {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn car(&self, pack: u32) -> PathBuf {
        self.folder.join(format!("{pack:08}.car"))
    }

    pub fn idx(&self, pack: u32) -> PathBuf {
        self.folder.join(format!("{pack:08}.idx"))
    }

    pub fn tree(&self, pack: u32) -> PathBuf {
        self.folder.join(format!("{pack:08}.tree"))
    }

    pub fn log(&self, pack: u32) -> PathBuf {
        self.folder.join(format!("{pack:08}.log"))
    }

    /// The pack and kind of one of our file names.
    pub fn parse(name: &str) -> Option<(u32, &str)> {
        let (stem, kind) = name.split_once('.')?;
        let is_number = stem.len() >= 8 && stem.bytes().all(|b| b.is_ascii_digit());
        let pack = stem.parse().ok().filter(|_| is_number)?;
        matches!(kind, "car" | "idx" | "tree" | "log").then_some((pack, kind))
    }
}

/// §7: how much of an open pack's log is known good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// Bytes of the log.
    pub bytes: u64,
    /// Checksum of the last group.
    pub check: Check,
}

/// §7: entries, length of the pack after them, checksum.
const LOG_HEAD_BYTES: usize = 20;

impl LogEnd {
    pub fn start(pack: u32) -> Self {
        Self { bytes: 0, check: u64::from(pack).to_le_bytes() }
    }

    /// The bytes of the next group, and the end after it.
    pub fn group(self, entries: &[Entry], pack_length: u64) -> (Vec<u8>, Self) {
        let mut body = Vec::with_capacity(entries.len() * 40);
        for entry in entries {
            body.extend_from_slice(&entry.to_bytes());
        }
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes();
        let sum = check(&[&self.check, &count, &pack_length.to_le_bytes(), &body]);
        let bytes = [&count[..], &pack_length.to_le_bytes(), &sum, &body].concat();
        let end = Self { bytes: self.bytes + bytes.len() as u64, check: sum };
        (bytes, end)
    }

    /// Reads one group from the front of `bytes`: its entries, the pack's length after it, and the end after it.
    pub fn read_group(self, bytes: &[u8]) -> Option<(impl Iterator<Item = Entry>, u64, Self)> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let body = rest.get(..(u32::from_le_bytes(*count) as usize).checked_mul(40)?)?;
        if check(&[&self.check, count, length, body]) != *sum {
            return None;
        }
        let (entries, _) = body.as_chunks::<40>();
        let end = Self { bytes: self.bytes + (LOG_HEAD_BYTES + body.len()) as u64, check: *sum };
        Some((entries.iter().map(Entry::from_bytes), u64::from_le_bytes(*length), end))
    }
}

/// The pack that is being filled.
pub(crate) struct Active {
    pub id: u32,
    pub file: Arc<dyn DiskFile>,
    /// In the order of the file.
    entries: Vec<Entry>,
    by_key: HashTable<u32>,
    /// End of the last section, in bytes.
    pub written: u64,
    /// End of the last committed section.
    pub committed: u64,
    pub committed_entries: usize,
    /// Sum of all blocks' lengths.
    pub block_bytes: u64,
    pub committed_block_bytes: u64,
    /// None when the log could not be written; it is done without until the pack is sealed.
    pub log: Option<LogEnd>,
    /// Whether the journal names the pack.
    pub is_named: bool,
    /// How much of what is committed is really there. Less than `committed` only if someone cut the file.
    pub readable: u64,
    map: RwLock<Map>,
    map_bytes: u64,
}

pub(crate) fn hash_of(key: &Key) -> u64 {
    // Keys are hashes already. The last bytes, since the first ones order the index.
    key.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail))
}

impl Active {
    /// An active pack of a file that begins with a header; nothing after it is known yet.
    pub fn new(id: u32, file: Arc<dyn DiskFile>, map_bytes: u64, is_named: bool) -> Self {
        Self {
            id,
            file,
            entries: Vec::new(),
            by_key: HashTable::new(),
            written: HEADER_BYTES,
            committed: HEADER_BYTES,
            committed_entries: 0,
            block_bytes: 0,
            committed_block_bytes: 0,
            log: Some(LogEnd::start(id)),
            is_named,
            readable: u64::MAX,
            map: RwLock::new(Map::from_bytes(Vec::new())),
            map_bytes,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes in the next section, which ends at `end`.
    pub fn push(&mut self, entry: Entry, end: u64) {
        let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(entry);
        let entries = &self.entries;
        self.by_key.insert_unique(hash_of(&entry.key), at, |&other| entries.get(other as usize).map_or(0, |entry| hash_of(&entry.key)));
        self.written = end;
        self.block_bytes += entry.place.block_bytes();
    }

    /// Forgets what was not committed.
    pub fn roll_back(&mut self) {
        while self.entries.len() > self.committed_entries {
            let Some(entry) = self.entries.pop() else { break };
            let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
            if let Ok(found) = self.by_key.find_entry(hash_of(&entry.key), |&other| other == at) {
                found.remove();
            }
        }
        self.written = self.committed;
        self.block_bytes = self.committed_block_bytes;
    }

    /// Everything taken in so far is committed.
    pub fn set_committed(&mut self, entries: usize, length: u64, block_bytes: u64) {
        (self.committed_entries, self.committed, self.committed_block_bytes) = (entries, length, block_bytes);
        self.is_named = true;
    }

    /// Every place of a key, until `found` says to stop. Whether it said so.
    pub fn find(&self, key: &Key, is_committed_only: bool, found: &mut dyn FnMut(Place) -> bool) -> bool {
        let limit = if is_committed_only { self.committed_entries } else { self.entries.len() };
        self.by_key.iter_hash(hash_of(key)).any(|&at| {
            let at = at as usize;
            at < limit && self.entries.get(at).is_some_and(|entry| entry.key == *key && found(entry.place))
        })
    }

    /// A map that reaches at least to `end`, all of it written.
    pub fn map_to(&self, end: u64) -> std::io::Result<Map> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner).clone();
        if map.len() >= end {
            return Ok(map);
        }
        let map = self.file.map(self.map_bytes.max(end))?;
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = map.clone();
        Ok(map)
    }

    /// Takes in what the journal says was committed since: from the log, or where it is missing or bad, from the pack itself.
    pub fn catch_up(&mut self, disk: &dyn Disk, paths: &PackPaths, record: &PackRecord) -> Result<()> {
        if record.entries == self.committed_entries as u64 && record.length == self.committed {
            self.is_named = true;
            return Ok(());
        }
        let path = paths.car(self.id);
        let bytes = self.file.identity().map_err(|e| Error::io("reading", &path, e))?.bytes;
        self.readable = if bytes < record.length { bytes } else { u64::MAX };
        self.roll_back();
        if record.length < self.committed || record.entries < self.committed_entries as u64 {
            // The journal was put back to an earlier state: begin again.
            self.committed_entries = 0;
            (self.committed, self.committed_block_bytes) = (HEADER_BYTES, 0);
            self.log = Some(LogEnd::start(self.id));
            self.roll_back();
        }
        if !self.catch_up_from_log(disk, paths, record) {
            self.roll_back();
            self.log = None;
            self.catch_up_from_pack(paths, record)?;
        }
        self.set_committed(self.entries.len(), self.written, self.block_bytes);
        Ok(())
    }

    fn catch_up_from_log(&mut self, disk: &dyn Disk, paths: &PackPaths, record: &PackRecord) -> bool {
        let Some(mut end) = self.log else { return false };
        let Ok(file) = disk.open(&paths.log(self.id), false) else { return false };
        let Ok(bytes) = crate::disk::read_to_end(&*file, end.bytes) else { return false };
        let mut rest = bytes.as_slice();
        while end.check != record.log_check || self.entries.len() as u64 != record.entries {
            let Some((entries, length, next)) = end.read_group(rest) else { return false };
            for entry in entries {
                self.push(entry, length);
            }
            rest = rest.get(usize::try_from(next.bytes - end.bytes).unwrap_or(usize::MAX)..).unwrap_or_default();
            end = next;
        }
        self.log = Some(end);
        self.written == record.length
    }

    fn catch_up_from_pack(&mut self, paths: &PackPaths, record: &PackRecord) -> Result<()> {
        let path = paths.car(self.id);
        let limit = record.length.min(self.readable);
        let map = self.map_to(limit).map_err(|e| Error::io("mapping", &path, e))?;
        scan(&map, self.written, limit, Scan::Committed, &mut |entry, end| self.push(entry, end));
        // What could not be read in between is damaged, but what the journal says stays committed.
        self.written = record.length;
        Ok(())
    }
}

/// What [`scan`] does about what it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Blocks that were committed: they are not checked here, since every read does. Damage is stepped over.
    Committed,
    /// A pack nobody knows: every block is checked. Damage is stepped over.
    Unknown,
    /// What a dead writer left after its last commit: every block is checked, and the first bad one ends it.
    Tail,
}

/// §9: walks sections from `start` to `limit`, giving each entry and its end. Damage is stepped over to the next place where a
/// section stands whose block matches its CID. Returns the end of the last section, and the bytes stepped over before it.
pub(crate) fn scan(map: &Map, start: u64, limit: u64, how: Scan, each: &mut dyn FnMut(Entry, u64)) -> (u64, u64) {
    let (mut at, mut end, mut skipped) = (start, start, 0);
    while at < limit {
        let must_check = how != Scan::Committed || at != end;
        let good = section_at(map, at, limit).filter(|section| {
            let block = map.get(section.block_start, section.end);
            block.is_some_and(|block| !must_check || shoal_core::hash::verify(&section.cid, block).is_ok())
        });
        match good {
            Some(section) => {
                skipped += at - end;
                let place = usize::try_from(section.end - section.block_start).ok().and_then(|n| Place::new(at, n));
                if let (Some(key), Some(place)) = (key(&section.cid), place) {
                    each(Entry { key, place }, section.end);
                }
                (at, end) = (section.end, section.end);
            }
            None if how == Scan::Tail => break,
            None => at += 1,
        }
    }
    (end, skipped)
}

/// A pack that is full.
pub(crate) struct Sealed {
    pub id: u32,
    /// How much of the file is there. Less than the journal says only if someone cut it.
    pub readable: u64,
    pub map: Map,
    pub index: PackIndex,
}

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A file name that nobody else uses, which a writer's next start removes if it is left behind.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    let n = TEMPORARY.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{n}.new", std::process::id()))
}

/// Takes the next bytes of a file.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> std::io::Result<()> + 'a;

/// Writes a file that can be made again at any time: under a temporary name, synced, renamed into place.
pub(crate) fn write_disposable(
    disk: &dyn Disk,
    path: &Path,
    write: &mut dyn FnMut(&mut Sink<'_>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    replace(disk, path, true, write)
}

/// [`write_disposable`], without the sync where a crash may leave a torn file, since every page of it is checked when it is read.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    is_synced: bool,
    write: &mut dyn FnMut(&mut Sink<'_>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let temporary = temporary_beside(path);
    let written = (|| {
        let file = disk.create(&temporary)?;
        let mut at = 0;
        write(&mut |part| {
            write_all_at(&*file, &mut [IoSlice::new(part)], at)?;
            at += part.len() as u64;
            Ok(())
        })?;
        if is_synced {
            file.sync_data()?;
        }
        disk.rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = disk.remove(&temporary);
    }
    written
}

impl Sealed {
    /// Opens a sealed pack; the index is made again when it is missing or bad, and then `true` is returned too.
    pub fn open(disk: &dyn Disk, paths: &PackPaths, id: u32, record: &PackRecord, is_read_only: bool) -> Result<(Self, bool)> {
        let path = paths.car(id);
        let file = disk.open(&path, false).map_err(|e| Error::io("opening", &path, e))?;
        let bytes = file.identity().map_err(|e| Error::io("reading", &path, e))?.bytes;
        let readable = bytes.min(record.length);
        let map = file.map(readable).map_err(|e| Error::io("mapping", &path, e))?;
        if let Ok(index) = Self::open_index(disk, paths, id, record) {
            return Ok((Self { id, readable, map, index }, false));
        }
        let index = Self::rebuild_index(disk, paths, id, record, &map, readable, is_read_only)?;
        Ok((Self { id, readable, map, index }, true))
    }

    fn open_index(disk: &dyn Disk, paths: &PackPaths, id: u32, record: &PackRecord) -> std::result::Result<PackIndex, BadPage> {
        let file = disk.open(&paths.idx(id), false).map_err(|_| BadPage)?;
        let bytes = file.identity().map_err(|_| BadPage)?.bytes;
        PackIndex::open(file.map(bytes).map_err(|_| BadPage)?, id, record.length, record.entries)
    }

    /// Makes the index of a pack from the pack, and writes it where that can be done.
    pub fn rebuild_index(
        disk: &dyn Disk,
        paths: &PackPaths,
        id: u32,
        record: &PackRecord,
        map: &Map,
        readable: u64,
        is_read_only: bool,
    ) -> Result<PackIndex> {
        let mut entries = Vec::new();
        scan(map, record.header_bytes(), readable, Scan::Committed, &mut |entry, _| entries.push(entry));
        let is_whole = entries.len() as u64 == record.entries;
        Self::write_index(disk, paths, id, record.length, &mut entries, is_read_only || !is_whole)
    }

    /// Writes the index of a pack, durably, and opens it.
    pub fn write_index_file(disk: &dyn Disk, paths: &PackPaths, id: u32, length: u64, entries: &mut [Entry]) -> Result<PackIndex> {
        let path = paths.idx(id);
        let record = PackRecord { length, entries: entries.len() as u64, ..PackRecord::default() };
        let written = write_disposable(disk, &path, &mut |sink| PackIndex::write(id, length, entries, sink));
        written.map_err(|e| Error::io("writing", &path, e))?;
        let failed = |BadPage| Error::io("reading", &path, std::io::Error::other("it is not what was just written"));
        Self::open_index(disk, paths, id, &record).map_err(failed)
    }

    /// Writes and opens an index; keeps it in memory where it cannot be written.
    pub fn write_index(
        disk: &dyn Disk,
        paths: &PackPaths,
        id: u32,
        length: u64,
        entries: &mut [Entry],
        is_in_memory: bool,
    ) -> Result<PackIndex> {
        let path = paths.idx(id);
        let count = entries.len() as u64;
        if !is_in_memory && let Ok(index) = Self::write_index_file(disk, paths, id, length, entries) {
            return Ok(index);
        }
        let mut bytes = Vec::new();
        let written = PackIndex::write(id, length, entries, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        written.map_err(|e| Error::io("building", &path, e))?;
        PackIndex::open(Map::from_bytes(bytes), id, length, count)
            .map_err(|BadPage| Error::Format(format!("the index of pack {id} could not be built")))
    }
}

/// Reads a part of a pack into memory of its own.
pub(crate) fn read_copy(file: &dyn DiskFile, start: u64, end: u64) -> std::io::Result<Vec<u8>> {
    let bytes = usize::try_from(end.saturating_sub(start)).ok().filter(|n| *n <= CAR_SECTION_BYTES_MAX + VARINT_BYTES_MAX);
    let mut buffer = vec![0; bytes.ok_or(std::io::ErrorKind::InvalidInput)?];
    let n = read_full_at(file, &mut buffer, start)?;
    buffer.truncate(n);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_a_car_with_the_empty_identity_root() {
        let root: Cid = "bafkqaaa".parse().unwrap();
        assert_eq!(root.as_bytes(), [1, 0x55, 0, 0]);
        assert_eq!(HEADER[0] as usize, HEADER.len() - 1);
        assert_eq!(HEADER[13..17], *root.as_bytes());
    }

    #[test]
    fn a_place_holds_its_bounds() {
        let place = Place::new(Place::OFFSET_MAX, BLOCK_BYTES_MAX).unwrap();
        assert_eq!((place.offset(), place.block_bytes()), (Place::OFFSET_MAX, BLOCK_BYTES_MAX as u64));
        assert_eq!(Place::new(Place::OFFSET_MAX + 1, 0), None);
        let entry = Entry { key: [5; 32], place };
        assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
    }

    #[test]
    fn only_our_names_are_packs() {
        assert_eq!(PackPaths::parse("00000007.car"), Some((7, "car")));
        assert_eq!(PackPaths::parse("123456789.idx"), Some((123_456_789, "idx")));
        assert_eq!(PackPaths::parse("00000007.tree"), Some((7, "tree")));
        for name in ["7.car", "00000007", "00000007.car.new", "0000000x.car", "+0000007.car", "00000007.tar"] {
            assert_eq!(PackPaths::parse(name), None, "{name}");
        }
    }
}
