//! Adding: paths, and what Python has to give piece by piece.

use crate::buffer::Bytes;
use crate::cid::Cid;
use crate::operation::{Watch, Work, run_with};
use crate::profile::AnyProfile;
use crate::store::{Open, Store};
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use shoal_store::ingest::{self, AddOptions, AddReport, Added, EntryKind, IgnoreRules};
use shoal_store::operation::Operation as Counters;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How to add, as the keywords of `Store.add` say it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    profile: AnyProfile,
    only_hash: bool,
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

/// Holds the right to write while adding, where anything is written: it is waited for here, where that can be interrupted.
fn adding<T>(open: &Open, only_hash: bool, operation: &Counters, add: impl FnOnce() -> shoal_store::Result<T>) -> shoal_store::Result<T> {
    let _held = if only_hash { None } else { Some(open.write(operation)?) };
    add()
}

/// Pieces that may wait between Python's thread and the work.
const PIECES_MAX: usize = 4;
const SLICE: Duration = Duration::from_millis(50);

/// Pieces on their way from Python's thread to the work.
#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Default)]
struct PipeState {
    pieces: VecDeque<Bytes>,
    /// No more pieces will come.
    is_complete: bool,
    /// Nobody reads any more.
    is_closed: bool,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for a piece now, or within a slice.
    fn wait_for_room(&self) -> bool {
        let is_full = |state: &mut PipeState| state.pieces.len() >= PIECES_MAX && !state.is_closed;
        let state = self.changed.wait_timeout_while(self.lock(), SLICE, is_full).unwrap_or_else(PoisonError::into_inner).0;
        state.pieces.len() < PIECES_MAX && !state.is_closed
    }

    /// `None` ends the stream.
    fn push(&self, piece: Option<Bytes>) {
        let mut state = self.lock();
        match piece {
            Some(piece) => state.pieces.push_back(piece),
            None => state.is_complete = true,
        }
        self.changed.notify_all();
    }
}

/// The work's end of a [`Pipe`].
struct PipeReader<'a> {
    pipe: &'a Pipe,
    operation: &'a Counters,
    piece: Option<(Bytes, usize)>,
}

impl Read for PipeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((piece, at)) = &mut self.piece {
                let rest = piece.get(*at..).unwrap_or_default();
                if !rest.is_empty() && !buffer.is_empty() {
                    let n = rest.len().min(buffer.len());
                    if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
                        to.copy_from_slice(from);
                    }
                    *at += n;
                    return Ok(n);
                }
                self.piece = None;
            }
            if buffer.is_empty() {
                return Ok(0);
            }
            let mut state = self.pipe.lock();
            loop {
                if let Some(piece) = state.pieces.pop_front() {
                    self.piece = Some((piece, 0));
                    break;
                }
                if state.is_complete {
                    return Ok(0);
                }
                if self.operation.check().is_err() {
                    return Err(io::Error::other("stopped on request"));
                }
                state = self.pipe.changed.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(state);
            self.pipe.changed.notify_all();
        }
    }
}

impl Drop for PipeReader<'_> {
    fn drop(&mut self) {
        self.pipe.lock().is_closed = true;
        self.pipe.changed.notify_all();
    }
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
            adding(&open, options.only_hash, work.operation, || {
                let mut tell = |added: &Added| if is_heard { work.tell(added.clone()) } else { Ok(()) };
                ingest::add(&open.store, &paths, &options, work.operation, &mut tell)
            })
        };
        run_with(py, &watch, work, on_added(on_entry.as_ref()), &mut |_| Ok(false)).map(report)
    }

    /// Adds the pieces of an iterator as one file, and commits. The iterator is advanced by the calling thread.
    fn add_stream(
        &self,
        py: Python<'_>,
        pieces: &Bound<'_, PyAny>,
        name: OsString,
        options: Options,
        watch: Watch,
        on_entry: Option<Py<PyAny>>,
    ) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = AddOptions::from(options);
        let is_heard = on_entry.is_some();
        let mut pieces: Option<Bound<'_, PyIterator>> = Some(pieces.try_iter()?);
        let pipe = Pipe::default();
        let work = |work: &Work<'_, Added>| {
            let mut reader = PipeReader { pipe: &pipe, operation: work.operation, piece: None };
            adding(&open, options.only_hash, work.operation, || {
                let mut tell = |added: &Added| if is_heard { work.tell(added.clone()) } else { Ok(()) };
                let added = ingest::add_stream(&open.store, &mut reader, name, &options, work.operation, &mut tell);
                // What the reader reports when the operation was cancelled is that it was cancelled.
                work.operation.check().and(added)
            })
        };
        let mut feed = |py: Python<'_>| -> PyResult<bool> {
            let Some(iterator) = &mut pieces else { return Ok(false) };
            if py.detach(|| pipe.wait_for_room()) {
                match iterator.next() {
                    Some(piece) => {
                        let piece: Bytes = piece?.extract()?;
                        py.detach(|| pipe.push(Some(piece)));
                    }
                    None => {
                        pipe.push(None);
                        pieces = None;
                    }
                }
            }
            Ok(true)
        };
        run_with(py, &watch, work, on_added(on_entry.as_ref()), &mut feed).map(report)
    }
}
