//! The store as its users see it: where blocks are looked up, read and checked.
//!
//! Readers see what is committed, nothing else. What is looked up stands under one read lock; bytes are read and hashed outside it.
//! Writing is in `session.rs`, taking over after a crash in `recover.rs`.

use crate::blob::Blobs;
use crate::block::Block;
use crate::disk::{Disk, DiskFile, Map, RealDisk};
use crate::error::{Error, Result};
use crate::index::BadPage;
use crate::merge::Merged;
use crate::meta::{COMPACT_BYTES_MIN, Contents, Journal, News, Op, Pin};
use crate::pack::{Active, Key, PackPaths, Place, Sealed, key, read_copy, section_at};
use crate::range::Trees;
use crate::recover::RecoveryReport;
use crate::session::{Gate, Pending, Queue, Scratch, Session};
use shoal_core::Cid;
use shoal_core::hash::{self, Hash, VerifyError};
use shoal_core::limits::CAR_SECTION_BYTES_MAX;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// A pack is sealed when it has reached this size, in bytes. At least one block over, at most 1 TiB.
    pub pack_bytes_max: u64,
    /// A pack is sealed when it holds so many blocks: each costs some 50 bytes of memory while the pack is open.
    pub pack_entries_max: usize,
    /// How long to wait for another process, or another session, that is writing.
    pub lock_wait: Duration,
    /// Never write anything, and never take the lock.
    pub read_only: bool,
    /// If the journal is missing or damaged in the middle, keep what can be read and find the rest by checking every pack.
    /// Pins may be lost.
    pub rebuild_meta: bool,
    /// The journal is rewritten when it is longer than this, in bytes, and mostly past.
    pub journal_bytes_min: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pack_bytes_max: 1 << 30,
            // Fits a table of 2^20 buckets, which hashbrown fills to seven eighths.
            pack_entries_max: 900_000,
            lock_wait: Duration::from_secs(10),
            read_only: false,
            rebuild_meta: false,
            journal_bytes_min: COMPACT_BYTES_MIN,
        }
    }
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Where it is.
    pub path: PathBuf,
    /// Live blocks.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub block_bytes: u64,
    /// Blobs: whole files, kept beside the packs.
    pub blobs: u64,
    /// Their lengths together, in bytes.
    pub blob_bytes: u64,
    /// Pack files.
    pub packs: u64,
    /// Their committed lengths together, in bytes.
    pub pack_bytes: u64,
    /// Deleted blocks that still take room, in bytes of block.
    pub dead_bytes: u64,
    /// Pins.
    pub pins: u64,
    /// Packs that the journal names and the disk does not have.
    pub packs_missing: Vec<u32>,
}

/// One pack, for the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackStat {
    /// Its number.
    pub pack: u32,
    /// Whether it is full, and will not change any more.
    pub is_sealed: bool,
    /// Committed length of the file.
    pub bytes: u64,
    /// Committed blocks, dead ones too.
    pub blocks: u64,
    /// Their lengths together.
    pub block_bytes: u64,
    /// Dead blocks among them.
    pub dead_blocks: u64,
    /// Their lengths together.
    pub dead_bytes: u64,
}

/// A block and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// The CID it was first put under.
    pub cid: Cid,
    /// Its pack.
    pub pack: u32,
    /// Where its section begins in the pack, in bytes.
    pub offset: u64,
    /// Length of the block, in bytes.
    pub bytes: u64,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while holding a lock left data that is still checked wherever it is used.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a copy of a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Found {
    pub pack: u32,
    pub place: Place,
}

/// An index that must be built again before the lookup can be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BadIndex {
    Pack(u32),
    Merged(usize),
}

/// Everything lookups need, under one lock.
#[derive(Default)]
pub(crate) struct State {
    pub contents: Contents,
    /// Ascending by number.
    pub sealed: Vec<Arc<Sealed>>,
    pub active: Option<Active>,
    pub merged: Vec<Arc<Merged>>,
    /// The sealed packs that no merged index covers, newest first.
    pub uncovered: Vec<Arc<Sealed>>,
    pub missing: Vec<u32>,
    /// Whether the packs are as `contents` says. Not so after a failed refresh, which is then done again.
    pub is_reconciled: bool,
    pub has_dead: bool,
    pub has_damaged: bool,
    /// Grows whenever what a put has looked up may no longer hold.
    pub version: u64,
}

impl State {
    pub fn sealed(&self, pack: u32) -> Option<&Arc<Sealed>> {
        self.sealed.binary_search_by_key(&pack, |sealed| sealed.id).ok().and_then(|at| self.sealed.get(at))
    }

    /// Whether a committed blob has this digest.
    pub fn has_blob(&self, cid: &Cid) -> bool {
        crate::blob::digest_of(cid).is_some_and(|digest| self.contents.blobs.contains_key(&digest))
    }

    fn is_live(&self, found: Found) -> bool {
        !self.has_dead || !self.contents.packs.get(&found.pack).is_some_and(|record| record.dead.contains(&found.place.offset()))
    }

    fn note_marks(&mut self) {
        self.has_dead = self.contents.packs.values().any(|record| !record.dead.is_empty());
        self.has_damaged = self.contents.packs.values().any(|record| !record.damaged.is_empty());
    }

    /// Whether the journal says that this copy is damaged.
    pub fn is_damaged(&self, found: Found) -> bool {
        self.has_damaged && self.contents.packs.get(&found.pack).is_some_and(|record| record.damaged.contains(&found.place.offset()))
    }

    /// Every live copy of a block, until `each` says to stop. Whether it said so.
    pub fn find(&self, key: &Key, is_committed_only: bool, each: &mut dyn FnMut(Found) -> bool) -> std::result::Result<bool, BadIndex> {
        if let Some(active) = &self.active {
            let pack = active.id;
            let mut live = |place| {
                let found = Found { pack, place };
                self.is_live(found) && each(found)
            };
            if active.find(key, is_committed_only, &mut live) {
                return Ok(true);
            }
        }
        for (at, merged) in self.merged.iter().enumerate() {
            let mut bad = BadIndex::Merged(at);
            let found = merged.index.find(key, &mut |pack, slot| {
                // Packs retired since are simply passed over.
                let Some(sealed) = self.sealed(pack) else { return Ok(false) };
                bad = BadIndex::Pack(pack);
                let entry = sealed.index.entry(slot)?;
                bad = BadIndex::Merged(at);
                let found = Found { pack, place: entry.place };
                Ok(entry.key == *key && self.is_live(found) && each(found))
            });
            match found {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(BadPage) => return Err(bad),
            }
        }
        for sealed in &self.uncovered {
            let pack = sealed.id;
            let mut live = |place| {
                let found = Found { pack, place };
                self.is_live(found) && each(found)
            };
            if sealed.index.find(key, &mut live).map_err(|BadPage| BadIndex::Pack(pack))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub fn first(&self, key: &Key, is_committed_only: bool) -> std::result::Result<Option<Found>, BadIndex> {
        let mut first = None;
        self.find(key, is_committed_only, &mut |found| {
            first = Some(found);
            true
        })?;
        Ok(first)
    }

    /// The places of a pack's live blocks, in the order of the file; `None` when there is no such pack.
    pub fn places(&self, pack: u32, is_committed_only: bool) -> std::result::Result<Option<Vec<Place>>, BadIndex> {
        let mut places = Vec::new();
        if let Some(active) = self.active.as_ref().filter(|active| active.id == pack) {
            let limit = if is_committed_only { active.committed_entries } else { usize::MAX };
            places.extend(active.entries().iter().take(limit).map(|entry| entry.place));
        } else if let Some(sealed) = self.sealed(pack) {
            for slot in 0..sealed.index.len() {
                places.push(sealed.index.entry(slot).map_err(|BadPage| BadIndex::Pack(pack))?.place);
            }
            places.sort_unstable();
        } else {
            return Ok(None);
        }
        places.retain(|place| self.is_live(Found { pack, place: *place }));
        Ok(Some(places))
    }

    /// Notes changes that were made to the journal. The packs themselves are the caller's to put right.
    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            self.contents.apply(op);
        }
        self.note_marks();
    }

    /// Works out again which packs are not covered.
    pub fn arrange(&mut self) {
        let covered: std::collections::HashSet<u32> = self.merged.iter().flat_map(|merged| merged.index.packs.iter().copied()).collect();
        self.uncovered = self.sealed.iter().rev().filter(|sealed| !covered.contains(&sealed.id)).cloned().collect();
    }

    fn reading(&self, found: Found, paths: &PackPaths) -> Result<Option<Reading>> {
        if let Some(active) = self.active.as_ref().filter(|active| active.id == found.pack) {
            let limit = active.committed.min(active.readable);
            let source = if found.place.offset() < active.committed {
                Source::Map(active.map_to(limit).map_err(|e| Error::io("mapping", &paths.car(active.id), e))?, limit)
            } else {
                // It may yet be rolled back and cut off, so no map of it may be handed out.
                Source::File(Arc::clone(&active.file))
            };
            return Ok(Some(Reading { found, source }));
        }
        Ok(self.sealed(found.pack).map(|sealed| Reading { found, source: Source::Map(sealed.map.clone(), sealed.readable) }))
    }
}

enum Source {
    Map(Map, u64),
    File(Arc<dyn DiskFile>),
}

/// A copy of a block, about to be read.
struct Reading {
    found: Found,
    source: Source,
}

/// What stands at a place.
enum Copy {
    Block(Block),
    /// Another block, whose digest is the same number under another hash.
    Other,
    Damaged,
}

impl Reading {
    /// The block's bytes, not yet checked against its hash. All of them are about to be read.
    fn read(&self, cid: &Cid, paths: &PackPaths) -> Result<Copy> {
        let copy = self.locate(cid, paths)?;
        if let Copy::Block(block) = &copy
            && self.found.place.block_bytes() >= POPULATE_BYTES_MIN
        {
            block.will_need();
        }
        Ok(copy)
    }

    /// Where the block's bytes are, of which perhaps few are about to be read.
    fn locate(&self, cid: &Cid, paths: &PackPaths) -> Result<Copy> {
        let place = self.found.place;
        let (map, base, limit) = match &self.source {
            Source::Map(map, limit) => (map.clone(), 0, *limit),
            Source::File(file) => {
                let end = place.offset() + (CAR_SECTION_BYTES_MAX as u64).min(place.block_bytes() + 256);
                let copy = read_copy(&**file, place.offset(), end).map_err(|e| Error::io("reading", &paths.car(self.found.pack), e))?;
                let bytes = copy.len() as u64;
                (Map::from_bytes(copy), place.offset(), bytes)
            }
        };
        let Some(section) = section_at(&map, place.offset() - base, limit) else { return Ok(Copy::Damaged) };
        if section.end - section.block_start != place.block_bytes() || key(&section.cid) != key(cid) {
            return Ok(Copy::Damaged);
        }
        if section.cid.multihash() != cid.multihash() {
            return Ok(Copy::Other);
        }
        Ok(Copy::Block(Block::mapped(map, section.block_start, section.end)))
    }
}

/// More bad indexes than this in one lookup are a broken disk, not damage.
const MEND_ROUNDS_MAX: usize = 100;
/// From this size on, one system call to map a block's pages is cheaper than a fault for every 64 KiB.
const POPULATE_BYTES_MIN: u64 = 256 * 1024;

pub(crate) struct Inner {
    pub disk: Arc<dyn Disk>,
    pub root: PathBuf,
    pub paths: PackPaths,
    pub blobs: Blobs,
    pub options: Options,
    pub state: RwLock<State>,
    pub journal: Mutex<Journal>,
    pub gate: Mutex<Gate>,
    pub gate_changed: Condvar,
    /// Held by whoever commits or seals.
    pub turn: Mutex<()>,
    pub queue: Mutex<Queue>,
    pub queue_changed: Condvar,
    /// Held by whoever appends. Locks are taken in this order: gate, turn, append, journal, state.
    pub append: Mutex<Scratch>,
    /// Held by whoever makes a merged index; never waited for.
    pub merging: Mutex<()>,
    pub pending: RwLock<Pending>,
    pub is_poisoned: AtomicBool,
    /// Whether a session of this process lives, so that nobody else can have written.
    pub is_writing: AtomicBool,
    pub report: Mutex<Option<RecoveryReport>>,
    /// The values of groups, in memory and in tree files.
    pub trees: Trees,
}

impl Inner {
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers from the state, after building again any index that turned out bad.
    pub fn look_up<T>(&self, answer: impl Fn(&State) -> std::result::Result<T, BadIndex>) -> Result<T> {
        // Each round mends one index for good.
        let mut rounds = 0;
        loop {
            let bad = match answer(&self.state()) {
                Ok(value) => return Ok(value),
                Err(bad) => bad,
            };
            rounds += 1;
            self.mend(bad, rounds > 2)?;
            if rounds > MEND_ROUNDS_MAX {
                return Err(Error::Format(format!("the index of {} cannot be made ({bad:?}): check the disk", self.root.display())));
            }
        }
    }

    /// Makes an index again that turned out bad.
    pub fn mend(&self, bad: BadIndex, is_in_memory: bool) -> Result<()> {
        let mut state = self.state_mut();
        match bad {
            BadIndex::Merged(at) => self.drop_merged(&mut state, at),
            BadIndex::Pack(pack) => {
                let old = state.sealed(pack).cloned();
                let record = state.contents.packs.get(&pack).cloned();
                if let (Some(old), Some(record)) = (old, record) {
                    let index = Sealed::rebuild_index(
                        &*self.disk,
                        &self.paths,
                        pack,
                        &record,
                        &old.map,
                        old.readable,
                        self.options.read_only || is_in_memory,
                    )?;
                    let new = Arc::new(Sealed { id: pack, readable: old.readable, map: old.map.clone(), index });
                    if let Ok(at) = state.sealed.binary_search_by_key(&pack, |sealed| sealed.id)
                        && let Some(slot) = state.sealed.get_mut(at)
                    {
                        *slot = new;
                    }
                    let mut report = locked(&self.report);
                    report.get_or_insert_default().indexes_rebuilt.push(pack);
                }
                // Slots may have moved, if the pack itself is damaged.
                state.merged.retain(|merged| !merged.index.packs.contains(&pack));
            }
        }
        state.arrange();
        Ok(())
    }

    /// Makes the state say what the journal says. Packs that are open already stay open.
    pub fn reconcile(&self, state: &mut State) -> Result<()> {
        state.is_reconciled = false;
        let active_id = state.contents.packs.iter().rev().find(|(_, record)| !record.is_sealed).map(|(id, _)| *id);
        let contents = &state.contents;
        state.missing.clear();
        let is_gone = |id: u32| contents.retired.contains(&id) || contents.packs.get(&id).is_some_and(|record| record.is_sealed);
        if let Some(active) = &state.active
            && (is_gone(active.id) || active_id.is_some_and(|id| id != active.id))
        {
            state.active = None;
        }
        state.sealed.retain(|sealed| contents.packs.contains_key(&sealed.id));
        for (&id, record) in &contents.packs {
            if Some(id) == active_id || state.sealed.binary_search_by_key(&id, |sealed| sealed.id).is_ok() {
                continue;
            }
            match Sealed::open(&*self.disk, &self.paths, id, record, self.options.read_only) {
                Ok((sealed, is_rebuilt)) => {
                    if is_rebuilt {
                        locked(&self.report).get_or_insert_default().indexes_rebuilt.push(id);
                    }
                    let at = state.sealed.partition_point(|other| other.id < id);
                    state.sealed.insert(at, Arc::new(sealed));
                }
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => state.missing.push(id),
                Err(e) => return Err(e),
            }
        }
        if let Some(id) = active_id
            && let Some(record) = contents.packs.get(&id)
        {
            if state.active.is_none() {
                let path = self.paths.car(id);
                match self.disk.open(&path, !self.options.read_only) {
                    Ok(file) => state.active = Some(Active::new(id, file, self.map_bytes(), true)),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => state.missing.push(id),
                    Err(e) => return Err(Error::io("opening", &path, e)),
                }
            }
            if let Some(active) = &mut state.active {
                active.catch_up(&*self.disk, &self.paths, record)?;
            }
        }
        state.note_marks();
        state.arrange();
        self.load_merged(state);
        self.trees.look_again(|pack| state.contents.packs.contains_key(&pack));
        state.is_reconciled = true;
        Ok(())
    }

    /// How much of an active pack is mapped at once: as large as it can grow.
    pub fn map_bytes(&self) -> u64 {
        self.options.pack_bytes_max.saturating_add(2 * CAR_SECTION_BYTES_MAX as u64)
    }

    /// Takes in what other processes have written. Whether there was anything.
    pub fn refresh(&self) -> Result<bool> {
        if self.is_writing.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut journal = locked(&self.journal);
        self.refresh_from(&mut journal)
    }

    pub fn refresh_from(&self, journal: &mut Journal) -> Result<bool> {
        let mut has_news = false;
        // Another process may retire a pack between our reading of the journal and our opening of the pack. Then the journal
        // says so by now; a pack that is still named after that is really missing.
        for _ in 0..8 {
            let news = journal.refresh(&*self.disk, !self.options.read_only)?;
            let mut state = self.state_mut();
            match news {
                News::Nothing if state.is_reconciled => break,
                News::Nothing => {}
                News::More(ops) => state.apply(&ops),
                News::All(contents) => state.contents = contents,
            }
            has_news = true;
            self.reconcile(&mut state)?;
            if state.missing.is_empty() {
                break;
            }
        }
        Ok(has_news)
    }

    pub fn check_poison(&self) -> Result<()> {
        if self.is_poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    pub fn has(&self, cid: &Cid, is_committed_only: bool) -> Result<bool> {
        let Some(key) = key(cid) else { return Ok(true) };
        Ok(self.look_up(|state| Ok(state.first(&key, is_committed_only)?.is_some()))? || self.blob_bytes(cid).is_some())
    }

    /// The block, checked against its hash unless told otherwise.
    pub fn read(&self, cid: &Cid, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        if let Some(inline) = cid.identity() {
            return Ok(Block::owned(inline));
        }
        if is_verified {
            check_hash(cid)?;
        }
        match self.read_once(cid, is_committed_only, is_verified) {
            Err(Error::NotFound { .. }) if self.blob_bytes(cid).is_some() => Err(self.not_a_block(cid)),
            Err(Error::NotFound { .. } | Error::Damaged { .. }) if self.refresh()? => {
                let again = self.read_once(cid, is_committed_only, is_verified);
                again.map_err(|error| if matches!(error, Error::NotFound { .. }) { self.not_a_block(cid) } else { error })
            }
            other => other,
        }
    }

    /// Why a CID that no pack has is no block.
    fn not_a_block(&self, cid: &Cid) -> Error {
        match self.blob_bytes(cid) {
            Some(bytes) => Error::IsBlob { cid: cid.clone(), bytes },
            None => Error::NotFound { cid: cid.clone() },
        }
    }

    fn read_once(&self, cid: &Cid, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        let not_found = || Error::NotFound { cid: cid.clone() };
        let Some(key) = key(cid) else { return Err(not_found()) };
        let Some(found) = self.look_up(|state| state.first(&key, is_committed_only))? else { return Err(not_found()) };
        let reading = self.state().reading(found, &self.paths)?;
        if let Some(reading) = reading
            && let Copy::Block(block) = reading.read(cid, &self.paths)?
            && (!is_verified || hash::verify(cid, &block).is_ok())
        {
            return Ok(block);
        }
        self.read_any_copy(cid, &key, is_committed_only, is_verified)
    }

    /// A copy of a block, not checked against its hash: `None` where no such block stands.
    pub fn unverified_at(&self, cid: &Cid, found: Found) -> Result<Option<Block>> {
        let Some(reading) = self.state().reading(found, &self.paths)? else { return Ok(None) };
        Ok(match reading.locate(cid, &self.paths)? {
            Copy::Block(block) => Some(block),
            Copy::Other | Copy::Damaged => None,
        })
    }

    /// Tries every copy of a block: the first one is bad. Bad ones no longer count as "here" for puts, which so heal them.
    fn read_any_copy(&self, cid: &Cid, key: &Key, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        let copies = self.look_up(|state| {
            let mut all = Vec::new();
            state.find(key, is_committed_only, &mut |found| {
                all.push(found);
                false
            })?;
            Ok(all)
        })?;
        let mut damaged = None;
        for found in copies {
            let Some(reading) = self.state().reading(found, &self.paths)? else { continue };
            match reading.read(cid, &self.paths)? {
                Copy::Block(block) if !is_verified || hash::verify(cid, &block).is_ok() => return Ok(block),
                Copy::Other => {}
                Copy::Block(_) | Copy::Damaged => {
                    self.pending_mut().damaged.insert(found);
                    damaged.get_or_insert(Error::Damaged { cid: cid.clone(), pack: found.pack, offset: found.place.offset() });
                }
            }
        }
        Err(damaged.unwrap_or_else(|| Error::NotFound { cid: cid.clone() }))
    }
}

fn check_hash(cid: &Cid) -> Result<()> {
    if Hash::from_code(cid.hash()).is_some() { Ok(()) } else { Err(Error::UnsupportedHash { cid: cid.clone() }) }
}

/// A folder of blocks. Clones are the same store.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.root.display())
    }
}

impl Store {
    /// Opens the store in a folder of the real disk, and makes it when there is none (unless `read_only`).
    pub fn open_path(path: &Path, options: Options) -> Result<Self> {
        Self::open(Arc::new(RealDisk), path, options)
    }

    /// Opens the store in a folder of a disk, and makes it when there is none (unless `read_only`).
    ///
    /// Takes no lock, except to make the store. What a crashed writer left is put right by the next [`Store::write`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path, options: Options) -> Result<Self> {
        let mut options = options;
        options.pack_bytes_max = options.pack_bytes_max.clamp(1, Place::OFFSET_MAX - 2 * CAR_SECTION_BYTES_MAX as u64);
        options.pack_entries_max = options.pack_entries_max.clamp(1, u32::MAX as usize);
        crate::recover::prepare(&*disk, path, &options)?;
        let meta = path.join("meta");
        let (mut journal, contents) = Journal::open(&*disk, &meta, !options.read_only, options.rebuild_meta)?;
        journal.set_compact_bytes_min(options.journal_bytes_min);
        let inner = Inner {
            disk,
            root: path.to_owned(),
            paths: PackPaths::new(path.join("packs")),
            blobs: Blobs::new(path),
            options,
            state: RwLock::new(State { contents, ..State::default() }),
            journal: Mutex::new(journal),
            gate: Mutex::default(),
            gate_changed: Condvar::new(),
            turn: Mutex::new(()),
            queue: Mutex::default(),
            queue_changed: Condvar::new(),
            append: Mutex::default(),
            merging: Mutex::new(()),
            pending: RwLock::default(),
            is_poisoned: AtomicBool::new(false),
            is_writing: AtomicBool::new(false),
            report: Mutex::new(None),
            trees: Trees::default(),
        };
        {
            let mut state = inner.state_mut();
            inner.reconcile(&mut state)?;
        }
        if !inner.state().missing.is_empty() {
            inner.refresh()?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.root
    }

    /// Whether the block is here. Does not read it, so a damaged one counts; and a CID with the digest of a block that is here
    /// under another hash counts too (pack.md §4.2). Blocks of identity CIDs always are here.
    pub fn has(&self, cid: &Cid) -> Result<bool> {
        Ok(self.0.has(cid, true)? || (self.0.refresh()? && self.0.has(cid, true)?))
    }

    /// [`Store::has`] of many.
    pub fn has_many(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        let all = || {
            self.0.look_up(|state| {
                let has = |cid| key(cid).map_or(Ok(true), |key| Ok(state.first(&key, true)?.is_some() || state.has_blob(cid)));
                cids.iter().map(has).collect::<std::result::Result<Vec<bool>, BadIndex>>()
            })
        };
        let answer = all()?;
        if answer.contains(&false) && self.0.refresh()? { all() } else { Ok(answer) }
    }

    /// Length of a block or blob in bytes, without reading it.
    pub fn size(&self, cid: &Cid) -> Result<u64> {
        if let Some(inline) = cid.identity() {
            return Ok(inline.len() as u64);
        }
        let size = || -> Result<Option<u64>> {
            let Some(key) = key(cid) else { return Ok(None) };
            let found = self.0.look_up(|state| state.first(&key, true))?;
            Ok(found.map(|found| found.place.block_bytes()).or_else(|| self.0.blob_bytes(cid)))
        };
        if let Some(bytes) = size()? {
            return Ok(bytes);
        }
        let again = if self.0.refresh()? { size()? } else { None };
        again.ok_or_else(|| Error::NotFound { cid: cid.clone() })
    }

    /// A block, checked against its hash.
    ///
    /// Fails with [`Error::NotFound`], with [`Error::Damaged`] when no copy of it is sound, and with
    /// [`Error::UnsupportedHash`] when it could not be checked.
    pub fn block(&self, cid: &Cid) -> Result<Block> {
        self.0.read(cid, true, true)
    }

    /// A block, not checked: for callers that hash it themselves.
    pub fn block_unverified(&self, cid: &Cid) -> Result<Block> {
        self.0.read(cid, true, false)
    }

    /// Many blocks, each checked as [`Store::block`] does; faster than one by one, since many are hashed side by side.
    #[must_use]
    pub fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
        self.0.read_many(cids, true)
    }

    /// All pins, ordered by CID.
    pub fn pins(&self) -> Result<Vec<Pin>> {
        self.0.refresh()?;
        Ok(self.0.state().contents.pins.values().cloned().collect())
    }

    /// The pin of a CID.
    pub fn pin(&self, cid: &Cid) -> Result<Option<Pin>> {
        self.0.refresh()?;
        Ok(self.0.state().contents.pins.get(cid).cloned())
    }

    /// Opens a session that writes. Many of one process may live at a time; they share the store's lock.
    ///
    /// Waits up to `Options::lock_wait` for other processes, then fails with [`Error::Locked`].
    pub fn write(&self) -> Result<Session> {
        Session::open(&self.0, false)
    }

    /// Opens a session that is the only one, for collection: waits until no other of this process or another lives.
    pub fn write_exclusive(&self) -> Result<Session> {
        Session::open(&self.0, true)
    }

    /// What the store holds.
    pub fn stat(&self) -> Result<Stat> {
        self.0.refresh()?;
        let state = self.0.state();
        let mut stat = Stat {
            path: self.0.root.clone(),
            blocks: 0,
            block_bytes: 0,
            blobs: state.contents.blobs.len() as u64,
            blob_bytes: state.contents.blobs.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
            packs: state.contents.packs.len() as u64,
            pack_bytes: 0,
            dead_bytes: 0,
            pins: state.contents.pins.len() as u64,
            packs_missing: state.missing.clone(),
        };
        for record in state.contents.packs.values() {
            stat.blocks += record.entries.saturating_sub(record.dead.len() as u64);
            stat.block_bytes += record.block_bytes.saturating_sub(record.dead_bytes);
            stat.pack_bytes += record.length;
            stat.dead_bytes += record.dead_bytes;
        }
        Ok(stat)
    }

    /// Every pack, by number.
    pub fn packs(&self) -> Result<Vec<PackStat>> {
        self.0.refresh()?;
        let state = self.0.state();
        let stat = |(&pack, record): (&u32, &crate::meta::PackRecord)| PackStat {
            pack,
            is_sealed: record.is_sealed,
            bytes: record.length,
            blocks: record.entries,
            block_bytes: record.block_bytes,
            dead_blocks: record.dead.len() as u64,
            dead_bytes: record.dead_bytes,
        };
        Ok(state.contents.packs.iter().map(stat).collect())
    }

    /// Every live block, pack by pack in the order of the file. A block that stands in two packs comes twice.
    ///
    /// Holds one pack's places (8 bytes a block) at a time. A section whose head is damaged comes as
    /// [`Error::DamagedSection`]; the blocks are not read, let alone checked.
    pub fn entries(&self) -> Result<Entries> {
        self.0.refresh()?;
        let packs = self.0.state().contents.packs.keys().rev().copied().collect();
        Ok(Entries { store: self.clone(), packs, current: None })
    }

    /// [`Store::entries`] of one pack.
    pub fn pack_entries(&self, pack: u32) -> Result<Entries> {
        Ok(Entries { store: self.clone(), packs: vec![pack], current: None })
    }

    /// What was put right when this store first took the lock, if anything had to be.
    #[must_use]
    pub fn recovery(&self) -> Option<RecoveryReport> {
        locked(&self.0.report).clone()
    }

    /// Takes in what other processes have committed. Lookups that miss do so by themselves.
    pub fn refresh(&self) -> Result<()> {
        self.0.refresh().map(|_| ())
    }
}

/// Blocks hashed side by side at a time by [`Store::blocks`]: as many as SIMD lanes take, twice over.
const VERIFY_BATCH: usize = 32;

impl Inner {
    pub fn read_many(&self, cids: &[Cid], is_committed_only: bool) -> Vec<Result<Block>> {
        let mut blocks: Vec<Result<Block>> = Vec::with_capacity(cids.len());
        for batch in cids.chunks(VERIFY_BATCH) {
            let from = blocks.len();
            blocks
                .extend(batch.iter().map(|cid| self.read(cid, is_committed_only, false).and_then(|block| check_hash(cid).map(|()| block))));
            let mut is_good = vec![false; batch.len()];
            let mut lanes = Vec::new();
            for (at, (cid, block)) in batch.iter().zip(blocks.iter().skip(from)).enumerate() {
                let Ok(block) = block else { continue };
                let parts = cid.parts();
                if parts.hash == Hash::Sha256.code() && parts.digest.len() == 32 {
                    lanes.push((at, cid, block));
                } else if let Some(good) = is_good.get_mut(at) {
                    *good = hash::verify(cid, block) != Err(VerifyError::Mismatch);
                }
            }
            let inputs: Vec<&[u8]> = lanes.iter().map(|(_, _, block)| &***block).collect();
            let mut digests = vec![[0; 32]; inputs.len()];
            hash::digest_many(Hash::Sha256, &inputs, &mut digests);
            for ((at, cid, _), digest) in lanes.iter().zip(&digests) {
                if let Some(good) = is_good.get_mut(*at) {
                    *good = cid.digest() == digest;
                }
            }
            for ((cid, block), good) in batch.iter().zip(blocks.iter_mut().skip(from)).zip(is_good) {
                if !good && block.is_ok() {
                    // Once more, alone: tries other copies, and names the damage.
                    *block = self.read(cid, is_committed_only, true);
                }
            }
        }
        blocks
    }
}

/// Iterator of [`Store::entries`].
pub struct Entries {
    store: Store,
    /// Still to come, last first.
    packs: Vec<u32>,
    current: Option<PackEntries>,
}

struct PackEntries {
    pack: u32,
    places: std::vec::IntoIter<Place>,
    map: Map,
    limit: u64,
}

impl Entries {
    fn open_pack(&self, pack: u32) -> Result<Option<PackEntries>> {
        let inner = &self.store.0;
        let opened = inner.look_up(|state| {
            let Some(places) = state.places(pack, true)? else { return Ok(Ok(None)) };
            let view = match state.active.as_ref().filter(|active| active.id == pack) {
                Some(active) => {
                    let limit = active.committed.min(active.readable);
                    active.map_to(limit).map(|map| (map, limit))
                }
                None => Ok(state.sealed(pack).map_or((Map::from_bytes(Vec::new()), 0), |sealed| (sealed.map.clone(), sealed.readable))),
            };
            Ok(view.map(|(map, limit)| Some(PackEntries { pack, places: places.into_iter(), map, limit })))
        })?;
        opened.map_err(|e| Error::io("mapping", &inner.paths.car(pack), e))
    }
}

impl Iterator for Entries {
    type Item = Result<StoredBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(place) = current.places.next() {
                    let (pack, offset) = (current.pack, place.offset());
                    let section = section_at(&current.map, offset, current.limit)
                        .filter(|section| section.end - section.block_start == place.block_bytes());
                    return Some(match section {
                        Some(section) => Ok(StoredBlock { cid: section.cid, pack, offset, bytes: place.block_bytes() }),
                        None => Err(Error::DamagedSection { pack, offset }),
                    });
                }
                self.current = None;
            }
            let pack = self.packs.pop()?;
            match self.open_pack(pack) {
                Ok(current) => self.current = current,
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
