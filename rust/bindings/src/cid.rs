//! CIDs as Python sees them, and the ways to give one: a CID, its text, its bytes.

use crate::buffer::Bytes;
use crate::error::{Class, invalid, invalid_cid, raise, shown};
use crate::path::Path;
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};
use shoal_core::cid::{Base, codec};
use shoal_core::hash::{self, Hash};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A content identifier. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal", name = "CID")]
#[derive(Clone)]
pub struct Cid(pub shoal_core::Cid);

/// Where a CID is asked for: a `CID`, its text or its bytes.
pub struct AnyCid(pub shoal_core::Cid);

impl<'py> FromPyObject<'_, 'py> for AnyCid {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        if let Ok(cid) = object.cast::<Cid>() {
            return Ok(Self(cid.get().0.clone()));
        }
        let read = if let Ok(text) = object.cast::<PyString>() {
            // Lone surrogates have no place in a CID.
            text.to_str().map_or(Err(shoal_core::cid::CidError::Text), str::parse)
        } else {
            let bytes: Bytes = object.extract().map_err(|_| {
                let kind = object.get_type().name().map_or_else(|_| "that".to_owned(), |name| name.to_string());
                pyo3::exceptions::PyTypeError::new_err(format!("a CID is made of str, bytes or CID, not {kind}"))
            })?;
            shoal_core::Cid::from_bytes(&bytes)
        };
        read.map(Self).map_err(|e| invalid_cid(py, &e))
    }
}

/// The codec of that name or number.
pub fn codec_named(py: Python<'_>, name: &str) -> PyResult<u64> {
    codec::from_name(name).ok_or_else(|| {
        raise(
            py,
            Class::UnsupportedCodec,
            &format!("no codec {}; known are raw, dag-pb, dag-cbor, dag-json, cbor, json, and numbers as in 0x55", shown(name)),
        )
    })
}

/// The hash of that name.
pub fn hash_named(py: Python<'_>, name: &str) -> PyResult<Hash> {
    Hash::from_name(name).ok_or_else(|| {
        raise(py, Class::UnsupportedHash, &format!("no hash {}; known are blake3, sha2-256, sha2-512 and identity", shown(name)))
    })
}

/// A multicodec's name, or its number as text.
fn name_or_number(name: Option<&'static str>, code: u64) -> String {
    name.map_or_else(|| format!("0x{code:x}"), str::to_owned)
}

/// Hash of the binary form, stable within a process.
pub fn hash_of(cid: &shoal_core::Cid) -> u64 {
    let mut hasher = DefaultHasher::new();
    cid.as_bytes().hash(&mut hasher);
    hasher.finish()
}

#[pymethods]
impl Cid {
    #[new]
    fn new(value: AnyCid) -> Self {
        Self(value.0)
    }

    /// The CIDv1 of a block's content.
    #[staticmethod]
    #[pyo3(signature = (data, *, codec = "raw", hash = "sha2-256"))]
    fn of(py: Python<'_>, data: Bytes, codec: &str, hash: &str) -> PyResult<Self> {
        let (codec, hash) = (codec_named(py, codec)?, hash_named(py, hash)?);
        py.detach(|| hash::cid_v1(hash, codec, &data)).map(Self).map_err(|e| invalid_cid(py, &e))
    }

    #[getter]
    fn version(&self) -> u8 {
        self.0.version()
    }

    #[getter]
    fn codec(&self) -> String {
        name_or_number(codec::name(self.0.codec()), self.0.codec())
    }

    #[getter]
    fn codec_code(&self) -> u64 {
        self.0.codec()
    }

    #[getter]
    fn hash(&self) -> String {
        name_or_number(Hash::from_code(self.0.hash()).map(Hash::name), self.0.hash())
    }

    #[getter]
    fn hash_code(&self) -> u64 {
        self.0.hash()
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.digest())
    }

    #[getter]
    fn multihash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.multihash())
    }

    fn encode(&self, py: Python<'_>, base: &str) -> PyResult<String> {
        let base = Base::from_name(base)
            .ok_or_else(|| invalid(py, &format!("no base {}; known are base58btc, base32, base36, base64url and base16", shown(base))))?;
        self.0.encode(base).map_err(|e| invalid_cid(py, &e))
    }

    fn to_v0(&self, py: Python<'_>) -> PyResult<Self> {
        self.0.to_v0().map(Self).map_err(|e| invalid_cid(py, &e))
    }

    fn to_v1(&self) -> Self {
        Self(self.0.to_v1())
    }

    fn __truediv__(&self, name: &Bound<'_, PyString>) -> PyResult<Path> {
        Path::root_of(self.0.clone()).join(name.py(), &crate::path::os_string(name)?)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.as_bytes())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("CID('{}')", self.0)
    }

    fn __hash__(&self) -> u64 {
        hash_of(&self.0)
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, how: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match other.cast::<Self>() {
            Ok(other) => Ok(how.matches(self.0.cmp(&other.get().0)).into_pyobject(py)?.to_owned().into_any().unbind()),
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (Bound<'py, PyBytes>,)) {
        (py.get_type::<Self>(), (self.__bytes__(py),))
    }

    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf
    }
}
