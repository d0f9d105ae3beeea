//! Linked objects: to bytes and back, and by path through the blocks of a store.

use crate::buffer::Bytes;
use crate::cid::{Cid, codec_named};
use crate::error::{dag_error, store_error};
use crate::path::Content;
use crate::store::Store;
use crate::value::{from_python, to_python};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shoal_store::object;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

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

/// A block's object as a block of another codec. The input may have the loose form that people type.
#[pyfunction]
pub fn dag_recode<'py>(py: Python<'py>, data: Bytes, input_codec: &str, store_codec: &str) -> PyResult<Bound<'py, PyBytes>> {
    let (input, output) = (codec_named(py, input_codec)?, codec_named(py, store_codec)?);
    let recode = || shoal_core::dag::encode(output, &shoal_core::dag::decode_relaxed(input, &data)?);
    let block = py.detach(recode).map_err(|e| dag_error(py, &e))?;
    Ok(PyBytes::new(py, &block))
}

fn names(content: &crate::path::Path) -> Vec<&[u8]> {
    content.names.iter().map(|name| name.as_bytes()).collect()
}

#[pymethods]
impl Store {
    /// The object that a path leads to.
    fn dag_get<'py>(&self, py: Python<'py>, content: Content) -> PyResult<Bound<'py, PyAny>> {
        let store = self.open(py)?.store;
        let value = py.detach(|| {
            let place = object::resolve(&store, &content.0.root, &names(&content.0))?;
            place.value.map_or_else(|| object::load(&store, &place.cid), Ok)
        });
        to_python(py, &value.map_err(|e| store_error(py, &e))?)
    }

    /// The last block on a path, and the names that lead on within it.
    fn dag_resolve(&self, py: Python<'_>, content: Content) -> PyResult<(Cid, OsString)> {
        let store = self.open(py)?.store;
        let place = py.detach(|| object::resolve(&store, &content.0.root, &names(&content.0))).map_err(|e| store_error(py, &e))?;
        let skipped = content.0.names.len().saturating_sub(place.names_within);
        let mut rest = OsString::new();
        for name in content.0.names.iter().skip(skipped) {
            if !rest.is_empty() {
                rest.push("/");
            }
            rest.push(name);
        }
        Ok((Cid(place.cid), rest))
    }
}
