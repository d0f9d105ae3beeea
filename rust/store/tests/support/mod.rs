//! What the store's tests share: painted blocks, disks that fail or forget when told to, and what a store goes through meanwhile.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of this")]

pub mod dice;
pub mod expected;
pub mod failing_disk;
pub mod power_disk;
pub mod scenarios;
pub mod small_disk;
pub mod whole_file;

use shoal_core::Cid;
use shoal_core::hash::{Hash, cid_v1};
use shoal_store::disk::{Disk, DiskFile, Identity, Lock, Map};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::{Options, Store};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A block whose bytes follow from its number and length. Every second one is BLAKE3, the others SHA-256.
pub fn painted(n: u64, bytes: usize) -> (Cid, Vec<u8>) {
    let mut data = vec![0; bytes];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut data);
    let hash = if n.is_multiple_of(2) { Hash::Blake3 } else { Hash::Sha256 };
    (cid_v1(hash, 0x55, &data).unwrap(), data)
}

pub fn memory() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/")).unwrap();
    disk
}

pub const STORE: &str = "/store";

pub fn open(disk: &impl Shared, options: &Options) -> Store {
    Store::open(disk.boxed(), Path::new(STORE), options.clone()).unwrap()
}

/// Disks that can be handed to a store any number of times.
pub trait Shared {
    fn boxed(&self) -> Arc<dyn Disk>;
}

impl<D: Disk + Clone + 'static> Shared for D {
    fn boxed(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }
}

/// Waits for nobody: tests that meet a lock want to know at once.
pub fn options(pack_bytes_max: u64) -> Options {
    Options { pack_bytes_max, lock_wait: std::time::Duration::ZERO, reserve_bytes: 1000, ..Options::default() }
}

/// Reads a whole file of a disk.
pub fn content(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), false).unwrap();
    shoal_store::disk::read_to_end(&*file, 0).unwrap()
}

/// Replaces the content of a file of a disk, keeping its identity.
pub fn set_content(disk: &dyn Disk, path: &str, bytes: &[u8]) {
    let file = disk.open(Path::new(path), true).unwrap();
    file.set_len(0).unwrap();
    shoal_store::disk::write_all_at(&*file, &mut [IoSlice::new(bytes)], 0).unwrap();
}

pub type Blocks = BTreeMap<Cid, Vec<u8>>;

pub fn put_all(store: &Store, numbers: std::ops::Range<u64>, bytes: usize) -> Blocks {
    let blocks: Blocks = numbers.map(|n| painted(n, bytes)).collect();
    let session = store.write().unwrap();
    for (cid, data) in &blocks {
        session.put(cid, data).unwrap();
    }
    session.commit().unwrap();
    blocks
}

pub fn check_all(store: &Store, blocks: &Blocks) {
    for (cid, data) in blocks {
        assert_eq!(&*store.block(cid).unwrap(), data.as_slice());
    }
}

/// A store of a sealed pack and an open one, with two commits in each: the disk, and what was committed first and last.
pub fn small_store() -> (MemoryDisk, Blocks, Blocks) {
    let disk = memory();
    let store = open(&disk, &options(3000));
    let mut first = put_all(&store, 0..5, 400);
    first.extend(put_all(&store, 5..10, 400));
    let last = put_all(&store, 10..12, 400);
    assert_eq!(store.packs().unwrap().len(), 2);
    (disk, first, last)
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with this error, once; writes have no effect.
    Once(i32),
    /// So do all that come after it, as on a disk that is full or gone. What only frees room still works when it is full.
    Lasting(i32),
    /// A write writes half, then fails; others fail.
    Torn(i32),
    /// Opening a file fails with this error, once; only openings are counted.
    Open(i32),
    /// A sync fails, and what was to be synced is gone from the file as if it had never been written.
    LostSync,
}

pub const ENOSPC: i32 = 28;
pub const EIO: i32 = 5;

#[derive(Default)]
struct Plan {
    operations: AtomicU64,
    fail_at: AtomicU64,
    fault: Mutex<Option<Fault>>,
    has_failed: AtomicBool,
    log: Mutex<Vec<String>>,
}

impl Plan {
    /// Counts an operation that changes the disk: the fault, if it is to fail.
    fn next(&self, what: &str, path: &Path) -> Option<Fault> {
        let is_open = matches!(*self.fault.lock().unwrap(), Some(Fault::Open(_)));
        if is_open != (what == "open") {
            return None;
        }
        let n = self.operations.fetch_add(1, Ordering::SeqCst);
        self.log.lock().unwrap().push(format!("{what} {}", path.display()));
        let fault = (*self.fault.lock().unwrap())?;
        let at = self.fail_at.load(Ordering::SeqCst);
        let fails = n == at || (n > at && matches!(fault, Fault::Lasting(code) if code != ENOSPC || !matches!(what, "remove" | "cut")));
        if fails {
            self.has_failed.store(true, Ordering::SeqCst);
        }
        fails.then_some(fault)
    }

    fn check(&self, what: &str, path: &Path) -> io::Result<()> {
        match self.next(what, path) {
            None => Ok(()),
            Some(Fault::Once(code) | Fault::Lasting(code) | Fault::Torn(code) | Fault::Open(code)) => {
                Err(io::Error::from_raw_os_error(code))
            }
            Some(Fault::LostSync) => Err(io::Error::from_raw_os_error(EIO)),
        }
    }
}

/// A disk over another that fails at the n-th operation which would change it.
#[derive(Clone)]
pub struct FaultyDisk {
    below: Arc<dyn Disk>,
    plan: Arc<Plan>,
}

struct FaultyFile {
    below: Arc<dyn DiskFile>,
    plan: Arc<Plan>,
    path: PathBuf,
    /// Length at the last sync.
    synced: AtomicU64,
}

impl FaultyDisk {
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, plan: Arc::default() }
    }

    /// From now on, counting from 0, the n-th operation fails.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        self.plan.operations.store(0, Ordering::SeqCst);
        self.plan.has_failed.store(false, Ordering::SeqCst);
        self.plan.fail_at.store(n, Ordering::SeqCst);
        self.plan.log.lock().unwrap().clear();
        *self.plan.fault.lock().unwrap() = Some(fault);
    }

    pub fn heal(&self) {
        *self.plan.fault.lock().unwrap() = None;
    }

    /// Whether the planned fault has happened.
    pub fn has_failed(&self) -> bool {
        self.plan.has_failed.load(Ordering::SeqCst)
    }

    /// Operations since the last [`FaultyDisk::fail_at`].
    pub fn log(&self) -> Vec<String> {
        self.plan.log.lock().unwrap().clone()
    }

    fn file(&self, path: &Path, below: Arc<dyn DiskFile>) -> io::Result<Arc<dyn DiskFile>> {
        let synced = AtomicU64::new(below.identity()?.bytes);
        Ok(Arc::new(FaultyFile { below, plan: Arc::clone(&self.plan), path: path.to_owned(), synced }))
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.plan.check("open", path)?;
        self.file(path, self.below.open(path, writable)?)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.plan.check("create", path)?;
        self.file(path, self.below.create(path)?)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plan.check("rename", to)?;
        self.below.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.plan.check("remove", path)?;
        self.below.remove(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.below.list(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.plan.check("create_dir", path)?;
        self.below.create_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.plan.check("sync_dir", path)?;
        self.below.sync_dir(path)
    }
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        self.below.identity(path)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plan.check("link", to)?;
        self.below.link(from, to)
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.below.lock(path)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.below.read_at(buffer, offset)
    }
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        match self.plan.next("write", &self.path) {
            None => self.below.write_vectored_at(buffers, offset),
            Some(Fault::Torn(code)) => {
                let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
                self.below.write_vectored_at(&[IoSlice::new(&all[..all.len() / 2])], offset)?;
                Err(io::Error::from_raw_os_error(code))
            }
            Some(Fault::Once(code) | Fault::Lasting(code) | Fault::Open(code)) => Err(io::Error::from_raw_os_error(code)),
            Some(Fault::LostSync) => Err(io::Error::from_raw_os_error(EIO)),
        }
    }
    fn identity(&self) -> io::Result<Identity> {
        self.below.identity()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.plan.check("cut", &self.path)?;
        self.below.set_len(bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        let synced = self.synced.load(Ordering::SeqCst);
        match self.plan.next("sync", &self.path) {
            None => {
                self.below.sync_data()?;
                self.synced.store(self.below.identity()?.bytes, Ordering::SeqCst);
                Ok(())
            }
            Some(Fault::LostSync) => {
                self.below.set_len(synced)?;
                Err(io::Error::from_raw_os_error(EIO))
            }
            Some(Fault::Once(code) | Fault::Lasting(code) | Fault::Torn(code) | Fault::Open(code)) => {
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }
    fn map(&self, bytes: u64) -> io::Result<Map> {
        self.below.map(bytes)
    }
}
