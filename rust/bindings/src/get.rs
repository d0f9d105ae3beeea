//! Getting: DAGs as files on disk, and content straight into a descriptor.

use crate::error::invalid;
use crate::file::resolve;
use crate::operation::{Watch, run};
use crate::path::Content;
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::export::{self, GetOptions};
use shoal_store::read::{FileReader, copy_to};
use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

#[pymethods]
impl Store {
    /// Writes what a path leads to: where, how many files, how many bytes.
    fn get(&self, py: Python<'_>, content: Content, target: PathBuf, force: bool, watch: Watch) -> PyResult<(OsString, u64, u64)> {
        let store = self.open(py)?.store;
        let exported = run(py, &watch, |operation| {
            let cid = resolve(&store, &content.0)?;
            export::get(&store, &cid, &target, GetOptions { force, threads: 0 }, operation)
        })?;
        Ok((exported.path.into_os_string(), exported.files, exported.bytes))
    }

    /// Writes a file's content to a descriptor: how many bytes.
    fn copy_to(&self, py: Python<'_>, content: Content, descriptor: i32, offset: u64, length: Option<u64>, watch: Watch) -> PyResult<u64> {
        if descriptor < 0 {
            return Err(invalid(py, "a file descriptor is not negative"));
        }
        let store = self.open(py)?.store;
        // SAFETY: the caller keeps the descriptor open for the length of the call, as with os.write; one that is closed gives
        // EBADF, and one that means something else by then would be written to from Python just as well.
        #[expect(unsafe_code, reason = "a descriptor from Python is a number")]
        let output = unsafe { BorrowedFd::borrow_raw(descriptor) };
        run(py, &watch, |operation| copy_to(&FileReader::open(&store, &resolve(&store, &content.0)?)?, output, offset, length, operation))
    }
}
