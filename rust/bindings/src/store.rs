//! The store itself: opening, closing, and what survives a `fork`. Each family of verbs has its own file.

use crate::error::{Class, invalid, raise, store_error};
use crate::operation::{Watch, run};
use pyo3::prelude::*;
use shoal_store::operation::Operation as Counters;
use shoal_store::{Error, Options, Session};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one try for the lock may take. Waiting longer is done here, in slices, so that it can be interrupted.
const LOCK_SLICE: Duration = Duration::from_millis(50);
/// No one waits longer than this many seconds (a year) for a lock; larger numbers would overflow a clock.
const LOCK_WAIT_SECONDS_MAX: f64 = 31_536_000.0;

/// A folder of blocks. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct Store {
    path: PathBuf,
    options: Options,
    lock_wait: Duration,
    /// Held only while attached, and for as long as a clone takes: a fork never finds it taken.
    slot: Mutex<Slot>,
}

struct Slot {
    /// The process that opened it.
    pid: u32,
    store: Option<shoal_store::Store>,
}

/// An open store, with what a writer needs to know.
#[derive(Clone)]
pub struct Open {
    pub store: shoal_store::Store,
    lock_wait: Duration,
}

impl Open {
    /// The right to write, waited for in slices.
    pub fn write(&self, operation: &Counters) -> shoal_store::Result<Session> {
        self.patiently(operation, || self.store.write())
    }

    /// Does what begins by taking the lock, and tries again while another process, or a collection in this one, has it.
    pub fn patiently<T>(&self, operation: &Counters, mut attempt: impl FnMut() -> shoal_store::Result<T>) -> shoal_store::Result<T> {
        let deadline = Instant::now() + self.lock_wait;
        loop {
            match attempt() {
                Err(Error::Locked { .. }) if Instant::now() < deadline => operation.check()?,
                outcome => return outcome,
            }
        }
    }
}

impl Store {
    /// The store, opened again after a fork: locks and threads of the parent do not exist in the child.
    pub fn open(&self, py: Python<'_>) -> PyResult<Open> {
        let pid = std::process::id();
        {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            match &slot.store {
                None => return Err(raise(py, Class::StoreError, "the store was closed; open it again")),
                Some(store) if slot.pid == pid => return Ok(Open { store: store.clone(), lock_wait: self.lock_wait }),
                // What the parent's other threads held at the fork stays held for ever, so it is not even dropped.
                Some(_) => std::mem::forget(slot.store.take()),
            }
        }
        let store = self.open_now(py);
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.pid = pid;
        let store = store.map_err(|e| store_error(py, &e))?;
        slot.store = Some(store.clone());
        Ok(Open { store, lock_wait: self.lock_wait })
    }

    fn open_now(&self, py: Python<'_>) -> shoal_store::Result<shoal_store::Store> {
        py.detach(|| shoal_store::Store::open_path(&self.path, self.options.clone()))
    }
}

/// What `stat` answers: path, blocks, their bytes, packs, their bytes, dead bytes, pins, version, blobs, their bytes, references, their
/// bytes.
type Stat = (OsString, u64, u64, u64, u64, u64, u64, u32, u64, u64, u64, u64);

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, *, read_only = false, pack_bytes_max = None, size_max = None, lock_wait = 30.0))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        read_only: bool,
        pack_bytes_max: Option<u64>,
        size_max: Option<u64>,
        lock_wait: f64,
    ) -> PyResult<Self> {
        if !(0.0..=LOCK_WAIT_SECONDS_MAX).contains(&lock_wait) {
            return Err(invalid(py, "lock_wait is a number of seconds from 0 to a year"));
        }
        let defaults = Options::default();
        let options = Options {
            pack_bytes_max: pack_bytes_max.unwrap_or(defaults.pack_bytes_max),
            size_max: size_max.unwrap_or(defaults.size_max),
            lock_wait: LOCK_SLICE,
            read_only,
            ..defaults
        };
        let this = Self {
            path,
            options,
            lock_wait: Duration::from_secs_f64(lock_wait),
            slot: Mutex::new(Slot { pid: std::process::id(), store: None }),
        };
        let store = this.open_now(py).map_err(|e| store_error(py, &e))?;
        this.slot.lock().unwrap_or_else(PoisonError::into_inner).store = Some(store);
        Ok(this)
    }

    #[getter]
    fn path(&self) -> OsString {
        self.path.clone().into_os_string()
    }

    fn close(&self, py: Python<'_>) {
        let store = self.slot.lock().unwrap_or_else(PoisonError::into_inner).store.take();
        py.detach(|| drop(store));
    }

    fn stat(&self, py: Python<'_>) -> PyResult<Stat> {
        let open = self.open(py)?;
        let stat = py.detach(|| open.store.stat()).map_err(|e| store_error(py, &e))?;
        let version = shoal_store::FORMAT_VERSION;
        let path = stat.path.into_os_string();
        let (blobs, blob_bytes) = (stat.blobs, stat.blob_bytes);
        let (packs, pack_bytes, dead_bytes) = (stat.packs, stat.pack_bytes, stat.dead_bytes);
        let (references, reference_bytes) = (stat.references, stat.reference_bytes);
        let blocks = (stat.blocks, stat.block_bytes);
        Ok((path, blocks.0, blocks.1, packs, pack_bytes, dead_bytes, stat.pins, version, blobs, blob_bytes, references, reference_bytes))
    }

    /// Waits until nobody else writes, and tells what had to be put right.
    fn recover(&self, py: Python<'_>, watch: Watch) -> PyResult<Option<String>> {
        let open = self.open(py)?;
        run(py, &watch, |operation| {
            drop(open.write(operation)?);
            Ok(open.store.recovery().map(|report| format!("{report:?}")))
        })
    }
}
