//! Giving back room: deleting blocks, and collecting what no pin keeps.

use crate::cid::AnyCid;
use crate::error::pinned;
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::pinning::pinned_among;

/// Freed blocks, their bytes, kept blocks, their bytes, packs removed, references dropped.
type Report = (u64, u64, u64, u64, u64, u64);

#[pymethods]
impl Store {
    /// Deletes blocks: how many were here. Refuses, before anything is deleted, when one is pinned, unless forced.
    fn delete(&self, py: Python<'_>, cids: Vec<AnyCid>, force: bool, watch: Watch) -> PyResult<u64> {
        let open = self.open(py)?;
        let cids: Vec<shoal_core::Cid> = cids.into_iter().map(|cid| cid.0).collect();
        let outcome = run(py, &watch, |operation| {
            // From here on nobody collects; and a pin that another sets now is set after this commit.
            let session = open.write(operation)?;
            if !force && let Some(kept) = pinned_among(&open.store, &cids, operation)?.into_iter().next() {
                return Ok(Err(kept));
            }
            let deleted = session.delete(&cids)?;
            operation.check()?;
            session.commit()?;
            Ok(Ok(deleted))
        })?;
        outcome.map_err(|kept| pinned(py, &kept.cid, kept.through.as_ref()))
    }

    /// Frees what no pin keeps, or counts it.
    fn collect(&self, py: Python<'_>, dry_run: bool, watch: Watch) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = CollectOptions { dry_run, ..CollectOptions::default() };
        let done = run(py, &watch, |operation| open.patiently(operation, || collect(&open.store, options, operation)))?;
        Ok((done.freed_blocks, done.freed_bytes, done.kept_blocks, done.kept_bytes, done.packs_removed, done.references_dropped))
    }
}
