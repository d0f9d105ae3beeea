//! The version of a store's format. Of the folder, not of an open store: one of another version cannot be opened.

use crate::error::store_error;
use crate::operation::{Watch, run};
use pyo3::prelude::*;
use shoal_store::Options;
use shoal_store::migrate::{Migrated, migrate, version};
use std::path::PathBuf;
use std::time::Duration;

/// The version found, and the one this program works with.
#[pyfunction]
pub fn store_version(py: Python<'_>, path: PathBuf) -> PyResult<(u32, u32)> {
    let found = py.detach(|| version(&path)).map_err(|e| store_error(py, &e))?;
    Ok((found, shoal_store::FORMAT_VERSION))
}

/// The version found, the one there is now or would be, and the steps between them.
#[pyfunction]
pub fn migrate_store(py: Python<'_>, path: PathBuf, dry_run: bool, watch: Watch) -> PyResult<(u32, u32, Vec<String>)> {
    // Short, since this wait cannot be interrupted; who waits longer asks again.
    let options = Options { lock_wait: Duration::from_secs(1), ..Options::default() };
    let Migrated { from, to, steps } = run(py, &watch, |operation| migrate(&path, dry_run, &options, operation))?;
    Ok((from, to, steps))
}
