//! Leases: what is looked up through one stays until it is closed.

use crate::cid::AnyCid;
use crate::error::{Class, raise, store_error};
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct Lease(Mutex<Option<Arc<shoal_store::Lease>>>);

impl Lease {
    fn open(&self, py: Python<'_>) -> PyResult<Arc<shoal_store::Lease>> {
        let lease = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lease.ok_or_else(|| raise(py, Class::StoreError, "the lease is over; open another one"))
    }
}

#[pymethods]
impl Store {
    fn lease(&self, py: Python<'_>, watch: Watch) -> PyResult<Lease> {
        let open = self.open(py)?;
        let lease = run(py, &watch, |operation| open.patiently(operation, || open.store.lease()))?;
        Ok(Lease(Mutex::new(Some(Arc::new(lease)))))
    }
}

#[pymethods]
impl Lease {
    fn has(&self, py: Python<'_>, cid: AnyCid) -> PyResult<bool> {
        Ok(self.has_many(py, vec![cid])?.contains(&true))
    }

    fn has_many(&self, py: Python<'_>, cids: Vec<AnyCid>) -> PyResult<Vec<bool>> {
        let lease = self.open(py)?;
        let cids: Vec<shoal_core::Cid> = cids.into_iter().map(|cid| cid.0).collect();
        py.detach(|| lease.has_many(&cids)).map_err(|e| store_error(py, &e))
    }

    fn keep(&self, py: Python<'_>, cid: AnyCid) -> PyResult<u64> {
        let lease = self.open(py)?;
        run(py, &Watch::default(), |operation| lease.keep(&cid.0, operation))
    }

    fn close(&self, py: Python<'_>) {
        let lease = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(lease));
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, pyo3::types::PyTuple>) {
        self.close(py);
    }
}
