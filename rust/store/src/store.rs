//! The store as its users see it.
//!
//! Readers see what is committed, nothing else. What is open is in `inner.rs`, reading in `lookup.rs`, writing in `session.rs`, taking
//! over after a crash in `recover.rs`.

use crate::blob::Blobs;
use crate::block::Block;
use crate::disk::{Disk, RealDisk};
use crate::entries::Entries;
use crate::error::{Error, Result};
use crate::hold::Holds;
use crate::inner::{Inner, locked};
use crate::meta::{COMPACT_BYTES_MIN, Journal, Pin};
use crate::pack::{Key, PackPaths, Place, key};
use crate::quota::Uses;
use crate::range::Trees;
use crate::recover::RecoveryReport;
use crate::reserve::RESERVE_BYTES;
use crate::session::Session;
use crate::state::{BadIndex, State};
use shoal_core::Cid;
use shoal_core::limits::CAR_SECTION_BYTES_MAX;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, RwLock};
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
    /// Room kept back on the disk, in bytes, so that a full one can be emptied again; 0 for none.
    pub reserve_bytes: u64,
    /// The quota: packs and blobs together may have so many bytes; 0 for as many as there is room for.
    pub size_max: u64,
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
            reserve_bytes: RESERVE_BYTES,
            size_max: 0,
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
    /// Blocks that stand in files outside: each as often as one is known to have it.
    pub references: u64,
    /// Their lengths together, in bytes.
    pub reference_bytes: u64,
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
            referring: Mutex::default(),
            merging: Mutex::new(()),
            pending: RwLock::default(),
            holds: Holds::default(),
            uses: Uses::default(),
            collecting: Mutex::default(),
            naming: RwLock::default(),
            is_poisoned: AtomicBool::new(false),
            is_writing: AtomicBool::new(false),
            report: Mutex::new(None),
            trees: Trees::default(),
        };
        {
            let mut state = inner.state_mut();
            inner.reconcile(&mut state)?;
        }
        let is_short = !inner.state().missing.is_empty() || !inner.state().references_bad.is_empty();
        if is_short {
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
    /// under another hash counts too (pack.md §4.2). Blocks of identity CIDs always are here. So are blocks in files outside, for as
    /// long as it is known where they were: the files are not looked at.
    pub fn has(&self, cid: &Cid) -> Result<bool> {
        Ok(self.0.has(cid, true)? || (self.0.refresh()? && self.0.has(cid, true)?))
    }

    /// [`Store::has`] of many.
    pub fn has_many(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        let keys: Vec<Option<Key>> = cids.iter().map(key).collect();
        let wanted: Vec<&Key> = keys.iter().flatten().collect();
        let all = || {
            self.0.look_up(|state| {
                let mut has = state.has_many(&wanted, true, &|_| true)?.into_iter();
                let is_here = |(key, cid): (&Option<Key>, &Cid)| {
                    let Some(key) = key else { return Ok(true) };
                    Ok(has.next() == Some(true) || state.has_blob(cid) || state.referenced_bytes(key)?.is_some())
                };
                keys.iter().zip(cids).map(is_here).collect::<std::result::Result<Vec<bool>, BadIndex>>()
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
            match found.map(|found| found.place.block_bytes()).or_else(|| self.0.blob_bytes(cid)) {
                Some(bytes) => Ok(Some(bytes)),
                None => self.0.referenced_bytes(cid),
            }
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
            references: state.contents.references.values().fold(0, |sum, table| sum.saturating_add(table.blocks)),
            reference_bytes: state.contents.references.values().fold(0, |sum, table| sum.saturating_add(table.block_bytes)),
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
