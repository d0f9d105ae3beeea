//! Giving parts of blobs and blocks to others: slices and outboards, every byte of them checked on its way out.

use super::{Blob, digest_of};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::bao::{GROUP_BYTES, Groups, Node, Pair, Part, Slice, Tree};
use std::io::Write;
use std::sync::Arc;

/// Where the parts of a slice are read.
enum From {
    Blob(Arc<Blob>),
    /// A block, whose tree is made for the purpose.
    Block(crate::block::Block, Tree),
}

impl From {
    fn open(store: &Store, cid: &Cid) -> Result<Self> {
        if digest_of(cid).is_none() {
            return Err(Error::UnsupportedHash { cid: cid.clone() });
        }
        match store.block(cid) {
            Ok(block) => {
                let tree = Tree::of(&block);
                Ok(Self::Block(block, tree))
            }
            Err(error @ (Error::IsBlob { .. } | Error::NotFound { .. })) => match store.0.blob(cid)? {
                Some(blob) => Ok(Self::Blob(blob)),
                None => store.0.partial_blob(cid)?.map(Self::Blob).ok_or(error),
            },
            Err(error) => Err(error),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Blob(blob) => blob.bytes,
            Self::Block(block, _) => block.len() as u64,
        }
    }

    fn pair(&self, node: Node) -> Result<Pair> {
        match self {
            Self::Blob(blob) => blob.pair(node),
            Self::Block(_, tree) => Ok(tree.pair(node)),
        }
    }

    fn group(&self, index: u64, to: &mut [u8]) -> Result<()> {
        let at = index.saturating_mul(GROUP_BYTES as u64);
        match self {
            Self::Blob(blob) => blob.read_data(to, at).map(drop),
            Self::Block(block, _) => {
                let from = usize::try_from(at).ok().and_then(|at| block.get(at..)).unwrap_or_default();
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                Ok(())
            }
        }
    }

    fn damaged(&self, cid: &Cid, part: Part) -> Error {
        let (group, is_tree) = match part {
            Part::Pair(node) => (node.first, true),
            Part::Group { index, .. } => (index, false),
        };
        Error::DamagedBlob { cid: cid.clone(), offset: group.saturating_mul(GROUP_BYTES as u64), is_tree }
    }
}

fn write_parts(cid: &Cid, from: &From, slice: &mut Slice, out: &mut dyn Write, operation: &Operation) -> Result<u64> {
    let mut buffer = vec![0; GROUP_BYTES];
    let mut written = 0;
    while let Some(part) = slice.next() {
        operation.check()?;
        let data = buffer.get_mut(..part.bytes()).unwrap_or_default();
        match part {
            Part::Pair(node) => data.copy_from_slice(&from.pair(node)?),
            Part::Group { index, .. } => from.group(index, data)?,
        }
        slice.accept(data).map_err(|_| from.damaged(cid, part))?;
        out.write_all(data).map_err(Error::Output)?;
        written += data.len() as u64;
        if let Part::Group { bytes, .. } = part {
            operation.add_bytes(bytes as u64);
        }
    }
    Ok(written)
}

impl Store {
    /// Writes a slice, with the length of the whole in front: the groups that `wanted` says for this length, and what proves them.
    /// How many bytes. Fails with [`Error::NotHere`], before anything is written, when the blob is partial and one of them is missing.
    pub fn export_slice(&self, cid: &Cid, wanted: &dyn Fn(u64) -> Groups, out: &mut dyn Write, operation: &Operation) -> Result<u64> {
        let from = From::open(self, cid)?;
        let digest = digest_of(cid).ok_or_else(|| Error::UnsupportedHash { cid: cid.clone() })?;
        let wanted = wanted(from.bytes());
        if let From::Blob(blob) = &from {
            wanted.runs().try_for_each(|run| blob.check_here(run))?;
        }
        operation.expect(Some(wanted.count().saturating_mul(GROUP_BYTES as u64).min(from.bytes())), None);
        out.write_all(&from.bytes().to_le_bytes()).map_err(Error::Output)?;
        let mut slice = Slice::new(&digest, from.bytes(), wanted);
        let written = write_parts(cid, &from, &mut slice, out, operation)?;
        out.flush().map_err(Error::Output)?;
        Ok(8 + written)
    }

    /// Writes the outboard: all nodes in pre-order, as `bao-tree` and iroh keep them. How many bytes.
    pub fn export_outboard(&self, cid: &Cid, out: &mut dyn Write, operation: &Operation) -> Result<u64> {
        let from = From::open(self, cid)?;
        let digest = digest_of(cid).ok_or_else(|| Error::UnsupportedHash { cid: cid.clone() })?;
        if let From::Blob(blob) = &from {
            blob.check_here(0..shoal_core::bao::groups(blob.bytes))?;
        }
        let mut slice = Slice::outboard(&digest, from.bytes());
        let written = write_parts(cid, &from, &mut slice, out, operation)?;
        out.flush().map_err(Error::Output)?;
        Ok(written)
    }
}
