//! An open file: read at any offset, verified. Position and buffering are Python's (shoal/file.py).

use crate::error::{invalid, store_error};
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

/// Bytes of small ranges read in one go, before they are made objects: they stay in a second-level cache for that.
const STEP_RANGES_BYTES: usize = 256 * 1024;
/// Ranges read in one go: some milliseconds, whatever their size.
const STEP_RANGES: usize = 1024;

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
    /// Hands the reader to `read`, while detached.
    fn with_reader<T: Send>(&self, py: Python<'_>, read: impl FnOnce(&mut FileReader) -> shoal_store::Result<T> + Send) -> PyResult<T> {
        let pid = std::process::id();
        let store = self.store.get().open(py)?.store;
        let done = py.detach(|| {
            let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.0 != pid {
                // Opened before a fork: the old reader's store is the parent's, and is not even dropped.
                let opened = FileReader::open(&store, &self.cid)?;
                std::mem::forget(std::mem::replace(&mut *slot, (pid, opened)));
            }
            read(&mut slot.1)
        });
        done.map_err(|e| store_error(py, &e))
    }

    /// How many of the bytes asked for there are.
    fn there(&self, offset: u64, length: u64) -> usize {
        usize::try_from(length.min(self.size.saturating_sub(offset))).unwrap_or(usize::MAX)
    }

    fn read_into(&self, py: Python<'_>, offset: u64, buffer: &mut [u8]) -> PyResult<usize> {
        let mut done = 0;
        for step in buffer.chunks_mut(STEP_BYTES) {
            let at = offset.saturating_add(done as u64);
            let read = self.with_reader(py, |reader| reader.read_at(at, step))?;
            done += read;
            py.check_signals()?;
            if read < step.len() {
                break;
            }
        }
        Ok(done)
    }
}

impl File {
    /// Reads some ranges, one behind the other, into a buffer that is made as long as they are.
    fn read_step(&self, py: Python<'_>, ranges: &[(u64, usize)], buffer: &mut Vec<u8>) -> PyResult<()> {
        let is_whole = self.with_reader(py, |reader| {
            buffer.resize(ranges.iter().map(|(_, length)| length).sum(), 0);
            let mut rest = buffer.as_mut_slice();
            for &(offset, length) in ranges {
                let (room, later) = rest.split_at_mut_checked(length).unwrap_or_default();
                if reader.read_at(offset, room)? < length {
                    return Ok(false);
                }
                rest = later;
            }
            Ok(true)
        })?;
        // The size was checked against the tree when the file was opened.
        if is_whole { Ok(()) } else { Err(crate::error::bug(py)) }
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
        let length = self.there(offset, length);
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

    /// Many ranges, each as [`File::read_at`] reads it, in the order asked for.
    #[expect(clippy::needless_pass_by_value, reason = "made from the arguments for this call")]
    fn read_ranges<'py>(&self, py: Python<'py>, ranges: Vec<(i64, i64)>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let range = |&(offset, length): &(i64, i64)| Some((u64::try_from(offset).ok()?, u64::try_from(length).ok()?));
        let ranges: Option<Vec<(u64, u64)>> = ranges.iter().map(range).collect();
        let ranges = ranges.ok_or_else(|| invalid(py, "a range is an offset and a size, neither of them negative"))?;
        let ranges: Vec<(u64, usize)> = ranges.iter().map(|&(offset, length)| (offset, self.there(offset, length))).collect();
        let mut found = Vec::with_capacity(ranges.len());
        let mut buffer = Vec::new();
        let mut rest = ranges.as_slice();
        while let Some(&(offset, first)) = rest.first() {
            if first >= STEP_RANGES_BYTES {
                found.push(self.read_at(py, offset, first as u64)?);
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let mut total = 0;
            let together = rest.iter().take(STEP_RANGES).take_while(|(_, length)| {
                total += length;
                total <= STEP_RANGES_BYTES
            });
            let (step, later) = rest.split_at_checked(together.count()).unwrap_or((rest, &[]));
            self.read_step(py, step, &mut buffer)?;
            let mut bytes = buffer.as_slice();
            for &(_, length) in step {
                let (range, after) = bytes.split_at_checked(length).ok_or_else(|| crate::error::bug(py))?;
                found.push(PyBytes::new(py, range));
                bytes = after;
            }
            py.check_signals()?;
            rest = later;
        }
        Ok(found)
    }

    /// Fills a buffer that Python owns from `offset` on: how many bytes. Through a copy, since Python may move it meanwhile.
    fn read_into_at(&self, py: Python<'_>, offset: u64, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyUntypedBuffer::get(buffer)?;
        let length = self.there(offset, buffer.len_bytes() as u64);
        let bytes = self.read_at(py, offset, length as u64)?;
        if length == 0 {
            return Ok(0);
        }
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(invalid(py, "the buffer cannot be written to in one piece"));
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
