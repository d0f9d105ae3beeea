//! DAGs as CAR archives, out and in.

use crate::cid::Cid;
use crate::error::invalid;
use crate::feed::Feed;
use crate::file::resolve;
use crate::operation::{Watch, Work, run, run_with};
use crate::path::Content;
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::archive::{Adopt, Adopted, ImportOptions, adopt_car, export_car, import_car, import_car_of};
use shoal_store::output::Output;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// Roots, blocks, their bytes, new blocks, their bytes.
type Report = (Vec<Cid>, u64, u64, u64, u64);

fn report(imported: shoal_store::archive::Imported) -> Report {
    let roots = imported.roots.into_iter().map(Cid).collect();
    (roots, imported.blocks, imported.bytes, imported.new_blocks, imported.new_bytes)
}

#[pymethods]
impl Store {
    /// Writes a DAG to a descriptor as a CAR: how many bytes.
    fn export_car(&self, py: Python<'_>, content: Content, descriptor: i32, version: u8, watch: Watch) -> PyResult<u64> {
        if descriptor < 0 {
            return Err(invalid(py, "a file descriptor is not negative"));
        }
        let store = self.open(py)?.store;
        // SAFETY: as in `copy_to`: the caller keeps the descriptor open for the length of the call.
        #[expect(unsafe_code, reason = "a descriptor from Python is a number")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        run(py, &watch, |operation| {
            let root = resolve(&store, &content.0)?;
            // Not even a header is written for what is not here.
            store.size(&root)?;
            let mut output = Output::new(descriptor, operation, false);
            let written = export_car(&store, &[root], &mut output, version, operation);
            // An output whose operation was cancelled can only report that it could not write.
            written.or_else(|error| operation.check().and(Err(error)))
        })
    }

    /// Takes in a CAR file.
    fn import_car(&self, py: Python<'_>, path: PathBuf, pin_roots: bool, watch: Watch) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = ImportOptions { pin_roots, pin_name: None };
        let imported = run(py, &watch, |operation| {
            let cannot = |source| shoal_store::Error::Source { what: "cannot read", path: path.clone(), source };
            let mut file = File::open(&path).map_err(cannot)?;
            let bytes = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
            operation.expect(bytes, None);
            open.patiently(operation, || import_car_of(&open.store, &mut file, bytes, &options, operation))
        })?;
        Ok(report(imported))
    }

    /// Takes in a CAR file as a pack, and moves or links it there: what came, and how.
    fn adopt_car(&self, py: Python<'_>, path: PathBuf, adopt: &str, pin_roots: bool, watch: Watch) -> PyResult<(Report, &'static str)> {
        let how = match adopt {
            "move" => Adopt::Move,
            "link" => Adopt::Link,
            _ => return Err(invalid(py, "a CAR is adopted by \"move\" or by \"link\"")),
        };
        let open = self.open(py)?;
        let options = ImportOptions { pin_roots, pin_name: None };
        let (imported, adopted) =
            run(py, &watch, |operation| open.patiently(operation, || adopt_car(&open.store, &path, how, &options, operation)))?;
        let how = match adopted {
            Adopted::Moved => "moved",
            Adopted::Linked => "linked",
            Adopted::Cloned => "cloned",
        };
        Ok((report(imported), how))
    }

    /// Takes in a CAR from the pieces of an iterator, which the calling thread advances.
    fn import_car_stream(&self, py: Python<'_>, pieces: &Bound<'_, PyAny>, pin_roots: bool, watch: Watch) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = ImportOptions { pin_roots, pin_name: None };
        let mut feed = Feed::new(pieces)?;
        let pipe = feed.pipe();
        let work = |work: &Work<'_, ()>| {
            let mut reader = pipe.reader(work.operation);
            let imported = open.patiently(work.operation, || import_car(&open.store, &mut reader, &options, work.operation));
            imported.or_else(|error| work.operation.check().and(Err(error)))
        };
        run_with(py, &watch, work, |_, ()| Ok(()), &mut |py| feed.step(py)).map(report)
    }
}
