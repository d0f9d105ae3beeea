//! Pins: what is kept.

use crate::cid::{AnyCid, Cid};
use crate::error::{invalid, store_error};
use crate::file::resolve;
use crate::operation::{Watch, Work, run, run_with};
use crate::path::Content;
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::pinning::{self, Kept, PinFilter, Pinned};
use shoal_store::{Pin, PinKind};

/// CID, kind, name.
type Row = (Cid, &'static str, Option<String>);

fn kind_name(kind: Kept) -> &'static str {
    match kind {
        Kept::Direct => "direct",
        Kept::Recursive => "recursive",
        Kept::Indirect => "indirect",
    }
}

fn row(pin: Pin) -> Row {
    (Cid(pin.cid), kind_name(pin.kind.into()), pin.name)
}

#[pymethods]
impl Store {
    /// Pins what a path leads to, once all of it is known to be here.
    fn pin_add(&self, py: Python<'_>, content: Content, recursive: bool, name: Option<String>, watch: Watch) -> PyResult<Cid> {
        let open = self.open(py)?;
        let kind = if recursive { PinKind::Recursive } else { PinKind::Direct };
        run(py, &watch, |operation| {
            let cid = resolve(&open.store, &content.0)?;
            open.patiently(operation, || pinning::add(&open.store, &cid, kind, name.clone(), operation))?;
            Ok(Cid(cid))
        })
    }

    /// Removes a pin.
    fn pin_rm(&self, py: Python<'_>, cid: AnyCid, watch: Watch) -> PyResult<()> {
        let open = self.open(py)?;
        run(py, &watch, |operation| open.patiently(operation, || pinning::remove(&open.store, &cid.0)))
    }

    /// The pins, ordered by CID, without walking anything.
    fn pins(&self, py: Python<'_>) -> PyResult<Vec<Row>> {
        let open = self.open(py)?;
        let pins = py.detach(|| open.store.pins()).map_err(|e| store_error(py, &e))?;
        Ok(pins.into_iter().map(row).collect())
    }

    /// What is kept, the blocks under recursive pins too.
    fn kept(&self, py: Python<'_>, cid: Option<AnyCid>, kind: Option<&str>, name: Option<String>, watch: Watch) -> PyResult<Vec<Row>> {
        let open = self.open(py)?;
        let kind = match kind {
            None => None,
            Some("direct") => Some(Kept::Direct),
            Some("recursive") => Some(Kept::Recursive),
            Some("indirect") => Some(Kept::Indirect),
            Some(_) => return Err(invalid(py, "a pin is 'recursive', 'direct' or 'indirect'")),
        };
        let filter = PinFilter { kind, cid: cid.map(|cid| cid.0), name };
        let mut rows = Vec::new();
        let work = |work: &Work<'_, Pinned>| pinning::list(&open.store, &filter, work.operation, &mut |pinned| work.tell(pinned));
        let heard = |_: Python<'_>, pinned: Pinned| {
            rows.push((Cid(pinned.cid), kind_name(pinned.kind), pinned.name));
            Ok(())
        };
        run_with(py, &watch, work, heard, &mut |_| Ok(false))?;
        Ok(rows)
    }
}
