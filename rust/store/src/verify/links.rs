//! Whether every link of every block that was verified leads to a block: then no pin can be hurt, and no DAG has to be walked.
//!
//! Taken on the way, while a node is in the cache, and looked up many at a time. It only ever says that all is whole; which pin is hurt
//! by what, where something is missing, is for the walk to say (`roots.rs`). The rule kept here: doubt is doubt for all.

use super::pack::Pack;
use crate::inner::{Inner, locked};
use crate::meta::{Pin, PinKind};
use crate::pack::{Key, key};
use crate::store::Store;
use crate::walk::links_of;
use shoal_core::Cid;
use shoal_core::cid::codec;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A node by the first bytes of its key, enough that no two blocks share them, and the codec it is read by.
type NodeKey = ([u8; 16], u64);

fn node_key(key: &Key, codec: u64) -> NodeKey {
    (key.first_chunk().copied().unwrap_or_default(), codec)
}

/// What the nodes met so far link to. Memory by the number of nodes, some 80 bytes for each; none for leaves.
#[derive(Default)]
pub(super) struct Links {
    is_doubtful: AtomicBool,
    nodes: Mutex<Nodes>,
}

#[derive(Default)]
struct Nodes {
    /// Those whose links were looked up.
    taken: HashSet<NodeKey>,
    /// Those that somebody links to.
    linked: HashSet<NodeKey>,
}

impl Links {
    fn doubt(&self) {
        self.is_doubtful.store(true, Ordering::Relaxed);
    }

    /// Takes in a sound block that may have links. What it links to is likely to be in the same pack.
    pub fn take(&self, inner: &Inner, pack: &Pack, cid: &Cid, block: &[u8]) {
        if self.is_doubtful.load(Ordering::Relaxed) {
            return;
        }
        if self.try_take(inner, pack, cid, block).is_none() {
            self.doubt();
        }
    }

    fn try_take(&self, inner: &Inner, pack: &Pack, cid: &Cid, block: &[u8]) -> Option<()> {
        let own = node_key(&key(cid)?, cid.codec());
        let links = links_of(cid, block).ok()?;
        let (mut leaves, mut linked) = (Vec::with_capacity(links.len()), Vec::new());
        for link in &links {
            match key(link) {
                Some(key) if link.codec() == codec::RAW => leaves.push(key),
                Some(key) => linked.push(node_key(&key, link.codec())),
                // The link carries its block: the walk would go on in it.
                None if link.codec() == codec::RAW => {}
                None => return None,
            }
        }
        are_here(inner, pack, &leaves)?;
        let mut nodes = locked(&self.nodes);
        nodes.taken.insert(own);
        nodes.linked.extend(linked);
        Some(())
    }

    /// Whether all of these pins are whole for certain.
    pub fn are_whole(self, store: &Store, pins: &[Pin]) -> bool {
        let nodes = self.nodes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.is_doubtful.into_inner() || !nodes.linked.is_subset(&nodes.taken) {
            return false;
        }
        pins.iter().filter(|pin| pin.kind == PinKind::Recursive).all(|pin| match key(&pin.cid) {
            Some(_) if pin.cid.codec() == codec::RAW => store.has(&pin.cid).unwrap_or(false),
            Some(key) => nodes.taken.contains(&node_key(&key, pin.cid.codec())),
            None => false,
        })
    }
}

/// Nodes whose leaves do not stand side by side, before no more is hoped of others.
const LONELY_MAX: usize = 4;
/// From so many side by side on, finding them was cheaper than looking each up.
const RUN_MIN: usize = 8;

/// Whether all of these leaves are here: `Some` if so. They are likely to stand in the pack in the order of their links, and then only
/// the first is looked up.
fn are_here(inner: &Inner, pack: &Pack, leaves: &[Key]) -> Option<()> {
    let (mut left, mut lonely) = (leaves, 0);
    while let Some(first) = left.first().filter(|_| lonely < LONELY_MAX) {
        let found = inner.look_up(|state| state.first(first, true)).ok()?;
        let run = found.map_or(1, |found| pack.run(found, left));
        if found.is_none() && !is_blob(inner, first) {
            return None;
        }
        lonely += usize::from(run < RUN_MIN);
        left = left.get(run..).unwrap_or_default();
    }
    let keys: Vec<&Key> = left.iter().collect();
    let has = inner.look_up(|state| state.has_many(&keys, true, &|_| true)).ok()?;
    has.into_iter().zip(left).all(|(has, leaf)| has || is_blob(inner, leaf)).then_some(())
}

fn is_blob(inner: &Inner, key: &Key) -> bool {
    inner.state().contents.blobs.contains_key(key)
}
