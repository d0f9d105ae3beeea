//! Bytes that Python lends: `bytes` are borrowed, for they never change; anything else is copied while attached.

use crate::error::invalid;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::ops::Deref;

/// The content of a bytes-like object. Can be read without the interpreter, from any thread.
pub enum Bytes {
    Borrowed(PyBackedBytes),
    Copied(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Bytes {
    /// The bytes, owned.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Copied(bytes) => bytes,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Borrowed(PyBackedBytes::from(bytes.to_owned())));
        }
        let buffer = PyUntypedBuffer::get(&object)?;
        if !buffer.is_c_contiguous() {
            buffer.release(object.py());
            return Err(invalid(object.py(), "the buffer is not contiguous; pass bytes(…) of it"));
        }
        let copy = if buffer.len_bytes() == 0 {
            Vec::new()
        } else {
            // SAFETY: the buffer is contiguous, so `len_bytes` bytes stand at `buf_ptr`. They are copied while attached and
            // while the export is held, so the memory stays; another thread writing meanwhile can only garble the copy's content,
            // as with any other reader of a shared buffer.
            #[expect(unsafe_code, reason = "the buffer protocol is a pointer and a length")]
            unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()).to_vec()
            }
        };
        buffer.release(object.py());
        Ok(Self::Copied(copy))
    }
}
