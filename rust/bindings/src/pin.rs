//! Pins: what is kept.

use crate::cid::{AnyCid, Cid};
use crate::error::store_error;
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::{Pin, PinKind};

/// CID, kind, name.
type Row = (Cid, &'static str, Option<String>);

fn row(pin: Pin) -> Row {
    let kind = match pin.kind {
        PinKind::Recursive => "recursive",
        PinKind::Direct => "direct",
    };
    (Cid(pin.cid), kind, pin.name)
}

#[pymethods]
impl Store {
    /// All pins, ordered by CID.
    fn pins(&self, py: Python<'_>) -> PyResult<Vec<Row>> {
        let open = self.open(py)?;
        let pins = py.detach(|| open.store.pins()).map_err(|e| store_error(py, &e))?;
        Ok(pins.into_iter().map(row).collect())
    }

    fn pin_of(&self, py: Python<'_>, cid: AnyCid) -> PyResult<Option<Row>> {
        let open = self.open(py)?;
        let pin = py.detach(|| open.store.pin(&cid.0)).map_err(|e| store_error(py, &e))?;
        Ok(pin.map(row))
    }

    /// Removes a pin: whether there was one.
    fn unpin(&self, py: Python<'_>, cid: AnyCid, watch: Watch) -> PyResult<bool> {
        let open = self.open(py)?;
        run(py, &watch, |operation| {
            let session = open.write(operation)?;
            let was_pinned = session.unpin(&cid.0)?;
            operation.check()?;
            session.commit()?;
            Ok(was_pinned)
        })
    }
}
