//! Errors of Rust as the classes of `shoal.errors`. The classes are imported once; each kind of error is mapped in one place,
//! by matches without a wildcard, so that a new kind cannot be forgotten.

use crate::cid::Cid;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use shoal_core::cid::CidError;
use shoal_core::dag::DagError;
use shoal_core::hash::VerifyError;
use shoal_store::Error;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The classes that Rust raises.
#[derive(Clone, Copy)]
pub enum Class {
    NotFound,
    InvalidInput,
    InvalidCid,
    UnknownProfile,
    UnsupportedHash,
    UnsupportedCodec,
    NotAFile,
    NotADirectory,
    Damaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreFormat,
    Poisoned,
    ReadOnly,
    SourceError,
    ExportError,
    UnsafePath,
    CarError,
    Pinned,
    NotPinned,
    Cancelled,
    ConnectionLost,
    ProtocolError,
    ShoalError,
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
            Self::NotAFile => "NotAFile",
            Self::NotADirectory => "NotADirectory",
            Self::Damaged => "Damaged",
            Self::StoreError => "StoreError",
            Self::StoreFull => "StoreFull",
            Self::StoreLocked => "StoreLocked",
            Self::StoreFormat => "StoreFormat",
            Self::Poisoned => "Poisoned",
            Self::ReadOnly => "ReadOnly",
            Self::SourceError => "SourceError",
            Self::ExportError => "ExportError",
            Self::UnsafePath => "UnsafePath",
            Self::CarError => "CarError",
            Self::Pinned => "Pinned",
            Self::NotPinned => "NotPinned",
            Self::Cancelled => "Cancelled",
            Self::ConnectionLost => "ConnectionLost",
            Self::ProtocolError => "ProtocolError",
            Self::ShoalError => "ShoalError",
        }
    }
}

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn class(py: Python<'_>, class: Class) -> PyResult<Bound<'_, PyType>> {
    let module = MODULE.get_or_try_init(py, || py.import("shoal.errors").map(Bound::unbind))?;
    Ok(module.bind(py).getattr(PyString::intern(py, class.name()))?.cast_into::<PyType>()?)
}

/// What of an error programs may want besides its text.
#[derive(Default)]
struct Details<'a> {
    cid: Option<&'a shoal_core::Cid>,
    pid: Option<u32>,
    name: Option<&'a [u8]>,
    path: Option<&'a Path>,
    source: Option<&'a io::Error>,
}

impl<'a> Details<'a> {
    fn of_cid(cid: &'a shoal_core::Cid) -> Self {
        Self { cid: Some(cid), ..Self::default() }
    }

    fn of_path(path: &'a Path) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    fn of_source(source: &'a io::Error) -> Self {
        Self { source: Some(source), ..Self::default() }
    }

    fn keywords<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        if let Some(cid) = self.cid {
            keywords.set_item("cid", Cid(cid.clone()))?;
        }
        if let Some(pid) = self.pid {
            keywords.set_item("pid", pid)?;
        }
        if let Some(name) = self.name {
            keywords.set_item("name", OsStr::from_bytes(name))?;
        }
        if let Some(path) = self.path {
            keywords.set_item("filename", path.as_os_str())?;
        }
        if let Some(code) = self.source.and_then(io::Error::raw_os_error) {
            keywords.set_item("errno", code)?;
        }
        Ok(keywords)
    }
}

fn raise_with(py: Python<'_>, kind: Class, message: &str, details: &Details<'_>) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let keywords = details.keywords(py)?;
        Ok(PyErr::from_value(class(py, kind)?.call((message,), Some(&keywords))?))
    };
    // Only when shoal.errors itself is broken.
    make().unwrap_or_else(|_| PyException::new_err(message.to_owned()))
}

/// An error of one of Shoal's classes.
pub fn raise(py: Python<'_>, kind: Class, message: &str) -> PyErr {
    raise_with(py, kind, message, &Details::default())
}

/// A word of the caller's own, as a message may show it: short, and without control characters.
pub fn shown(word: &str) -> String {
    let mut text: String = word.chars().take(40).flat_map(char::escape_debug).collect();
    if word.chars().nth(40).is_some() {
        text.push('…');
    }
    format!("'{text}'")
}

/// An argument that cannot be.
pub fn invalid(py: Python<'_>, message: &str) -> PyErr {
    raise(py, Class::InvalidInput, message)
}

/// What is not a CID.
pub fn invalid_cid(py: Python<'_>, error: &CidError) -> PyErr {
    raise(py, Class::InvalidCid, &error.to_string())
}

/// A block, or an object that shall become one, that a codec refuses.
pub fn dag_error(py: Python<'_>, error: &DagError) -> PyErr {
    let kind = match error {
        DagError::Unsupported { .. } => Class::UnsupportedCodec,
        DagError::Malformed { .. } | DagError::Unencodable { .. } | DagError::Pb(_) => Class::InvalidInput,
    };
    raise(py, kind, &error.to_string())
}

/// Bytes given with a CID that is not theirs.
pub fn verify_error(py: Python<'_>, cid: &shoal_core::Cid, error: VerifyError) -> PyErr {
    let kind = match error {
        VerifyError::Mismatch => Class::InvalidInput,
        VerifyError::UnknownHash(_) => Class::UnsupportedHash,
    };
    raise_with(py, kind, &format!("block given as {cid}: {error}"), &Details::of_cid(cid))
}

/// No thread could be started.
pub fn no_thread(py: Python<'_>, error: &io::Error) -> PyErr {
    raise(py, Class::StoreError, &format!("the system allows no more threads ({error}); close something and try again"))
}

/// Something in Shoal panicked. What it did was not committed.
pub fn bug(py: Python<'_>) -> PyErr {
    raise(py, Class::ShoalError, "a bug in Shoal stopped the operation, and nothing of it was kept; please report the lines above")
}

/// A block that is kept, and was to be deleted.
pub fn pinned(py: Python<'_>, cid: &shoal_core::Cid, through: Option<&shoal_core::Cid>) -> PyErr {
    let why = through.map_or_else(String::new, |root| format!(" through {root}"));
    raise_with(py, Class::Pinned, &format!("block {cid} is pinned{why}; remove the pin first, or use force"), &Details::of_cid(cid))
}

/// What a store, an add or a get reports.
pub fn store_error(py: Python<'_>, error: &Error) -> PyErr {
    let (kind, details) = classify(error);
    raise_with(py, kind, &error.to_string(), &details)
}

fn classify(error: &Error) -> (Class, Details<'_>) {
    match error {
        Error::NotFound { cid } => (Class::NotFound, Details::of_cid(cid)),
        Error::NoSuchName { cid, name } => (Class::NotFound, Details { name: Some(name), ..Details::of_cid(cid) }),
        // What kind of trouble it is, is said by what was met below.
        Error::InDag { source, .. } => classify(source),
        Error::Damaged { cid, .. } => (Class::Damaged, Details::of_cid(cid)),
        Error::DamagedBlob { cid, .. } => (Class::Damaged, Details::of_cid(cid)),
        Error::ChangedFile { cid, path, .. } => (Class::Damaged, Details { path: Some(path), ..Details::of_cid(cid) }),
        Error::DamagedReferences { path } => (Class::Damaged, Details::of_path(path)),
        Error::NotReferenced { path, .. } => (Class::SourceError, Details::of_path(path)),
        Error::DamagedSection { .. } => (Class::Damaged, Details::default()),
        Error::Io { path, source, .. } => (Class::StoreError, Details { source: Some(source), ..Details::of_path(path) }),
        Error::Full { path } => (Class::StoreFull, Details::of_path(path)),
        Error::OverQuota { .. } => (Class::StoreFull, Details::default()),
        Error::Locked { pid } => (Class::StoreLocked, Details { pid: *pid, ..Details::default() }),
        Error::Poisoned => (Class::Poisoned, Details::default()),
        Error::ReadOnly => (Class::ReadOnly, Details::default()),
        Error::Forked => (Class::StoreError, Details::default()),
        Error::NoStore { .. } | Error::Format(_) => (Class::StoreFormat, Details::default()),
        Error::NotHere { cid, .. } => (Class::NotFound, Details::of_cid(cid)),
        Error::BlockTooLarge { cid, .. } | Error::IsBlob { cid, .. } | Error::BadSlice { cid, .. } => {
            (Class::InvalidInput, Details::of_cid(cid))
        }
        Error::UnsupportedHash { cid } => (Class::UnsupportedHash, Details::of_cid(cid)),
        Error::Dag { cid, .. } | Error::WrongSize { cid, .. } | Error::DagTooDeep { cid } | Error::TooManyBlocks { root: cid, .. } => {
            (Class::InvalidInput, Details::of_cid(cid))
        }
        Error::Cancelled => (Class::Cancelled, Details::default()),
        Error::Source { path, source, .. } => (Class::SourceError, Details { source: Some(source), ..Details::of_path(path) }),
        Error::SourceChanged { path } | Error::SourceKind { path } | Error::SourceCycle { path } => {
            (Class::SourceError, Details::of_path(path))
        }
        Error::Stream(source) => (Class::SourceError, Details::of_source(source)),
        Error::IgnoreRule(_) | Error::Options(_) | Error::PinName { .. } => (Class::InvalidInput, Details::default()),
        Error::Entry { name, .. } => (Class::SourceError, Details { name: Some(name), ..Details::default() }),
        Error::Export { path, source, .. } => (Class::ExportError, Details { source: Some(source), ..Details::of_path(path) }),
        Error::Output(source) => (Class::ExportError, Details::of_source(source)),
        Error::TargetExists { path } | Error::TargetName { path } => (Class::ExportError, Details::of_path(path)),
        Error::UnsafeEntry { name, .. } => (Class::UnsafePath, Details { name: Some(name), ..Details::default() }),
        Error::NotAFile { cid, .. } => (Class::NotAFile, Details::of_cid(cid)),
        Error::NotADirectory { cid, .. } => (Class::NotADirectory, Details::of_cid(cid)),
        Error::Archive(_) => (Class::CarError, Details::default()),
        Error::NotAdopted { path, .. } => (Class::CarError, Details::of_path(path)),
        Error::ArchiveBlock { cid } => (Class::CarError, Details::of_cid(cid)),
        Error::AlreadyPinned { cid } => (Class::Pinned, Details::of_cid(cid)),
        Error::NotPinned { cid } => (Class::NotPinned, Details::of_cid(cid)),
    }
}
