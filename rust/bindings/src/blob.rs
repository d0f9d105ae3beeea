//! Parts of blobs and blocks, out and in, each with what proves it.

use crate::cid::{AnyCid, Cid};
use crate::error::{invalid, store_error};
use crate::feed::Feed;
use crate::operation::{Watch, Work, run, run_with};
use crate::store::Store;
use pyo3::prelude::*;
use shoal_core::bao::{GROUP_BYTES, Groups};
use shoal_store::output::Output;
use std::os::fd::BorrowedFd;

/// Bytes in all, bytes here, and where they are: pairs of offset and length.
type Presence = (u64, u64, Vec<(u64, u64)>);

fn presence(present: &shoal_store::Present) -> Presence {
    let at = |group: u64| group.saturating_mul(GROUP_BYTES as u64).min(present.bytes);
    let ranges: Vec<(u64, u64)> = present.groups.runs().map(|run| (at(run.start), at(run.end).saturating_sub(at(run.start)))).collect();
    (present.bytes, ranges.iter().map(|(_, length)| length).sum(), ranges)
}

/// The groups that ranges of bytes touch in a message of so many; all, where no ranges are given.
fn wanted(ranges: Option<&Vec<(u64, u64)>>, bytes: u64) -> Groups {
    let Some(ranges) = ranges else { return Groups::all(bytes) };
    let mut all = Groups::new();
    for (offset, length) in ranges {
        all.insert_all(&Groups::of_bytes(*offset..offset.saturating_add(*length), bytes));
    }
    all
}

#[pymethods]
impl Store {
    /// Writes a slice to a descriptor: how many bytes.
    fn export_slice(&self, py: Python<'_>, cid: AnyCid, descriptor: i32, ranges: Option<Vec<(u64, u64)>>, watch: Watch) -> PyResult<u64> {
        self.export_to(py, descriptor, &watch, |store, output, operation| {
            store.export_slice(&cid.0, &|bytes| wanted(ranges.as_ref(), bytes), output, operation)
        })
    }

    /// Writes an outboard to a descriptor: how many bytes.
    fn export_outboard(&self, py: Python<'_>, cid: AnyCid, descriptor: i32, watch: Watch) -> PyResult<u64> {
        self.export_to(py, descriptor, &watch, |store, output, operation| store.export_outboard(&cid.0, output, operation))
    }

    /// Takes in a slice from the pieces of an iterator.
    fn import_slice(
        &self,
        py: Python<'_>,
        cid: AnyCid,
        pieces: &Bound<'_, PyAny>,
        ranges: Option<Vec<(u64, u64)>>,
        pin: bool,
        watch: Watch,
    ) -> PyResult<Presence> {
        let present = self.import_from(py, pieces, &watch, |store, input, operation| {
            store.import_slice(&cid.0, &|bytes| wanted(ranges.as_ref(), bytes), input, pin, operation)
        })?;
        Ok(presence(&present))
    }

    /// Takes in an outboard.
    fn import_outboard(&self, py: Python<'_>, cid: AnyCid, bytes: u64, pieces: &Bound<'_, PyAny>, watch: Watch) -> PyResult<()> {
        self.import_from(py, pieces, &watch, |store, input, operation| store.import_outboard(&cid.0, bytes, input, operation))
    }

    /// Takes in plain data along an outboard.
    fn import_data(
        &self,
        py: Python<'_>,
        cid: AnyCid,
        pieces: &Bound<'_, PyAny>,
        offset: u64,
        pin: bool,
        watch: Watch,
    ) -> PyResult<Presence> {
        let present =
            self.import_from(py, pieces, &watch, |store, input, operation| store.import_data(&cid.0, offset, input, pin, operation))?;
        Ok(presence(&present))
    }

    /// What is here of a blob or block; None for nothing.
    fn present(&self, py: Python<'_>, cid: AnyCid) -> PyResult<Option<Presence>> {
        let open = self.open(py)?;
        let present = py.detach(|| open.store.present(&cid.0)).map_err(|e| store_error(py, &e))?;
        Ok(present.as_ref().map(presence))
    }

    /// The CIDs of all whole blobs.
    fn blobs(&self, py: Python<'_>) -> PyResult<Vec<Cid>> {
        let open = self.open(py)?;
        let blobs = py.detach(|| open.store.blobs()).map_err(|e| store_error(py, &e))?;
        Ok(blobs.into_iter().map(|(cid, _)| Cid(cid)).collect())
    }

    /// Removes what is here of a partial blob: whether there was anything.
    fn discard_partial(&self, py: Python<'_>, cid: AnyCid, watch: Watch) -> PyResult<bool> {
        let open = self.open(py)?;
        run(py, &watch, |operation| open.patiently(operation, || open.store.discard_partial(&cid.0)))
    }
}

impl Store {
    fn export_to(
        &self,
        py: Python<'_>,
        descriptor: i32,
        watch: &Watch,
        export: impl FnOnce(&shoal_store::Store, &mut Output<'_>, &shoal_store::Operation) -> shoal_store::Result<u64> + Send,
    ) -> PyResult<u64> {
        if descriptor < 0 {
            return Err(invalid(py, "a file descriptor is not negative"));
        }
        let store = self.open(py)?.store;
        // SAFETY: as in `copy_to`: the caller keeps the descriptor open for the length of the call.
        #[expect(unsafe_code, reason = "a descriptor from Python is a number")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        run(py, watch, |operation| {
            let mut output = Output::new(descriptor, operation, false);
            // An output whose operation was cancelled can only report that it could not write.
            export(&store, &mut output, operation).or_else(|error| operation.check().and(Err(error)))
        })
    }

    fn import_from<T: Send>(
        &self,
        py: Python<'_>,
        pieces: &Bound<'_, PyAny>,
        watch: &Watch,
        import: impl FnOnce(&shoal_store::Store, &mut dyn std::io::Read, &shoal_store::Operation) -> shoal_store::Result<T> + Send,
    ) -> PyResult<T> {
        let open = self.open(py)?;
        let mut feed = Feed::new(pieces)?;
        let pipe = feed.pipe();
        let work = |work: &Work<'_, ()>| {
            // The lock is waited for before the input is touched: what was read once is gone.
            let _session = open.write(work.operation)?;
            let mut reader = pipe.reader(work.operation);
            import(&open.store, &mut reader, work.operation).or_else(|error| work.operation.check().and(Err(error)))
        };
        run_with(py, watch, work, |_, ()| Ok(()), &mut |py| feed.step(py))
    }
}
