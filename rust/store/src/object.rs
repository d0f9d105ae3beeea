//! Objects by path: through maps and lists inside a block, from block to block along links, and through UnixFS directories by name.
//!
//! The rule kept here: nothing is guessed. A name leads to one place or is an error that says in which block it was missed.

use crate::directory;
use crate::error::{Error, Result};
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::dag::{self, Value};
use shoal_core::unixfs::{Node, decode_node};

/// Where a path leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The last block on the way.
    pub cid: Cid,
    /// How many of the names, at the end, lead on within that block.
    pub names_within: usize,
    /// What stands there. None when the path ends with the block as a whole, which was not read then.
    pub value: Option<Value>,
}

fn no_such(cid: &Cid, name: &[u8]) -> Error {
    Error::NoSuchName { cid: cid.clone(), name: name.to_vec() }
}

/// The value of a whole block. Takes the loose forms that others write, for its hash has vouched for it.
pub fn load(store: &Store, cid: &Cid) -> Result<Value> {
    let block = store.block(cid)?;
    dag::decode_relaxed(cid.codec(), &block).map_err(|e| Error::Dag { cid: cid.clone(), reason: e.to_string() })
}

/// Whether names below a block are entries of a UnixFS directory, not fields of the node.
fn is_directory(store: &Store, cid: &Cid) -> Result<bool> {
    if cid.codec() != codec::DAG_PB {
        return Ok(false);
    }
    let block = store.block(cid)?;
    let node = decode_node(cid.codec(), &block);
    Ok(matches!(node, Ok(Node::Directory(_) | Node::Shard(_))))
}

/// Follows names down from a root. A link that the path ends with is followed too, but what it leads to is not read.
pub fn resolve(store: &Store, root: &Cid, names: &[&[u8]]) -> Result<Place> {
    let mut cid = root.clone();
    let mut rest = names;
    while let Some((name, after)) = rest.split_first() {
        if is_directory(store, &cid)? {
            cid = directory::lookup(store, &cid, name)?.ok_or_else(|| no_such(&cid, name))?.cid;
            rest = after;
            continue;
        }
        let block = load(store, &cid)?;
        let mut value = &block;
        let mut within = rest;
        while let Some((name, after)) = within.split_first()
            && !matches!(value, Value::Link(_))
        {
            let found = std::str::from_utf8(name).ok().and_then(|name| dag::resolve(value, name));
            value = found.ok_or_else(|| no_such(&cid, name))?;
            within = after;
        }
        match value {
            Value::Link(next) => {
                cid = next.clone();
                rest = within;
            }
            value => return Ok(Place { cid, names_within: rest.len(), value: Some(value.clone()) }),
        }
    }
    Ok(Place { cid, names_within: 0, value: None })
}
