//! An open file: read at any offset, verified. Position and buffering are Python's (shoal/file.py).

use crate::error::store_error;
use crate::path::Content;
use crate::store::Store;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shoal_store::directory;
use shoal_store::read::FileReader;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, PoisonError};

/// Bytes read between two looks at signals.
const STEP_BYTES: usize = 16 * 1024 * 1024;

/// A file, open for reading.
#[pyclass(frozen, module = "shoal._core", name = "FileReader")]
pub struct File {
    store: Py<Store>,
    cid: shoal_core::Cid,
    size: u64,
    metadata: shoal_core::unixfs::Metadata,
    /// Taken only while detached.
    reader: Mutex<(u32, FileReader)>,
}

impl File {
    fn read_into(&self, py: Python<'_>, offset: u64, buffer: &mut [u8]) -> PyResult<usize> {
        let pid = std::process::id();
        let mut done = 0;
        for step in buffer.chunks_mut(STEP_BYTES) {
            let store = self.store.get().open(py)?.store;
            let at = offset.saturating_add(done as u64);
            let read = py.detach(|| {
                let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
                if slot.0 != pid {
                    // Opened before a fork: the old reader's store is the parent's, and is not even dropped.
                    let opened = FileReader::open(&store, &self.cid)?;
                    std::mem::forget(std::mem::replace(&mut *slot, (pid, opened)));
                }
                slot.1.read_at(at, step)
            });
            let read = read.map_err(|e| store_error(py, &e))?;
            done += read;
            py.check_signals()?;
            if read < step.len() {
                break;
            }
        }
        Ok(done)
    }
}

#[pymethods]
impl File {
    #[getter]
    fn cid(&self) -> crate::cid::Cid {
        crate::cid::Cid(self.cid.clone())
    }

    #[getter]
    fn size(&self) -> u64 {
        self.size
    }

    #[getter]
    fn mode(&self) -> Option<u32> {
        self.metadata.mode
    }

    #[getter]
    fn mtime(&self) -> Option<f64> {
        self.metadata.mtime.map(crate::list::seconds)
    }

    /// Up to `length` bytes from `offset` on; fewer only at the end.
    fn read_at<'py>(&self, py: Python<'py>, offset: u64, length: u64) -> PyResult<Bound<'py, PyBytes>> {
        let length = usize::try_from(length.min(self.size.saturating_sub(offset))).unwrap_or(usize::MAX);
        PyBytes::new_with(py, length, |buffer| {
            let read = self.read_into(py, offset, buffer)?;
            if read == length {
                Ok(())
            } else {
                // The size was checked against the tree when the file was opened.
                Err(crate::error::bug(py))
            }
        })
    }

    /// Fills a buffer that Python owns from `offset` on: how many bytes. Through a copy, since Python may move it meanwhile.
    fn read_into_at(&self, py: Python<'_>, offset: u64, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyUntypedBuffer::get(buffer)?;
        let length = usize::try_from((buffer.len_bytes() as u64).min(self.size.saturating_sub(offset))).unwrap_or(usize::MAX);
        let bytes = self.read_at(py, offset, length as u64)?;
        if length == 0 {
            return Ok(0);
        }
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(crate::error::invalid(py, "the buffer cannot be written to in one piece"));
        }
        // SAFETY: the export is held, the buffer is contiguous and writable, and has at least `length` bytes; the interpreter is
        // attached, so nobody resizes it meanwhile.
        #[expect(unsafe_code, reason = "the buffer protocol is a pointer and a length")]
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_bytes().as_ptr(), buffer.buf_ptr().cast::<u8>(), length);
        }
        Ok(length)
    }
}

/// The CID that a path leads to.
pub fn resolve(store: &shoal_store::Store, content: &crate::path::Path) -> shoal_store::Result<shoal_core::Cid> {
    let names: Vec<&[u8]> = content.names.iter().map(|name| name.as_bytes()).collect();
    directory::resolve(store, &content.root, &names)
}

#[pymethods]
impl Store {
    /// Opens a file by CID or path.
    fn open_file(slf: &Bound<'_, Self>, content: Content) -> PyResult<File> {
        let py = slf.py();
        let store = slf.get().open(py)?.store;
        let reader = py.detach(|| FileReader::open(&store, &resolve(&store, &content.0)?)).map_err(|e| store_error(py, &e))?;
        Ok(File {
            store: slf.clone().unbind(),
            cid: reader.cid().clone(),
            size: reader.size(),
            metadata: reader.metadata(),
            reader: Mutex::new((std::process::id(), reader)),
        })
    }
}
