//! Codecs of linked blocks, without a store: objects to bytes and back.

use crate::buffer::Bytes;
use crate::cid::codec_named;
use crate::error::dag_error;
use crate::value::{from_python, to_python};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The one canonical block of an object.
#[pyfunction]
pub fn dag_encode<'py>(py: Python<'py>, codec: &str, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let codec = codec_named(py, codec)?;
    let value = from_python(obj)?;
    let block = py.detach(|| shoal_core::dag::encode(codec, &value)).map_err(|e| dag_error(py, &e))?;
    Ok(PyBytes::new(py, &block))
}

/// The object that a block says.
#[pyfunction]
pub fn dag_decode<'py>(py: Python<'py>, codec: &str, data: Bytes) -> PyResult<Bound<'py, PyAny>> {
    let codec = codec_named(py, codec)?;
    let value = py.detach(|| shoal_core::dag::decode(codec, &data)).map_err(|e| dag_error(py, &e))?;
    to_python(py, &value)
}
