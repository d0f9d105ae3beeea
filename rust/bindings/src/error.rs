//! Errors of Rust as the classes of `shoal.errors`. The classes are imported once; each kind of error is mapped in one place.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use shoal_core::cid::CidError;
use shoal_core::dag::DagError;

/// The classes that Rust raises, in the order of `NAMES`.
#[derive(Clone, Copy)]
pub enum Class {
    NotFound,
    InvalidInput,
    InvalidCid,
    UnknownProfile,
    UnsupportedHash,
    UnsupportedCodec,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::InvalidInput => "InvalidInput",
            Self::InvalidCid => "InvalidCID",
            Self::UnknownProfile => "UnknownProfile",
            Self::UnsupportedHash => "UnsupportedHash",
            Self::UnsupportedCodec => "UnsupportedCodec",
        }
    }
}

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, class: Class) -> PyResult<Bound<'py, PyType>> {
    let module = MODULE.get_or_try_init(py, || py.import("shoal.errors").map(Bound::unbind))?;
    Ok(module.bind(py).getattr(PyString::intern(py, class.name()))?.cast_into::<PyType>()?)
}

/// A detail of an error that programs may want: `cid=…`, `pid=…`.
pub type Detail<'py> = (&'static str, Bound<'py, PyAny>);

/// An error of one of Shoal's classes.
pub fn raise(py: Python<'_>, kind: Class, message: &str, details: &[Detail<'_>]) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let keywords = PyDict::new(py);
        for (name, value) in details {
            keywords.set_item(name, value)?;
        }
        Ok(PyErr::from_value(class(py, kind)?.call((message,), Some(&keywords))?))
    };
    // Only when shoal.errors itself is broken.
    make().unwrap_or_else(|_| PyException::new_err(message.to_owned()))
}

/// An argument that cannot be.
pub fn invalid(py: Python<'_>, message: &str) -> PyErr {
    raise(py, Class::InvalidInput, message, &[])
}

/// What is not a CID.
pub fn invalid_cid(py: Python<'_>, error: &CidError) -> PyErr {
    raise(py, Class::InvalidCid, &error.to_string(), &[])
}

/// A block, or an object that shall become one, that a codec refuses.
pub fn dag_error(py: Python<'_>, error: &DagError) -> PyErr {
    let kind = match error {
        DagError::Unsupported { .. } => Class::UnsupportedCodec,
        DagError::Malformed { .. } | DagError::Unencodable { .. } => Class::InvalidInput,
    };
    raise(py, kind, &error.to_string(), &[])
}
