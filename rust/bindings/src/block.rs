//! Blocks as Python sees them: an object with the buffer protocol over the bytes where they are.

use crate::cid::Cid;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ffi::{c_int, c_void};

/// A checked block. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal", name = "Block")]
pub struct Block {
    cid: shoal_core::Cid,
    data: shoal_store::Block,
}

impl Block {
    pub fn new(cid: shoal_core::Cid, data: shoal_store::Block) -> Self {
        Self { cid, data }
    }

    /// Its name and bytes, which are checked to belong together.
    pub fn parts(&self) -> (shoal_core::Cid, shoal_store::Block) {
        (self.cid.clone(), self.data.clone())
    }
}

/// How a pickle makes an object again: a callable and its arguments.
type Reduced<'py> = (Bound<'py, PyAny>, (Cid, Bound<'py, PyBytes>));

#[pymethods]
impl Block {
    #[getter]
    fn cid(&self) -> Cid {
        Cid(self.cid.clone())
    }

    fn __len__(&self) -> usize {
        self.data.len()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }

    fn __repr__(&self) -> String {
        format!("<Block {} of {} bytes>", self.cid, self.data.len())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().cid == self.cid)
    }

    fn __hash__(&self) -> u64 {
        crate::cid::hash_of(&self.cid)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Reduced<'py>> {
        let make = py.get_type::<Self>().getattr("_restore")?;
        Ok((make, (self.cid(), self.__bytes__(py))))
    }

    /// A block unpickled: checked again, for a pickle is outside data.
    #[staticmethod]
    fn _restore(py: Python<'_>, cid: &Bound<'_, Cid>, data: &[u8]) -> PyResult<Self> {
        let cid = cid.get().0.clone();
        shoal_core::hash::verify(&cid, data).map_err(|e| crate::error::invalid(py, &e.to_string()))?;
        Ok(Self { data: shoal_store::Block::owned(data), cid })
    }

    #[expect(unsafe_code, reason = "the buffer protocol is made of raw pointers")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let bytes: &[u8] = &slf.get().data;
        let (start, length) = (bytes.as_ptr().cast::<c_void>().cast_mut(), bytes.len());
        let length = ffi::Py_ssize_t::try_from(length).map_err(|_| PyBufferError::new_err("too long"))?;
        // SAFETY: `view` is the interpreter's to fill. It takes a reference to this object, which is frozen and keeps the bytes
        // (and the mapping they are in) at their place until the last view is released. Read-only is refused to writers there.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
