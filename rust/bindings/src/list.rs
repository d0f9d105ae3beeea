//! Names below a CID: what a path leads to, and what is in a directory.

use crate::cid::Cid;
use crate::error::store_error;
use crate::file::resolve;
use crate::path::Content;
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::directory::{self, Entries, Kind, Named};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Mutex, PoisonError};

/// Entries handed over at a time: enough to forget the cost of a call, few enough for Ctrl-C to feel instant.
const BATCH: usize = 256;

/// Name, CID, kind, content bytes, DAG bytes, mode, mtime, link target.
type Row = (OsString, Cid, &'static str, Option<u64>, u64, Option<u32>, Option<f64>, Option<OsString>);

/// Seconds since 1970 as Python counts them.
#[expect(clippy::cast_precision_loss, reason = "Python's own times are such floats; 2^53 seconds are enough")]
pub fn seconds((seconds, nanoseconds): (i64, u32)) -> f64 {
    seconds as f64 + f64::from(nanoseconds) / 1e9
}

/// An entry, and what it is where that was asked.
fn row(store: &shoal_store::Store, named: Named, is_resolved: bool) -> shoal_store::Result<Row> {
    let name = OsString::from_vec(named.name);
    if !is_resolved {
        return Ok((name, Cid(named.cid), "unknown", None, named.dag_bytes, None, None, None));
    }
    let (kind, metadata) = directory::about(store, &named.cid)?;
    let (kind, size, target) = match kind {
        Kind::File { bytes } => ("file", Some(bytes), None),
        Kind::Directory => ("directory", None, None),
        Kind::Symlink { target } => ("symlink", None, Some(OsString::from_vec(target))),
        Kind::Other => ("unknown", None, None),
    };
    Ok((name, Cid(named.cid), kind, size, named.dag_bytes, metadata.mode, metadata.mtime.map(seconds), target))
}

/// The entries of one directory, a batch at a time.
#[pyclass(frozen, module = "shoal._core")]
pub struct EntryBatches {
    store: shoal_store::Store,
    pid: u32,
    is_resolved: bool,
    /// Taken only while detached.
    entries: Mutex<Entries>,
}

#[pymethods]
impl EntryBatches {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Vec<Row>>> {
        if self.pid != std::process::id() {
            return Err(store_error(py, &shoal_store::Error::Forked));
        }
        let rows = py.detach(|| {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.by_ref().take(BATCH).map(|named| row(&self.store, named?, self.is_resolved)).collect::<shoal_store::Result<Vec<_>>>()
        });
        let rows = rows.map_err(|e| store_error(py, &e))?;
        Ok(if rows.is_empty() { None } else { Some(rows) })
    }
}

#[pymethods]
impl Store {
    /// The entries of a directory in batches.
    fn entries(&self, py: Python<'_>, content: Content, resolved: bool) -> PyResult<EntryBatches> {
        let store = self.open(py)?.store;
        let entries = py.detach(|| Entries::open(&store, &resolve(&store, &content.0)?)).map_err(|e| store_error(py, &e))?;
        Ok(EntryBatches { store, pid: std::process::id(), is_resolved: resolved, entries: Mutex::new(entries) })
    }

    /// What a path leads to.
    fn about(&self, py: Python<'_>, content: Content) -> PyResult<Row> {
        let store = self.open(py)?.store;
        let name = content.0.names.last().cloned().unwrap_or_default();
        py.detach(|| {
            let (parent_names, last) = match content.0.names.split_last() {
                Some((last, names)) => (names.to_vec(), Some(last)),
                None => (Vec::new(), None),
            };
            let parent = resolve(&store, &crate::path::Path { root: content.0.root.clone(), names: parent_names })?;
            let named = match last {
                None => Named { name: Vec::new(), dag_bytes: dag_bytes(&store, &parent)?, cid: parent },
                Some(last) => {
                    let bytes = last.clone().into_vec();
                    match directory::lookup(&store, &parent, &bytes)? {
                        Some(named) => named,
                        None => return Err(shoal_store::Error::NoSuchName { cid: parent, name: bytes }),
                    }
                }
            };
            row(&store, Named { name: name.into_vec(), ..named }, true)
        })
        .map_err(|e| store_error(py, &e))
    }

    fn resolve(&self, py: Python<'_>, content: Content) -> PyResult<(Cid, OsString)> {
        let store = self.open(py)?.store;
        let cid = py.detach(|| resolve(&store, &content.0)).map_err(|e| store_error(py, &e))?;
        Ok((Cid(cid), OsString::new()))
    }
}

/// Size of the DAG at a root: its block, and what the block says of those below it.
fn dag_bytes(store: &shoal_store::Store, cid: &shoal_core::Cid) -> shoal_store::Result<u64> {
    let own = store.size(cid)?;
    if cid.codec() != shoal_core::cid::codec::DAG_PB {
        return Ok(own);
    }
    let block = store.block(cid)?;
    let links = shoal_core::dag::pb::decode(&block).map(|node| node.links).unwrap_or_default();
    Ok(links.iter().filter_map(|link| link.dag_bytes).fold(own, u64::saturating_add))
}
