//! The nodes between a walk's root and where it is, with what they link to. Bounded in depth and in memory.

use super::Source;
use crate::block::Block;
use crate::error::{Error, Result};
use shoal_core::Cid;
use shoal_core::limits::DAG_DEPTH_MAX;

/// Links kept for the nodes on the way down: some 50 MB. Beyond it, those furthest up are dropped, and parsed again when the walk
/// comes back to them. Each time, as many links have been parsed in between, so the work stays in proportion.
pub(super) const LINKS_MAX: usize = 1 << 20;

/// How the links of a node are found in its block.
pub(super) type Parse<L> = fn(&Cid, &[u8]) -> Result<Vec<L>>;

struct Frame<L> {
    node: Cid,
    /// None: dropped to save memory.
    links: Option<Vec<L>>,
    next: usize,
}

/// One link further.
pub(super) struct Step<'a, L> {
    /// The node whose link it is.
    pub node: &'a Cid,
    pub link: &'a L,
    /// The links of the node after it.
    pub rest: &'a [L],
    /// How many nodes are on the way: 1 where the node is the root.
    pub depth: usize,
}

/// The nodes on the way down.
pub(super) struct Stack<L> {
    frames: Vec<Frame<L>>,
    links: usize,
    links_max: usize,
    parse: Parse<L>,
}

impl<L> Stack<L> {
    pub fn new(links_max: usize, parse: Parse<L>) -> Self {
        Self { frames: Vec::new(), links: 0, links_max, parse }
    }

    /// Goes into a node.
    pub fn push(&mut self, node: Cid, links: Vec<L>) -> Result<()> {
        if self.frames.len() >= DAG_DEPTH_MAX {
            return Err(Error::DagTooDeep { cid: node });
        }
        self.links += links.len();
        self.frames.push(Frame { node, links: Some(links), next: 0 });
        self.drop_far_links();
        Ok(())
    }

    fn drop_far_links(&mut self) {
        let above = self.frames.len().saturating_sub(1);
        for frame in self.frames.iter_mut().take(above) {
            if self.links <= self.links_max {
                break;
            }
            self.links -= frame.links.take().map_or(0, |links| links.len());
        }
    }

    /// The next link of the deepest node that has one left. Nodes without are left for good. None: there is no node any more.
    pub fn step(&mut self, source: &dyn Source) -> Result<Option<Step<'_, L>>> {
        loop {
            self.restore(source)?;
            let Some(frame) = self.frames.last() else { return Ok(None) };
            let links = frame.links.as_ref().map_or(0, Vec::len);
            if frame.next < links {
                break;
            }
            self.links -= links;
            self.frames.pop();
        }
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let links = frame.links.as_deref().unwrap_or_default();
        let (Some(link), rest) = (links.get(frame.next), links.get(frame.next + 1..).unwrap_or_default()) else { return Ok(None) };
        frame.next += 1;
        Ok(Some(Step { node: &frame.node, link, rest, depth }))
    }

    /// Brings back the links of the last node, if they were dropped.
    fn restore(&mut self, source: &dyn Source) -> Result<()> {
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.links.is_none()) else { return Ok(()) };
        let block = match frame.node.identity() {
            Some(content) => Block::owned(content),
            None => {
                let block = source.blocks(std::slice::from_ref(&frame.node)).pop();
                block.unwrap_or_else(|| Err(Error::NotFound { cid: frame.node.clone() }))?
            }
        };
        let links = (self.parse)(&frame.node, &block)?;
        self.links += links.len();
        frame.links = Some(links);
        self.drop_far_links();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::links_of;
    use shoal_core::cid::codec;
    use shoal_core::dag::pb;
    use shoal_core::hash::{Hash, cid_v1};
    use std::cell::Cell;
    use std::collections::HashMap;

    struct Blocks {
        blocks: HashMap<Cid, Vec<u8>>,
        reads: Cell<usize>,
    }

    impl Source for Blocks {
        fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
            self.reads.set(self.reads.get() + cids.len());
            cids.iter().map(|cid| Ok(Block::owned(&self.blocks[cid]))).collect()
        }

        fn size(&self, cid: &Cid) -> Result<u64> {
            Ok(self.blocks[cid].len() as u64)
        }
    }

    /// A tree: every node has `width` children, each of its own.
    fn tree(blocks: &mut HashMap<Cid, Vec<u8>>, width: usize, depth: usize, data: &mut u64) -> Cid {
        let children: Vec<Cid> = (0..if depth == 0 { 0 } else { width }).map(|_| tree(blocks, width, depth - 1, data)).collect();
        let links: Vec<_> = children.iter().map(|cid| pb::Link { cid: cid.clone(), name: None, dag_bytes: None }).collect();
        *data += 1;
        let mut block = Vec::new();
        pb::encode(&links, Some(&data.to_le_bytes()), false, &mut block);
        let cid = cid_v1(Hash::Blake3, codec::DAG_PB, &block).unwrap();
        blocks.insert(cid.clone(), block);
        cid
    }

    /// The order in which links are met, and the most links that were kept.
    fn order(source: &Blocks, root: &Cid, links_max: usize) -> (Vec<Cid>, usize) {
        let mut stack = Stack::new(links_max, links_of);
        stack.push(root.clone(), links_of(root, &source.blocks[root]).unwrap()).unwrap();
        let (mut order, mut most) = (Vec::new(), 0);
        while let Some(step) = stack.step(source).unwrap() {
            let link = step.link.clone();
            order.push(link.clone());
            let links = links_of(&link, &source.blocks[&link]).unwrap();
            if !links.is_empty() {
                stack.push(link, links).unwrap();
            }
            most = most.max(stack.links);
        }
        assert_eq!(stack.links, 0);
        (order, most)
    }

    #[test]
    fn dropped_links_are_read_again_and_the_order_stays() {
        let mut blocks = HashMap::new();
        let root = tree(&mut blocks, 5, 4, &mut 0);
        let source = Blocks { blocks, reads: Cell::new(0) };
        let (all, most) = order(&source, &root, usize::MAX);
        assert_eq!((all.len(), most, source.reads.get()), (5 + 25 + 125 + 625, 20, 0));
        for links_max in [0, 1, 5, 7, 10, 19] {
            source.reads.set(0);
            let (same, most) = order(&source, &root, links_max);
            assert!(same == all && most <= links_max.max(5), "{links_max}: {most}");
            assert!(source.reads.get() > 0 && source.reads.get() < all.len(), "{links_max}: {}", source.reads.get());
        }
    }
}
