//! Profiles as Python sees them: frozen values that decide CIDs.

use crate::cid::hash_named;
use crate::error::{Class, invalid, raise, shown};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use shoal_core::chunk::ChunkerError;
use shoal_core::unixfs;
use shoal_core::unixfs::profile::{DirectorySize, Layout};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Names of the frozen profiles, the default first.
const NAMES: [&str; 4] = ["blake3", "blake3-cdc", "unixfs-v1-2025", "unixfs-v0-2015"];

/// The rules that turn a file into a DAG. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal", name = "Profile")]
#[derive(Clone, PartialEq, Eq)]
pub struct Profile(pub unixfs::Profile);

/// Where a profile is asked for: a `Profile` or the name of one.
pub struct AnyProfile(pub unixfs::Profile);

impl<'py> FromPyObject<'_, 'py> for AnyProfile {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(profile) = object.cast::<Profile>() {
            return Ok(Self(profile.get().0.clone()));
        }
        let name = object.cast::<PyString>()?;
        named(object.py(), &name.to_string_lossy()).map(Self)
    }
}

fn named(py: Python<'_>, name: &str) -> PyResult<unixfs::Profile> {
    unixfs::Profile::named(name).ok_or_else(|| {
        let near = py
            .import("difflib")
            .and_then(|difflib| difflib.call_method1("get_close_matches", (name, NAMES, 1, 0.3))?.extract::<Vec<String>>())
            .unwrap_or_default();
        let suggestion = near.first().map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near}?"));
        raise(py, Class::UnknownProfile, &format!("no profile {}{suggestion} There are {}", shown(name), NAMES.join(", ")))
    })
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Balanced => "balanced",
        Layout::Trickle => "trickle",
        Layout::Blob => "blob",
    }
}

fn directory_size_name(size: DirectorySize) -> &'static str {
    match size {
        DirectorySize::BlockBytes => "block-bytes",
        DirectorySize::LinksBytes => "links-bytes",
    }
}

/// Changes one field.
fn set(profile: &mut unixfs::Profile, field: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = value.py();
    match field {
        "cid_version" => profile.cid_version = value.extract()?,
        "hash" => profile.hash = hash_named(py, value.extract()?)?,
        "chunker" => {
            let text: &str = value.extract()?;
            profile.chunker = text.parse().map_err(|e: ChunkerError| invalid(py, &format!("chunker {}: {e}", shown(text))))?;
        }
        "raw_leaves" => profile.raw_leaves = value.extract()?,
        "layout" => {
            profile.layout = match value.extract()? {
                "balanced" => Layout::Balanced,
                "trickle" => Layout::Trickle,
                "blob" => Layout::Blob,
                _ => return Err(invalid(py, "a layout is 'balanced', 'trickle' or 'blob'")),
            };
        }
        "file_links_max" => profile.file_links_max = value.extract()?,
        "directory_links_max" => profile.directory_links_max = value.extract()?,
        "hamt_fanout" => profile.hamt_fanout = value.extract()?,
        "hamt_threshold_bytes" => profile.hamt_threshold_bytes = value.extract()?,
        "directory_size" => {
            profile.directory_size = match value.extract()? {
                "block-bytes" => DirectorySize::BlockBytes,
                "links-bytes" => DirectorySize::LinksBytes,
                _ => return Err(invalid(py, "the size of a directory is measured in 'block-bytes' or 'links-bytes'")),
            };
        }
        "inline_bytes_max" => profile.inline_bytes_max = value.extract()?,
        "data_first" => profile.data_first = value.extract()?,
        _ => return Err(PyTypeError::new_err("a profile has no such field, or it cannot be replaced")),
    }
    Ok(())
}

#[pymethods]
impl Profile {
    #[classattr]
    #[pyo3(name = "BLAKE3")]
    fn blake3() -> Self {
        Self(unixfs::Profile::blake3())
    }

    #[classattr]
    #[pyo3(name = "BLAKE3_CDC")]
    fn blake3_cdc() -> Self {
        Self(unixfs::Profile::blake3_cdc())
    }

    #[classattr]
    #[pyo3(name = "UNIXFS_V1_2025")]
    fn unixfs_v1_2025() -> Self {
        Self(unixfs::Profile::unixfs_v1_2025())
    }

    #[classattr]
    #[pyo3(name = "UNIXFS_V0_2015")]
    fn unixfs_v0_2015() -> Self {
        Self(unixfs::Profile::unixfs_v0_2015())
    }

    #[staticmethod]
    fn named(py: Python<'_>, name: &str) -> PyResult<Self> {
        named(py, name).map(Self)
    }

    #[staticmethod]
    fn all() -> Vec<Self> {
        NAMES.iter().filter_map(|name| unixfs::Profile::named(name)).map(Self).collect()
    }

    #[pyo3(signature = (**fields))]
    fn replace(&self, py: Python<'_>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut profile = self.0.clone();
        if let Some(fields) = fields {
            for field in fields.items() {
                let (name, value) = field.extract::<(String, Bound<'_, PyAny>)>()?;
                set(&mut profile, &name, &value)?;
            }
        }
        profile.check().map_err(|e| invalid(py, &e.to_string()))?;
        if profile != self.0 {
            profile.name = "custom".to_owned();
        }
        Ok(Self(profile))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn cid_version(&self) -> u8 {
        self.0.cid_version
    }

    #[getter]
    fn hash(&self) -> &'static str {
        self.0.hash.name()
    }

    #[getter]
    fn chunker(&self) -> String {
        self.0.chunker.to_string()
    }

    #[getter]
    fn raw_leaves(&self) -> bool {
        self.0.raw_leaves
    }

    #[getter]
    fn layout(&self) -> &'static str {
        layout_name(self.0.layout)
    }

    #[getter]
    fn file_links_max(&self) -> usize {
        self.0.file_links_max
    }

    #[getter]
    fn directory_links_max(&self) -> usize {
        self.0.directory_links_max
    }

    #[getter]
    fn hamt_fanout(&self) -> usize {
        self.0.hamt_fanout
    }

    #[getter]
    fn hamt_threshold_bytes(&self) -> u64 {
        self.0.hamt_threshold_bytes
    }

    #[getter]
    fn directory_size(&self) -> &'static str {
        directory_size_name(self.0.directory_size)
    }

    #[getter]
    fn inline_bytes_max(&self) -> usize {
        self.0.inline_bytes_max
    }

    #[getter]
    fn data_first(&self) -> bool {
        self.0.data_first
    }

    fn __repr__(&self) -> String {
        if self.0.name != "custom" {
            return format!("Profile.named('{}')", self.0.name);
        }
        let truth = |b: bool| if b { "True" } else { "False" };
        format!(
            "<Profile custom: cid_version={} hash='{}' chunker='{}' raw_leaves={} layout='{}' file_links_max={} directory_links_max={} \
             hamt_fanout={} hamt_threshold_bytes={} directory_size='{}' inline_bytes_max={} data_first={}>",
            self.0.cid_version,
            self.0.hash.name(),
            self.0.chunker,
            truth(self.0.raw_leaves),
            layout_name(self.0.layout),
            self.0.file_links_max,
            self.0.directory_links_max,
            self.0.hamt_fanout,
            self.0.hamt_threshold_bytes,
            directory_size_name(self.0.directory_size),
            self.0.inline_bytes_max,
            truth(self.0.data_first),
        )
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get() == self)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.__repr__().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyDict>,))> {
        let fields = PyDict::new(py);
        fields.set_item("cid_version", self.cid_version())?;
        fields.set_item("hash", self.hash())?;
        fields.set_item("chunker", self.chunker())?;
        fields.set_item("raw_leaves", self.raw_leaves())?;
        fields.set_item("layout", self.layout())?;
        fields.set_item("file_links_max", self.file_links_max())?;
        fields.set_item("directory_links_max", self.directory_links_max())?;
        fields.set_item("hamt_fanout", self.hamt_fanout())?;
        fields.set_item("hamt_threshold_bytes", self.hamt_threshold_bytes())?;
        fields.set_item("directory_size", self.directory_size())?;
        fields.set_item("inline_bytes_max", self.inline_bytes_max())?;
        fields.set_item("data_first", self.data_first())?;
        fields.set_item("name", self.name())?;
        Ok((py.get_type::<Self>().getattr("_restore")?, (fields,)))
    }

    /// A profile unpickled. Its name is kept only when it is still what that name says.
    #[staticmethod]
    fn _restore(py: Python<'_>, fields: &Bound<'_, PyDict>) -> PyResult<Self> {
        let fields = fields.copy()?;
        let name: String = fields.as_any().call_method1("pop", ("name",))?.extract()?;
        let base = unixfs::Profile::named(&name).unwrap_or_else(unixfs::Profile::blake3);
        Self(base).replace(py, Some(&fields))
    }
}
