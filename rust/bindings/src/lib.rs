//! The Python face: one file per room it exposes, and no logic.
//!
//! Rules of the boundary (docs/architecture.md): one call per file or batch; the interpreter is released for anything longer than
//! some tens of microseconds, and no lock is held while attached; buffers that Python may change are copied first; everything
//! raised is a class of `shoal.errors`. Long operations run as `operation.rs` says, so that Ctrl-C always works.

mod add;
mod bench;
mod bitswap;
mod blob;
mod block;
mod buffer;
mod car;
mod cid;
mod collect;
mod connection;
mod dag;
mod error;
mod feed;
mod file;
mod get;
mod identity;
mod lease;
mod list;
mod migrate;
mod operation;
mod path;
mod pin;
mod profile;
mod put;
mod reference;
mod refs;
mod store;
mod value;
mod verify;
mod wire_event;

/// The Rust core of Shoal. Typed and described in `_core.pyi`.
#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::bench::{bench_chunk, bench_hash};
    #[pymodule_export]
    use crate::bitswap::{BitswapReader, Members, bitswap_wants};
    #[pymodule_export]
    use crate::block::Block;
    #[pymodule_export]
    use crate::cid::Cid;
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::dag::{dag_decode, dag_encode, dag_recode};
    #[pymodule_export]
    use crate::file::File;
    #[pymodule_export]
    use crate::identity::{Identity, WireConfig, canonical_peer_id, parse_multiaddr, tcp_multiaddr};
    #[pymodule_export]
    use crate::lease::Lease;
    #[pymodule_export]
    use crate::list::EntryBatches;
    #[pymodule_export]
    use crate::migrate::{migrate_store, store_version};
    #[pymodule_export]
    use crate::operation::Operation;
    #[pymodule_export]
    use crate::path::Path;
    #[pymodule_export]
    use crate::profile::Profile;
    #[pymodule_export]
    use crate::refs::{CidBatches, RefBatches};
    #[pymodule_export]
    use crate::store::Store;
    #[pymodule_export]
    use crate::wire_event::{Identified, WireEvent};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
