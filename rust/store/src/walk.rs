//! Walks over DAGs: every block under some roots, parents before children, in the order of their links.
//!
//! That is the order of Kubo's `dag export`. No recursion, and memory by the number of blocks, never by the number of paths:
//! a node is entered once, however many links lead to it. The rule kept here: a block that was not found, or did not verify, is
//! never taken for a leaf.

mod ahead;
mod refs;
mod seen;
mod stack;
mod stat;

pub use refs::{Ref, Refs, RefsOptions, refs};
pub use seen::Seen;
pub use stat::{DagStat, stat};

use crate::block::Block;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::session::Session;
use crate::store::Store;
use ahead::Ahead;
use shoal_core::{Cid, dag};
use stack::Stack;

/// Where a walk reads.
pub trait Source {
    /// Verified blocks, in the order asked for.
    fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>>;
    /// Length of a block, from the index alone. [`Error::NotFound`] where there is none.
    fn size(&self, cid: &Cid) -> Result<u64>;
}

impl Source for Store {
    fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
        Self::blocks(self, cids)
    }

    fn size(&self, cid: &Cid) -> Result<u64> {
        Self::size(self, cid)
    }
}

/// Sees what the session has put and not yet committed, and nothing that is about to be deleted. What it answers with stays for as
/// long as the session lives.
impl Source for Session {
    fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
        let stay = match self.stay_many(cids) {
            Ok(stay) => stay,
            Err(error) => return cids.iter().map(|_| Err(error.duplicate())).collect(),
        };
        let not_found = |cid: &Cid| Err(Error::NotFound { cid: cid.clone() });
        let blocks = Self::blocks(self, cids).into_iter().zip(stay).zip(cids);
        blocks.map(|((block, stays), cid)| if stays { block } else { not_found(cid) }).collect()
    }

    fn size(&self, cid: &Cid) -> Result<u64> {
        if self.stay_many(std::slice::from_ref(cid))?.contains(&false) {
            return Err(Error::NotFound { cid: cid.clone() });
        }
        Self::size(self, cid)
    }
}

/// How to walk.
#[derive(Debug, Clone, Copy, Default)]
pub struct WalkOptions {
    /// Read and verify raw blocks too. Without it they are only looked up, since they link to nothing.
    pub read_leaves: bool,
    /// Tell two CIDs of one node (CIDv0 and CIDv1) apart, as Kubo's export does.
    pub is_exact: bool,
    /// Visit a node again each time a link leads to it, marked as a repeat; what is under it is not entered again.
    pub report_repeats: bool,
    /// Visit at most so many blocks, then fail with [`Error::TooManyBlocks`].
    pub blocks_max: Option<u64>,
}

/// A block met on a walk.
#[derive(Debug)]
pub struct Visited<'a> {
    /// The block.
    pub cid: &'a Cid,
    /// The node whose link led here; none for a root.
    pub parent: Option<&'a Cid>,
    /// The root this walk came from.
    pub root: &'a Cid,
    /// Links between the root and here.
    pub depth: usize,
    /// Length of the block in bytes. 0 for repeats.
    pub bytes: u64,
    /// The block, verified. None for raw leaves unless they were asked for, and for repeats.
    pub block: Option<&'a Block>,
    /// What it links to, in order, each as often as it stands there. Empty for repeats.
    pub links: &'a [Cid],
    /// Whether it was visited before.
    pub is_repeat: bool,
}

/// A block that could not be had.
#[derive(Debug)]
pub struct Lost<'a> {
    /// The block.
    pub cid: &'a Cid,
    /// The node that links to it; none for a root.
    pub parent: Option<&'a Cid>,
    /// The root this walk came from.
    pub root: &'a Cid,
    /// Links between the root and here.
    pub depth: usize,
}

impl Lost<'_> {
    /// The error that says which root and which block.
    #[must_use]
    pub fn because(&self, source: Error) -> Error {
        match self.parent {
            None => source,
            Some(parent) => Error::InDag { root: self.root.clone(), parent: parent.clone(), source: Box::new(source) },
        }
    }
}

/// What a block links to, in order.
pub(crate) fn links_of(cid: &Cid, block: &[u8]) -> Result<Vec<Cid>> {
    let mut links = Vec::new();
    dag::links(cid.codec(), block, &mut links).map_err(|e| Error::Dag { cid: cid.clone(), reason: e.to_string() })?;
    Ok(links)
}

/// Walks the DAGs under `roots`: depth first, parents first, in the order of links, each node once.
///
/// Fails at the first block that is missing, damaged, or not decodable, naming its root and parent ([`Error::InDag`]).
/// Counts blocks in `operation`. Returns what was seen.
pub fn walk(
    source: &dyn Source,
    roots: &[Cid],
    options: WalkOptions,
    operation: &Operation,
    visit: &mut dyn FnMut(Visited<'_>) -> Result<()>,
) -> Result<Seen> {
    let mut seen = Seen::new(options.is_exact);
    walk_on(source, roots, options, &mut seen, operation, visit, &mut |lost, error| Err(lost.because(error)))?;
    Ok(seen)
}

/// As [`walk`], leaving out what was `seen` before and adding to it. `lost` decides what happens when a block cannot be had:
/// `Ok` goes on without it.
pub fn walk_on(
    source: &dyn Source,
    roots: &[Cid],
    options: WalkOptions,
    seen: &mut Seen,
    operation: &Operation,
    visit: &mut dyn FnMut(Visited<'_>) -> Result<()>,
    lost: &mut dyn FnMut(Lost<'_>, Error) -> Result<()>,
) -> Result<()> {
    let mut ahead = Ahead::new(options.read_leaves);
    let mut blocks = 0u64;
    for (index, root) in roots.iter().enumerate() {
        let mut stack = Stack::new(stack::LINKS_MAX, links_of);
        let mut is_at_root = true;
        loop {
            operation.check()?;
            let (cid, parent, rest, depth) = if is_at_root {
                (root.clone(), None, roots.get(index + 1..).unwrap_or_default(), 0)
            } else {
                let Some(step) = stack.step(source)? else { break };
                (step.link.clone(), Some(step.node), step.rest, step.depth)
            };
            is_at_root = false;
            if !seen.insert(&cid) {
                if options.report_repeats {
                    visit(Visited { cid: &cid, parent, root, depth, bytes: 0, block: None, links: &[], is_repeat: true })?;
                }
                continue;
            }
            if let Some(blocks_max) = options.blocks_max.filter(|max| blocks >= *max) {
                return Err(Error::TooManyBlocks { root: root.clone(), blocks_max });
            }
            let next = rest.iter().filter(|next| !seen.has(next));
            let read = ahead.take(source, &cid, next).and_then(|found| {
                let links = found.block.as_ref().map_or(Ok(Vec::new()), |block| links_of(&cid, block))?;
                Ok((found, links))
            });
            let (found, links) = match read {
                Ok(read) => read,
                Err(error) => {
                    lost(Lost { cid: &cid, parent, root, depth }, error)?;
                    continue;
                }
            };
            blocks += 1;
            operation.add_files(1);
            let (bytes, block) = (found.bytes, found.block.as_ref());
            visit(Visited { cid: &cid, parent, root, depth, bytes, block, links: &links, is_repeat: false })?;
            if !links.is_empty() {
                stack.push(cid, links)?;
            }
        }
    }
    Ok(())
}
