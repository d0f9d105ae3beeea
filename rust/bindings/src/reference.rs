//! Files that were left where they are: which, whether they changed, and forgetting them.

use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::reference::{Forget, check, forget, list};
use std::ffi::OsString;
use std::path::PathBuf;

/// Path, length, nanoseconds since 1970 of its last change, blocks, their bytes.
type Row = (OsString, u64, i64, u64, u64);
/// Path, what changed, offset in it.
type Changed = (OsString, String, Option<u64>);
/// Paths, blocks, their bytes.
type Forgotten = (Vec<OsString>, u64, u64);

#[pymethods]
impl Store {
    /// Every file that blocks are referenced in.
    fn references(&self, py: Python<'_>, watch: Watch) -> PyResult<Vec<Row>> {
        let open = self.open(py)?;
        let files = run(py, &watch, |operation| list(&open.store, operation))?;
        Ok(files
            .into_iter()
            .map(|file| (file.path.into_os_string(), file.bytes, file.modified_ns, file.blocks, file.block_bytes))
            .collect())
    }

    /// How many files were looked at, and those that are not as they were.
    fn references_check(&self, py: Python<'_>, full: bool, watch: Watch) -> PyResult<(u64, Vec<Changed>)> {
        let open = self.open(py)?;
        run(py, &watch, |operation| {
            let (mut files, mut changed) = (0, Vec::new());
            check(&open.store, full, operation, &mut |checked| {
                files += u64::from(!checked.is_table);
                let what = match checked.change {
                    Some(change) => change.to_string(),
                    None if checked.is_table => "is damaged, and nobody knows which files it named".to_owned(),
                    None => return Ok(()),
                };
                changed.push((checked.path.into_os_string(), what, checked.offset));
                Ok(())
            })?;
            Ok((files, changed))
        })
    }

    /// Forgets these files, and those below these folders; without any, those that changed.
    fn references_forget(&self, py: Python<'_>, paths: Option<Vec<PathBuf>>, watch: Watch) -> PyResult<Forgotten> {
        let open = self.open(py)?;
        let what = paths.map_or(Forget::Changed, Forget::Paths);
        let gone = run(py, &watch, |operation| open.patiently(operation, || forget(&open.store, &what, operation)))?;
        Ok((gone.paths.into_iter().map(PathBuf::into_os_string).collect(), gone.blocks, gone.block_bytes))
    }
}
