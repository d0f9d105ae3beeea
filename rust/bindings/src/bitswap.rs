//! bitswap's messages between the wire and the store, without a copy of a block in Python's own memory.

use crate::block::Block;
use crate::cid::{AnyCid, Cid};
use crate::connection::{Connection, time};
use crate::error::{Class, raise, store_error};
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shoal_core::unixfs::claims;
use shoal_store::quota::make_room_for_blocks;
use shoal_store::walk::{Seen, WalkOptions, walk};
use shoal_wire::bitswap::{self, Entry, Payload, Prefix, Want};
use shoal_wire::delimited::Delimited;
use shoal_wire::limits::BITSWAP_BYTES_MAX;
use shoal_wire::yamux::StreamId;
use std::sync::{Mutex, PoisonError};

/// Read of one stream at a time: the longest message, so that one call seldom finds half of one.
const READ_BYTES_MAX: usize = BITSWAP_BYTES_MAX;

/// wants of blocks, wants of words, cancels, whether the list is full, blocks, haves, dont-haves.
type Parts = (Vec<Cid>, Vec<Cid>, Vec<Cid>, bool, Vec<(Cid, Block)>, Vec<Cid>, Vec<Cid>);

/// A message with its blocks hashed, free of the buffer it came in.
#[derive(Default)]
struct Message {
    entries: Vec<Entry>,
    is_full: bool,
    blocks: Vec<(shoal_core::Cid, shoal_store::Block)>,
    presences: Vec<(shoal_core::Cid, bool)>,
}

impl Message {
    fn new(message: bitswap::Message<'_>) -> Self {
        let blocks = message.hash_blocks().into_iter().map(|(cid, data)| (cid, shoal_store::Block::owned(data))).collect();
        let mut entries = message.entries;
        // The order is the priority from here on.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.priority));
        Self { entries, is_full: message.is_full, blocks, presences: message.presences }
    }

    fn parts(self) -> Parts {
        let mut parts = Parts::default();
        for Entry { cid, want, .. } in self.entries {
            match want {
                Want::Block => parts.0.push(Cid(cid)),
                Want::Have => parts.1.push(Cid(cid)),
                Want::Cancel => parts.2.push(Cid(cid)),
            }
        }
        parts.3 = self.is_full;
        parts.4 = self.blocks.into_iter().map(|(cid, data)| (Cid(cid.clone()), Block::new(cid, data))).collect();
        for (cid, is_there) in self.presences {
            if is_there { &mut parts.5 } else { &mut parts.6 }.push(Cid(cid));
        }
        parts
    }
}

/// The messages of one stream. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct BitswapReader(Mutex<Delimited>);

#[pymethods]
impl BitswapReader {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Delimited::new(BITSWAP_BYTES_MAX)))
    }

    /// Whole messages, whether the stream has ended, and how many bytes were read.
    fn read(&self, py: Python<'_>, connection: &Connection, stream: u32, now: f64) -> PyResult<(Vec<Parts>, bool, usize)> {
        let now = time(py, now)?;
        let read = py.detach(|| {
            let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let read = connection.machine().read_with(StreamId(stream), READ_BYTES_MAX, &mut |piece| gathered.receive(piece), now);
            let mut messages = Vec::new();
            while let Some(message) = gathered.message().map_err(|e| e.to_string())? {
                messages.push(Message::new(bitswap::Message::decode(message).map_err(|e| e.to_string())?));
            }
            Ok((messages, read.is_end, read.bytes))
        });
        let (messages, is_end, bytes) =
            read.map_err(|e: String| raise(py, Class::ProtocolError, &format!("the peer's bitswap stream cannot be read: {e}")))?;
        Ok((messages.into_iter().map(Message::parts).collect(), is_end, bytes))
    }
}

/// A message of wants, behind its length.
#[pyfunction]
pub fn bitswap_wants<'py>(
    py: Python<'py>,
    blocks: Vec<PyRef<'py, Cid>>,
    haves: Vec<PyRef<'py, Cid>>,
    cancels: Vec<PyRef<'py, Cid>>,
    is_full: bool,
    priority: i32,
) -> Bound<'py, PyBytes> {
    let wanted = blocks.iter().map(|cid| (cid, Want::Block)).chain(haves.iter().map(|cid| (cid, Want::Have)));
    let wanted = wanted.zip(0..).map(|((cid, want), at)| Entry {
        cid: cid.0.clone(),
        want,
        priority: priority.saturating_sub(at),
        wants_dont_have: true,
    });
    let cancelled = cancels.iter().map(|cid| Entry { cid: cid.0.clone(), want: Want::Cancel, priority: 0, wants_dont_have: false });
    let message = bitswap::Message { entries: cancelled.chain(wanted).collect(), is_full, ..Default::default() };
    PyBytes::new(py, &framed(&message))
}

fn framed(message: &bitswap::Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode_delimited(&mut out);
    out
}

/// A link of a block for who fetches: block, bytes where claimed, whether it has no links itself.
type Link = (Cid, Option<u64>, bool);

/// The blocks of a DAG. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct Members(Seen);

#[pymethods]
impl Members {
    fn has_many(&self, cids: Vec<PyRef<'_, Cid>>) -> Vec<bool> {
        cids.iter().map(|cid| self.0.has_block(&cid.0)).collect()
    }
}

#[pymethods]
impl Store {
    /// Messages that carry blocks and words, each behind its length, and the blocks that could not be read.
    #[expect(clippy::type_complexity, reason = "what a message is made of, as a tuple")]
    fn bitswap_blocks<'py>(
        &self,
        py: Python<'py>,
        sends: Vec<(Vec<PyRef<'py, Cid>>, Vec<PyRef<'py, Cid>>, Vec<PyRef<'py, Cid>>)>,
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, Vec<Cid>)>> {
        let open = self.open(py)?;
        let plain = |cids: Vec<PyRef<'py, Cid>>| cids.iter().map(|cid| cid.0.clone()).collect::<Vec<shoal_core::Cid>>();
        let sends: Vec<_> = sends.into_iter().map(|(blocks, haves, lacks)| (plain(blocks), plain(haves), plain(lacks))).collect();
        let made: Vec<(Vec<u8>, Vec<Cid>)> = py.detach(|| {
            let message = |(cids, haves, lacks): (Vec<shoal_core::Cid>, Vec<_>, Vec<_>)| {
                let (mut read, mut unreadable) = (Vec::with_capacity(cids.len()), Vec::new());
                for (block, cid) in open.store.blocks(&cids).into_iter().zip(cids) {
                    match block {
                        Ok(block) => read.push((Prefix::of(&cid), block)),
                        Err(_) => unreadable.push(Cid(cid)),
                    }
                }
                let payloads = read.iter().map(|(prefix, data)| Payload { prefix: *prefix, data }).collect();
                let presences = haves.into_iter().map(|cid| (cid, true)).chain(lacks.into_iter().map(|cid| (cid, false))).collect();
                (framed(&bitswap::Message { payloads, presences, ..Default::default() }), unreadable)
            };
            sends.into_iter().map(message).collect()
        });
        Ok(made.into_iter().map(|(bytes, unreadable)| (PyBytes::new(py, &bytes), unreadable)).collect())
    }

    /// Stores checked blocks, and commits.
    fn put_blocks(&self, py: Python<'_>, blocks: Vec<PyRef<'_, Block>>, watch: Watch) -> PyResult<(u64, u64)> {
        let open = self.open(py)?;
        let blocks: Vec<(shoal_core::Cid, shoal_store::Block)> = blocks.iter().map(|block| block.parts()).collect();
        let count = run(py, &watch, |operation| {
            let pairs: Vec<(&shoal_core::Cid, &[u8])> = blocks.iter().map(|(cid, data)| (cid, &**data)).collect();
            open.patiently(operation, || make_room_for_blocks(&open.store, &pairs, operation))?;
            let session = open.write(operation)?;
            let count = session.put_many(&pairs)?;
            session.commit()?;
            Ok(count)
        })?;
        Ok((count.new_blocks, count.new_bytes))
    }

    /// Bytes of blocks, None where they are not here.
    fn sizes(&self, py: Python<'_>, cids: Vec<PyRef<'_, Cid>>) -> PyResult<Vec<Option<u64>>> {
        let open = self.open(py)?;
        let cids: Vec<shoal_core::Cid> = cids.iter().map(|cid| cid.0.clone()).collect();
        let size = |cid| match open.store.size(cid) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(shoal_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        };
        py.detach(|| cids.iter().map(size).collect::<shoal_store::Result<_>>()).map_err(|e| store_error(py, &e))
    }

    /// Which blocks are under a root, all of which have to be here.
    fn members(&self, py: Python<'_>, root: AnyCid, watch: Watch) -> PyResult<Members> {
        let open = self.open(py)?;
        let seen = run(py, &watch, |operation| {
            walk(&open.store, std::slice::from_ref(&root.0), WalkOptions::default(), operation, &mut |_| Ok(()))
        })?;
        Ok(Members(seen))
    }

    /// The links of stored blocks; none for a block that is not what its CID says.
    fn fetch_links(&self, py: Python<'_>, cids: Vec<PyRef<'_, Cid>>) -> PyResult<Vec<Vec<Link>>> {
        let open = self.open(py)?;
        let cids: Vec<shoal_core::Cid> = cids.iter().map(|cid| cid.0.clone()).collect();
        let found = py.detach(|| {
            let links = |(block, cid): (shoal_store::Result<shoal_store::Block>, &shoal_core::Cid)| {
                let found = claims(cid.codec(), &block?).unwrap_or_default();
                Ok(found.into_iter().map(|claim| (Cid(claim.cid.clone()), claim.block_bytes, claim.is_leaf())).collect())
            };
            open.store.blocks(&cids).into_iter().zip(&cids).map(links).collect::<shoal_store::Result<Vec<Vec<Link>>>>()
        });
        found.map_err(|e| store_error(py, &e))
    }
}
