//! Links of a DAG, and the blocks of the store, a batch at a time.

use crate::cid::Cid;
use crate::error::store_error;
use crate::file::resolve;
use crate::operation::{Watch, run};
use crate::path::Content;
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::walk::{Refs, RefsOptions, refs};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Items handed over at a time.
const BATCH: usize = 256;

/// Parent, child, name.
type Row = (Cid, Cid, OsString);

/// Links of a DAG.
#[pyclass(frozen, module = "shoal._core")]
pub struct RefBatches {
    pid: u32,
    /// Taken only while detached.
    refs: Mutex<Refs>,
}

#[pymethods]
impl RefBatches {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Vec<Row>>> {
        if self.pid != std::process::id() {
            return Err(store_error(py, &shoal_store::Error::Forked));
        }
        let rows = py.detach(|| {
            let mut refs = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
            let row = |found: shoal_store::walk::Ref| (Cid(found.parent), Cid(found.child), OsString::from_vec(found.name.into_vec()));
            refs.by_ref().take(BATCH).map(|found| found.map(row)).collect::<shoal_store::Result<Vec<_>>>()
        });
        let rows = rows.map_err(|e| store_error(py, &e))?;
        Ok(if rows.is_empty() { None } else { Some(rows) })
    }
}

/// CIDs of the blocks in the store, and then of its blobs.
#[pyclass(frozen, module = "shoal._core")]
pub struct CidBatches {
    pid: u32,
    entries: Mutex<(shoal_store::Entries, std::vec::IntoIter<(shoal_core::Cid, u64)>)>,
}

#[pymethods]
impl CidBatches {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Vec<Cid>>> {
        if self.pid != std::process::id() {
            return Err(store_error(py, &shoal_store::Error::Forked));
        }
        let cids = py.detach(|| {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let (blocks, blobs) = &mut *entries;
            let blocks = blocks.map(|entry| entry.map(|entry| Cid(entry.cid)));
            blocks.chain(blobs.map(|(cid, _)| Ok(Cid(cid)))).take(BATCH).collect::<shoal_store::Result<Vec<_>>>()
        });
        let cids = cids.map_err(|e| store_error(py, &e))?;
        Ok(if cids.is_empty() { None } else { Some(cids) })
    }
}

#[pymethods]
impl Store {
    fn refs(
        &self,
        py: Python<'_>,
        content: Content,
        recursive: bool,
        unique: bool,
        depth_max: Option<usize>,
        watch: Watch,
    ) -> PyResult<RefBatches> {
        let store = self.open(py)?.store;
        let operation = watch.operation.as_ref().map_or_else(Arc::default, |operation| Arc::clone(&operation.get().counters));
        let options = RefsOptions { is_recursive: recursive, is_unique: unique, depth_max };
        let root = py.detach(|| resolve(&store, &content.0)).map_err(|e| store_error(py, &e))?;
        Ok(RefBatches { pid: std::process::id(), refs: Mutex::new(refs(&store, &root, options, operation)) })
    }

    fn cids(&self, py: Python<'_>) -> PyResult<CidBatches> {
        let store = self.open(py)?.store;
        let entries =
            py.detach(|| Ok((store.entries()?, store.blobs()?.into_iter()))).map_err(|e: shoal_store::Error| store_error(py, &e))?;
        Ok(CidBatches { pid: std::process::id(), entries: Mutex::new(entries) })
    }

    /// Blocks, their bytes, links, bytes with repeats (2^64 - 1 for that or more).
    fn dag_stat(&self, py: Python<'_>, content: Content, watch: Watch) -> PyResult<(Cid, u64, u64, u64, u64)> {
        let store = self.open(py)?.store;
        let stat = run(py, &watch, |operation| shoal_store::walk::stat(&store, &resolve(&store, &content.0)?, operation))?;
        Ok((Cid(stat.cid), stat.blocks, stat.bytes, stat.links, stat.total_bytes.unwrap_or(u64::MAX)))
    }
}
