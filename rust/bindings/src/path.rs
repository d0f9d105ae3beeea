//! A CID and names below it, as Python sees it, and the ways to give one: a CID, a Path, or text with or without `/ipfs/`.

use crate::cid::{AnyCid, Cid, hash_of};
use crate::error::{invalid, invalid_cid};
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};
use shoal_core::cid::CidError;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;

/// Names a path may have: each is at least two bytes of text, and nobody nests deeper than a DAG may.
const NAMES_MAX: usize = shoal_core::limits::DAG_DEPTH_MAX;

/// A CID and names below it. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal", name = "Path")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    pub root: shoal_core::Cid,
    /// Any bytes but `/`; in Python text as file names are, with lone surrogates for what is not UTF-8.
    pub names: Vec<OsString>,
}

/// The parts of a path, without empty ones.
fn parts(text: &OsStr) -> impl Iterator<Item = OsString> {
    text.as_bytes().split(|&b| b == b'/').filter(|part| !part.is_empty()).map(|part| OsStr::from_bytes(part).to_owned())
}

impl Path {
    pub fn root_of(root: shoal_core::Cid) -> Self {
        Self { root, names: Vec::new() }
    }

    /// One name further down, or several with `/` between them.
    pub fn join(&self, py: Python<'_>, name: &OsStr) -> PyResult<Self> {
        let mut names = self.names.clone();
        names.extend(parts(name));
        if names.len() == self.names.len() {
            return Err(invalid(py, "a name below a CID cannot be empty"));
        }
        check(py, &names)?;
        Ok(Self { root: self.root.clone(), names })
    }

    fn read(py: Python<'_>, text: &OsStr) -> PyResult<Self> {
        let bytes = text.as_bytes();
        let prefixes: [&[u8]; 3] = [b"ipfs://", b"/ipfs/", b"ipfs/"];
        let rest = prefixes.iter().find_map(|prefix| bytes.strip_prefix(*prefix)).unwrap_or(bytes);
        let (root, below) = rest.split_at(rest.iter().position(|&b| b == b'/').unwrap_or(rest.len()));
        let root = std::str::from_utf8(root).map_err(|_| CidError::Text).and_then(str::parse).map_err(|e| invalid_cid(py, &e))?;
        let names: Vec<OsString> = parts(OsStr::from_bytes(below)).collect();
        check(py, &names)?;
        Ok(Self { root, names })
    }
}

fn check(py: Python<'_>, names: &[OsString]) -> PyResult<()> {
    if names.len() > NAMES_MAX {
        return Err(invalid(py, "the path is too deep"));
    }
    // `..` would climb; in UnixFS it is never a name.
    if names.iter().any(|name| name == "." || name == "..") {
        return Err(invalid(py, "'.' and '..' mean nothing below a CID: a path there only goes down"));
    }
    if names.iter().any(|name| name.as_bytes().contains(&0)) {
        return Err(invalid(py, "no name holds a NUL"));
    }
    Ok(())
}

/// Where content is asked for: a `CID`, a `Path`, or text.
pub struct Content(pub Path);

impl<'py> FromPyObject<'_, 'py> for Content {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(path) = object.cast::<Path>() {
            return Ok(Self(path.get().clone()));
        }
        if object.is_instance_of::<PyString>() {
            return Path::read(object.py(), &os_string(&object)?).map(Self);
        }
        let cid: AnyCid = object.extract()?;
        Ok(Self(Path::root_of(cid.0)))
    }
}

/// Text as a file name: surrogates that stand for bytes become those bytes.
pub fn os_string(text: &Bound<'_, PyAny>) -> PyResult<OsString> {
    text.extract().map_err(|_| invalid(text.py(), "the path holds characters that no name can have"))
}

#[pymethods]
impl Path {
    #[new]
    #[pyo3(signature = (root, *names))]
    fn new(root: Content, names: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let mut path = root.0;
        for name in names {
            path = path.join(name.py(), &os_string(name.cast::<PyString>()?)?)?;
        }
        Ok(path)
    }

    #[staticmethod]
    fn parse(text: &Bound<'_, PyString>) -> PyResult<Self> {
        Self::read(text.py(), &os_string(text)?)
    }

    #[getter]
    fn root(&self) -> Cid {
        Cid(self.root.clone())
    }

    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.names)
    }

    #[getter]
    fn name(&self) -> OsString {
        self.names.last().cloned().unwrap_or_else(|| self.root.to_string().into())
    }

    fn __truediv__(&self, name: &Bound<'_, PyString>) -> PyResult<Self> {
        self.join(name.py(), &os_string(name)?)
    }

    fn __str__(&self) -> OsString {
        let mut text = OsString::from(format!("/ipfs/{}", self.root));
        for name in &self.names {
            text.push("/");
            text.push(name);
        }
        text
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Path({})", self.__str__().into_pyobject(py)?.repr()?))
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_of(&self.root).hash(&mut hasher);
        self.names.hash(&mut hasher);
        hasher.finish()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, how: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match other.cast::<Self>() {
            Ok(other) => Ok(how.matches(self.cmp(other.get())).into_pyobject(py)?.to_owned().into_any().unbind()),
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let root = Cid(self.root.clone()).into_pyobject(py)?.into_any();
        let mut all = vec![root];
        for name in &self.names {
            all.push(name.into_pyobject(py)?.into_any());
        }
        Ok((py.get_type::<Self>(), PyTuple::new(py, all)?))
    }
}
