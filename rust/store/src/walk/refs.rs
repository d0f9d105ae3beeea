//! The links of a DAG one by one, as `ipfs refs` lists them.

use super::ahead::Ahead;
use super::links_of;
use super::stack::{LINKS_MAX, Stack};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::dag::pb;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Which links to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefsOptions {
    /// Those of children too, and of theirs.
    pub is_recursive: bool,
    /// Each child once only.
    pub is_unique: bool,
    /// Not those further from the root than this. 1 is the root's own links, 0 is none.
    pub depth_max: Option<usize>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// The node it stands in.
    pub parent: Cid,
    /// The block it leads to, which is in the store.
    pub child: Cid,
    /// Its name; empty where it has none (dag-pb only: elsewhere links stand at paths, not under names).
    pub name: Box<[u8]>,
}

/// A link as it stands in its node.
struct Link {
    cid: Cid,
    name: Box<[u8]>,
}

fn named_links(cid: &Cid, block: &[u8]) -> Result<Vec<Link>> {
    if cid.codec() != codec::DAG_PB {
        return Ok(links_of(cid, block)?.into_iter().map(|cid| Link { cid, name: Box::default() }).collect());
    }
    let node = pb::decode(block).map_err(|e| Error::Dag { cid: cid.clone(), reason: e.to_string() })?;
    Ok(node.links.into_iter().map(|link| Link { cid: link.cid, name: link.name.unwrap_or_default().into() }).collect())
}

/// Lists the links under `root` in the order of Kubo's `refs`. Stop it through `operation`.
#[must_use]
pub fn refs(store: &Store, root: &Cid, options: RefsOptions, operation: Arc<Operation>) -> Refs {
    Refs {
        store: store.clone(),
        root: root.clone(),
        depth_max: if options.is_recursive { options.depth_max } else { Some(1) },
        seen: options.is_unique.then(HashMap::new),
        is_started: false,
        is_over: false,
        ahead: Ahead::new(false),
        stack: Stack::new(LINKS_MAX, named_links),
        operation,
    }
}

/// The iterator of [`refs`]. After an error it is over.
pub struct Refs {
    store: Store,
    root: Cid,
    depth_max: Option<usize>,
    /// Children listed, and how near the root: one met again nearer is entered again when the depth is bounded.
    seen: Option<HashMap<Cid, usize>>,
    is_started: bool,
    is_over: bool,
    ahead: Ahead,
    stack: Stack<Link>,
    operation: Arc<Operation>,
}

impl Refs {
    /// Whether to list a child met at this depth, and whether to go into it.
    fn judge(&mut self, cid: &Cid, depth: usize) -> (bool, bool) {
        if self.depth_max.is_some_and(|max| depth > max) {
            return (false, false);
        }
        let is_inside = self.depth_max.is_none_or(|max| depth < max);
        let Some(seen) = &mut self.seen else { return (true, is_inside) };
        match seen.entry(cid.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(depth);
                (true, is_inside)
            }
            Entry::Occupied(mut entry) => {
                let is_nearer = self.depth_max.is_some() && depth < *entry.get();
                if is_nearer {
                    entry.insert(depth);
                }
                (false, is_nearer && is_inside)
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let root = self.root.clone();
        let found = self.ahead.take(&self.store, &root, std::iter::empty())?;
        let links = found.block.map_or(Ok(Vec::new()), |block| named_links(&root, &block))?;
        self.stack.push(root, links)
    }

    fn step(&mut self) -> Result<Option<Ref>> {
        if !self.is_started {
            self.is_started = true;
            self.start()?;
        }
        loop {
            self.operation.check()?;
            let Some(step) = self.stack.step(&self.store)? else { return Ok(None) };
            let (parent, child, name, depth) = (step.node.clone(), step.link.cid.clone(), step.link.name.clone(), step.depth);
            let (is_listed, is_entered) = self.judge(&child, depth);
            if !is_listed && !is_entered {
                continue;
            }
            self.enter(&parent, &child, is_entered)?;
            if is_listed {
                self.operation.add_files(1);
                return Ok(Some(Ref { parent, child, name }));
            }
        }
    }

    /// Makes sure that a child is there, and goes into it.
    fn enter(&mut self, parent: &Cid, child: &Cid, is_entered: bool) -> Result<()> {
        let lost = |source| Error::InDag { root: self.root.clone(), parent: parent.clone(), source: Box::new(source) };
        let found = self.ahead.take(&self.store, child, std::iter::empty()).map_err(lost)?;
        if is_entered && let Some(block) = found.block {
            let links = named_links(child, &block).map_err(lost)?;
            self.stack.push(child.clone(), links)?;
        }
        Ok(())
    }
}

impl Iterator for Refs {
    type Item = Result<Ref>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.step().transpose();
        self.is_over = !matches!(item, Some(Ok(_)));
        item
    }
}
