//! Adding: paths, and what Python has to give piece by piece.

use crate::cid::Cid;
use crate::feed::Feed;
use crate::operation::{Watch, Work, run_with};
use crate::profile::AnyProfile;
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::ingest::{self, AddOptions, AddReport, Added, EntryKind, IgnoreRules};
use std::ffi::OsString;
use std::path::PathBuf;

/// How to add, as the keywords of `Store.add` say it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    profile: AnyProfile,
    only_hash: bool,
    nocopy: bool,
    wrap: bool,
    pin: bool,
    pin_name: Option<String>,
    hidden: bool,
    ignore: Vec<String>,
    ignore_files: Vec<PathBuf>,
    dereference_symlinks: bool,
    empty_dirs: bool,
    preserve_mode: bool,
    preserve_mtime: bool,
    mode: Option<u32>,
    mtime: Option<(i64, u32)>,
}

impl From<Options> for AddOptions {
    fn from(options: Options) -> Self {
        Self {
            profile: options.profile.0,
            only_hash: options.only_hash,
            nocopy: options.nocopy,
            wrap: options.wrap,
            pin: options.pin,
            pin_name: options.pin_name,
            hidden: options.hidden,
            ignore: IgnoreRules { patterns: options.ignore, files: options.ignore_files },
            dereference_symlinks: options.dereference_symlinks,
            empty_directories: options.empty_dirs,
            preserve_mode: options.preserve_mode,
            preserve_mtime: options.preserve_mtime,
            mode: options.mode,
            mtime: options.mtime,
            threads: 0,
            stream_bytes: None,
        }
    }
}

/// CID, name, kind, content bytes, DAG bytes, files.
type Row = (Cid, OsString, &'static str, u64, u64, u64);

fn row(added: Added) -> Row {
    let kind = match added.kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
    };
    (Cid(added.cid), added.name, kind, added.bytes, added.dag_bytes, added.files)
}

/// Roots, new blocks, their bytes.
type Report = (Vec<Row>, u64, u64);

fn report(report: AddReport) -> Report {
    (report.roots.into_iter().map(row).collect(), report.new_blocks, report.new_bytes)
}

fn on_added(callback: Option<&Py<PyAny>>) -> impl FnMut(Python<'_>, Added) -> PyResult<()> {
    move |py, added| match callback {
        Some(callback) => callback.call1(py, row(added)).map(drop),
        None => Ok(()),
    }
}

#[pymethods]
impl Store {
    /// Adds files and directories, and commits.
    fn add(&self, py: Python<'_>, paths: Vec<PathBuf>, options: Options, watch: Watch, on_entry: Option<Py<PyAny>>) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = AddOptions::from(options);
        let is_heard = on_entry.is_some();
        let work = |work: &Work<'_, Added>| {
            open.patiently(work.operation, || {
                let mut tell = |added: &Added| if is_heard { work.tell(added.clone()) } else { Ok(()) };
                ingest::add(&open.store, &paths, &options, work.operation, &mut tell)
            })
        };
        run_with(py, &watch, work, on_added(on_entry.as_ref()), &mut |_| Ok(false)).map(report)
    }

    /// Adds the pieces of an iterator as one file, of `length` bytes where that is known, and commits. The iterator is advanced by the
    /// calling thread.
    fn add_stream(
        &self,
        py: Python<'_>,
        pieces: &Bound<'_, PyAny>,
        name: OsString,
        length: Option<u64>,
        options: Options,
        watch: Watch,
        on_entry: Option<Py<PyAny>>,
    ) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = AddOptions { stream_bytes: length, ..AddOptions::from(options) };
        let is_heard = on_entry.is_some();
        let mut feed = Feed::new(pieces)?;
        let pipe = feed.pipe();
        let work = |work: &Work<'_, Added>| {
            let mut reader = pipe.reader(work.operation);
            open.patiently(work.operation, || {
                let mut tell = |added: &Added| if is_heard { work.tell(added.clone()) } else { Ok(()) };
                let added = ingest::add_stream(&open.store, &mut reader, name.clone(), &options, work.operation, &mut tell);
                // A reader whose operation was cancelled can only report that it could not read.
                added.or_else(|error| work.operation.check().and(Err(error)))
            })
        };
        run_with(py, &watch, work, on_added(on_entry.as_ref()), &mut |py| feed.step(py)).map(report)
    }
}
