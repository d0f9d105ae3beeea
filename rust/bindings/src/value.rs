//! Python objects as values of the IPLD data model, and back. Bounded in depth, number and bytes, so that neither a list that
//! holds itself nor one that shares its parts a billion times gets further than a block could.

use crate::buffer::Bytes;
use crate::cid::Cid;
use crate::error::invalid;
use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};
use shoal_core::dag::{Map, Value};
use shoal_core::limits::{BLOCK_BYTES_MAX, DECODE_DEPTH_MAX, DECODE_ITEMS_MAX};

/// What is left of what one block may hold.
struct Budget {
    items: usize,
    bytes: usize,
}

impl Budget {
    fn take(&mut self, py: Python<'_>, bytes: usize) -> PyResult<()> {
        match (self.items.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(items), Some(bytes)) => {
                *self = Self { items, bytes };
                Ok(())
            }
            _ => Err(invalid(py, "the object is larger than a block can be (2 MiB); split it and link the parts by CID")),
        }
    }
}

/// A Python object as a value. `str` keys only; NaN and infinities are for the codecs to refuse.
pub fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, DECODE_DEPTH_MAX, &mut Budget { items: DECODE_ITEMS_MAX, bytes: BLOCK_BYTES_MAX })
}

fn text(string: &Bound<'_, PyString>) -> PyResult<String> {
    string.to_str().map(str::to_owned).map_err(|_| invalid(string.py(), "a string with lone surrogates has no UTF-8 form"))
}

fn integer(number: &Bound<'_, PyInt>) -> PyResult<i128> {
    if let Ok(small) = number.extract::<i64>() {
        return Ok(i128::from(small));
    }
    number.extract::<i128>().map_err(|_| invalid(number.py(), "an integer lies outside -2^64 to 2^64-1"))
}

fn read(object: &Bound<'_, PyAny>, depth_left: usize, budget: &mut Budget) -> PyResult<Value> {
    let py = object.py();
    budget.take(py, 0)?;
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(string) = object.cast::<PyString>() {
        let string = text(string)?;
        budget.take(py, string.len())?;
        return Ok(Value::String(string));
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if let Ok(number) = object.cast::<PyInt>() {
        return integer(number).map(Value::Integer);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(cid) = object.cast::<Cid>() {
        budget.take(py, cid.get().0.as_bytes().len())?;
        return Ok(Value::Link(cid.get().0.clone()));
    }
    if let Ok(entries) = object.cast::<PyDict>() {
        let deeper = below(py, depth_left)?;
        // A copy of the entries: what is read below may run Python code that changes the dict.
        let mut map = Vec::new();
        for entry in entries.items() {
            let (key, value) = entry.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            let Ok(key) = key.cast::<PyString>() else {
                return Err(PyTypeError::new_err(format!("keys of a map are str, not {}", key.get_type().name()?)));
            };
            let key = text(key)?;
            budget.take(py, key.len())?;
            map.push((key, read(&value, deeper, budget)?));
        }
        // Two keys of a dict can be equal as text only where a str subclass lies about it.
        return Map::from_entries(map).map(Value::Map).map_err(|e| invalid(py, &e.to_string()));
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let deeper = below(py, depth_left)?;
        let mut list = Vec::new();
        for item in object.try_iter()? {
            list.push(read(&item?, deeper, budget)?);
        }
        return Ok(Value::List(list));
    }
    if object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
        // The length is asked first: a copy is made only of what fits.
        budget.take(py, object.len()?)?;
        return Ok(Value::Bytes(object.extract::<Bytes>()?.into_vec()));
    }
    Err(PyTypeError::new_err(format!(
        "a block holds None, bool, int, float, str, bytes, list, dict and CID; not {}",
        object.get_type().name()?
    )))
}

fn below(py: Python<'_>, depth_left: usize) -> PyResult<usize> {
    depth_left
        .checked_sub(1)
        .ok_or_else(|| invalid(py, "the object nests deeper than 128 levels, or holds itself; split it and link the parts by CID"))
}

/// A value as a Python object. Its depth was bounded when it was decoded.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(truth) => truth.into_bound_py_any(py),
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(small) => small.into_bound_py_any(py),
            Err(_) => number.into_bound_py_any(py),
        },
        Value::Float(number) => number.into_bound_py_any(py),
        Value::String(text) => text.into_bound_py_any(py),
        Value::Bytes(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
        Value::Link(cid) => Cid(cid.clone()).into_bound_py_any(py),
        Value::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            Ok(list.into_any())
        }
        Value::Map(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map.entries() {
                dict.set_item(key, to_python(py, value)?)?;
            }
            Ok(dict.into_any())
        }
    }
}
