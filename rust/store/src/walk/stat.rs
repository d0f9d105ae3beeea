//! The size of a DAG: its blocks once, and what a reader of every path would meet.

use super::{Source, WalkOptions, walk};
use crate::error::Result;
use crate::operation::Operation;
use shoal_core::Cid;
use std::collections::HashMap;

/// What a DAG holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagStat {
    /// Its root.
    pub cid: Cid,
    /// Blocks, each once.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Links in them.
    pub links: u64,
    /// Lengths of the blocks on every path, so a block that stands at two places counts twice. None beyond 2^64 bytes: a few
    /// blocks that link to each other many times stand for more.
    pub total_bytes: Option<u64>,
}

/// A node whose children are still coming.
struct Open {
    cid: Cid,
    total: Option<u64>,
}

/// The totals of nodes that are done, and of those on the way down.
struct Totals {
    done: HashMap<Cid, Option<u64>>,
    open: Vec<Open>,
    root: Option<u64>,
}

impl Totals {
    /// Closes all nodes that are as deep as `depth` or deeper.
    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(node) = self.open.pop() else { break };
            self.add(node.total);
            self.done.insert(node.cid, node.total);
        }
    }

    /// Counts a finished child for its parent.
    fn add(&mut self, child: Option<u64>) {
        match self.open.last_mut() {
            Some(parent) => parent.total = parent.total.zip(child).and_then(|(a, b)| a.checked_add(b)),
            None => self.root = child,
        }
    }
}

/// Counts the blocks and bytes of a DAG. Takes time by the number of links, not of paths. Raw leaves are not read.
///
/// Fails as [`walk`] does.
pub fn stat(source: &dyn Source, cid: &Cid, operation: &Operation) -> Result<DagStat> {
    let mut stat = DagStat { cid: cid.clone(), blocks: 0, bytes: 0, links: 0, total_bytes: None };
    let mut totals = Totals { done: HashMap::new(), open: Vec::new(), root: None };
    let options = WalkOptions { report_repeats: true, ..WalkOptions::default() };
    walk(source, std::slice::from_ref(cid), options, operation, &mut |visited| {
        totals.close_to(visited.depth);
        if visited.is_repeat {
            // Nodes without links are not kept: their total is their size.
            let total = match totals.done.get(visited.cid).or_else(|| totals.done.get(&visited.cid.to_v1())) {
                Some(total) => *total,
                None => Some(source.size(visited.cid)?),
            };
            totals.add(total);
            return Ok(());
        }
        stat.blocks += 1;
        stat.bytes = stat.bytes.saturating_add(visited.bytes);
        stat.links += visited.links.len() as u64;
        if visited.links.is_empty() {
            totals.add(Some(visited.bytes));
        } else {
            totals.open.push(Open { cid: visited.cid.to_v1(), total: Some(visited.bytes) });
        }
        operation.add_bytes(visited.bytes);
        Ok(())
    })?;
    totals.close_to(0);
    stat.total_bytes = totals.root;
    Ok(stat)
}
