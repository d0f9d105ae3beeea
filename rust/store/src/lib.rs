//! Packs of blocks on disk: the only crate of Shoal that touches files, and all but files given or asked for by people
//! go through the [`disk::Disk`] trait.
//!
//! A store is a folder of CAR files. The packs are the truth; the indexes beside them are caches; the journal (`meta`) says how
//! much of each pack is committed and what is pinned. One process writes at a time, readers need no lock.
//! The rule it keeps: no bytes leave it unchecked, and nothing is acknowledged before it is on the disk.
//! Formats: docs/formats/.

mod adopt;
mod append;
pub mod archive;
mod blob;
pub mod block;
pub mod collect;
mod commit;
pub mod directory;
pub mod disk;
mod entries;
pub mod error;
pub mod export;
mod gate;
mod group_list;
mod hold;
mod index;
pub mod ingest;
mod inner;
mod lease;
mod lookup;
pub mod memory_disk;
mod merge;
mod meta;
pub mod migrate;
pub mod object;
pub mod operation;
pub mod output;
mod pack;
mod pack_tree;
pub mod pinning;
mod queue;
pub mod quota;
mod range;
pub mod read;
mod recover;
pub mod reference;
mod reserve;
mod session;
mod state;
mod store;
mod sweep;
pub mod verify;
pub mod walk;

pub use blob::{Partial, Present};
pub use block::Block;
pub use entries::Entries;
pub use error::{Error, Result};
pub use lease::{LEASE_BLOCKS_MAX, Lease};
pub use meta::{PIN_NAME_BYTES_MAX, Pin, PinKind};
pub use operation::{Operation, Progress};
pub use recover::{FORMAT_VERSION, RecoveryReport};
pub use session::{PutCount, Session};
pub use store::{Options, PackStat, Stat, Store, StoredBlock};
