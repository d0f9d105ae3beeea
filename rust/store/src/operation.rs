//! A long operation, as seen from outside: how far it is, and a way to stop it.
//!
//! Counters only; it starts nothing and waits for nothing. Workers add to it, a watcher reads it,
//! and every loop over outside data calls [`Operation::check`].

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const UNKNOWN: u64 = u64::MAX;

/// Progress and cancellation of one operation. Shared by reference between its threads.
#[derive(Debug)]
pub struct Operation {
    bytes: AtomicU64,
    bytes_total: AtomicU64,
    files: AtomicU64,
    files_total: AtomicU64,
    cancelled: AtomicBool,
    current: Mutex<String>,
}

/// A reading of an [`Operation`]'s counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Content bytes done.
    pub bytes: u64,
    /// Content bytes there are, once known.
    pub bytes_total: Option<u64>,
    /// Files (or blocks, where there are no files) done.
    pub files: u64,
    /// Files there are, once known.
    pub files_total: Option<u64>,
    /// What is being worked on: a path or a CID. Empty when there is nothing to name.
    pub current: String,
}

impl Default for Operation {
    fn default() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            bytes_total: AtomicU64::new(UNKNOWN),
            files: AtomicU64::new(0),
            files_total: AtomicU64::new(UNKNOWN),
            cancelled: AtomicBool::new(false),
            current: Mutex::new(String::new()),
        }
    }
}

impl Operation {
    /// Nothing done yet, nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every thread of the operation to stop at its next [`check`](Self::check).
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// [`Error::Cancelled`] once somebody cancelled.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Counts content bytes as done.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts files as done.
    pub fn add_files(&self, files: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
    }

    /// Says how much there is to do.
    pub fn expect(&self, bytes_total: Option<u64>, files_total: Option<u64>) {
        self.bytes_total.store(bytes_total.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.files_total.store(files_total.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Names what is being worked on. Skipped, not waited for, when somebody reads the name just now.
    pub fn name_current(&self, name: &dyn std::fmt::Display) {
        if let Ok(mut current) = self.current.try_lock() {
            use std::fmt::Write as _;
            current.clear();
            // Writing to a String cannot fail.
            let _ = write!(current, "{name}");
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let known = |counter: &AtomicU64| Some(counter.load(Ordering::Relaxed)).filter(|&n| n != UNKNOWN);
        Progress {
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: known(&self.bytes_total),
            files: self.files.load(Ordering::Relaxed),
            files_total: known(&self.files_total),
            current: self.current.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
