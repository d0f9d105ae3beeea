//! Blocks one by one and many at once: put, get, has, size, delete.

use crate::block::Block;
use crate::buffer::Bytes;
use crate::cid::{AnyCid, Cid, codec_named, hash_named};
use crate::error::{invalid, invalid_cid, store_error, verify_error};
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use shoal_core::cid::CidError;
use shoal_core::hash::{Hash, cid_v1, digest_many, verify};
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_store::quota::make_room_for_blocks;
use shoal_store::{Pin, PinKind};

/// The CIDs of blocks, those under a hash of 32 bytes side by side.
fn name_all(hash: Hash, codec: u64, blocks: &[&[u8]]) -> Result<Vec<shoal_core::Cid>, CidError> {
    if !matches!(hash, Hash::Sha256 | Hash::Blake3) {
        return blocks.iter().map(|data| cid_v1(hash, codec, data)).collect();
    }
    let mut digests = vec![[0; 32]; blocks.len()];
    digest_many(hash, blocks, &mut digests);
    digests.iter().map(|digest| shoal_core::Cid::v1(codec, hash.code(), digest)).collect()
}

#[pymethods]
impl Store {
    /// Puts blocks, each under the CID given with it or under one made here, and commits: their CIDs.
    #[pyo3(signature = (blocks, *, codec, hash, pin, watch))]
    fn put_many(
        &self,
        py: Python<'_>,
        blocks: Vec<(Option<AnyCid>, Bytes)>,
        codec: &str,
        hash: &str,
        pin: bool,
        watch: Watch,
    ) -> PyResult<Vec<Cid>> {
        let (codec, hash) = (codec_named(py, codec)?, hash_named(py, hash)?);
        if blocks.iter().any(|(_, data)| data.len() > BLOCK_BYTES_MAX) {
            return Err(invalid(py, "a block has more than 2 MiB, which no peer takes; add it as a file, or cut it"));
        }
        let named = py.detach(|| {
            let nameless: Vec<&[u8]> = blocks.iter().filter(|(cid, _)| cid.is_none()).map(|(_, data)| &**data).collect();
            name_all(hash, codec, &nameless)
        });
        let mut named = named.map_err(|e| invalid_cid(py, &e))?.into_iter();
        let mut cids = Vec::with_capacity(blocks.len());
        for (given, data) in &blocks {
            match given {
                None => cids.extend(named.next()),
                Some(given) => {
                    py.detach(|| verify(&given.0, data)).map_err(|e| verify_error(py, &given.0, e))?;
                    cids.push(given.0.clone());
                }
            }
        }
        let open = self.open(py)?;
        run(py, &watch, |operation| {
            let pairs: Vec<_> = cids.iter().zip(&blocks).map(|(cid, (_, data))| (cid, &**data)).collect();
            open.patiently(operation, || make_room_for_blocks(&open.store, &pairs, operation))?;
            let session = open.write(operation)?;
            session.put_many(&pairs)?;
            if pin {
                for cid in &cids {
                    session.pin(Pin { cid: cid.clone(), kind: PinKind::Direct, name: None })?;
                }
            }
            operation.check()?;
            session.commit()
        })?;
        Ok(cids.into_iter().map(Cid).collect())
    }

    fn block(&self, py: Python<'_>, cid: AnyCid) -> PyResult<Block> {
        let open = self.open(py)?;
        let block = py.detach(|| open.store.block(&cid.0)).map_err(|e| store_error(py, &e))?;
        Ok(Block::new(cid.0, block))
    }

    /// Many blocks, hashed side by side; the first that fails decides the error.
    fn blocks(&self, py: Python<'_>, cids: Vec<AnyCid>, watch: Watch) -> PyResult<Vec<Block>> {
        let open = self.open(py)?;
        let cids: Vec<shoal_core::Cid> = cids.into_iter().map(|cid| cid.0).collect();
        run(py, &watch, |operation| {
            let mut blocks = Vec::new();
            for some in cids.chunks(64) {
                operation.check()?;
                for (cid, block) in some.iter().zip(open.store.blocks(some)) {
                    blocks.push(Block::new(cid.clone(), block?));
                }
            }
            Ok(blocks)
        })
    }

    fn has(&self, py: Python<'_>, cid: AnyCid) -> PyResult<bool> {
        let open = self.open(py)?;
        py.detach(|| open.store.has(&cid.0)).map_err(|e| store_error(py, &e))
    }

    fn has_many(&self, py: Python<'_>, cids: Vec<AnyCid>) -> PyResult<Vec<bool>> {
        let open = self.open(py)?;
        let cids: Vec<shoal_core::Cid> = cids.into_iter().map(|cid| cid.0).collect();
        py.detach(|| open.store.has_many(&cids)).map_err(|e| store_error(py, &e))
    }

    fn size(&self, py: Python<'_>, cid: AnyCid) -> PyResult<u64> {
        let open = self.open(py)?;
        py.detach(|| open.store.size(&cid.0)).map_err(|e| store_error(py, &e))
    }
}
