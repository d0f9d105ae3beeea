//! Names for what is lost: which pin, and which file under it.

use crate::store::Store;
use shoal_core::Cid;
use shoal_core::unixfs::{Node, Slot, decode_node};

/// Something lost under a pin, by the way that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HurtPath {
    /// The pinned root.
    pub root: Cid,
    /// Names from the root down to the file or directory that is hurt; empty where that is the root itself, or nothing has names.
    pub names: Vec<Vec<u8>>,
    /// Where in the file's content the lost block begins, in bytes, if it is a file's.
    pub offset: Option<u64>,
    /// The block that is lost.
    pub cid: Cid,
    /// Whether it is nowhere in the store, not damaged.
    pub is_missing: bool,
}

/// A lost block as the walk met it.
pub(super) struct Met {
    pub root: Cid,
    /// From the root to its parent.
    pub above: Vec<Cid>,
    pub cid: Cid,
    pub is_missing: bool,
}

/// Reads the nodes on the way once more, for their names.
pub(super) fn named(store: &Store, met: Met) -> HurtPath {
    let (mut names, mut offset) = (Vec::new(), None);
    let below = met.above.iter().skip(1).chain([&met.cid]);
    for (parent, child) in met.above.iter().zip(below) {
        let Ok(block) = store.block(parent) else { break };
        let is_child = |cid: &Cid| cid.multihash() == child.multihash();
        match decode_node(parent.codec(), &block) {
            Ok(Node::Directory(directory)) => {
                names.extend(directory.entries.iter().find(|entry| is_child(&entry.cid)).map(|entry| entry.name.to_vec()));
                offset = None;
            }
            Ok(Node::Shard(shard)) => {
                names.extend(shard.slots.iter().find_map(|slot| match slot {
                    Slot::Entry { entry, .. } if is_child(&entry.cid) => Some(entry.name.to_vec()),
                    Slot::Entry { .. } | Slot::Shard { .. } => None,
                }));
                offset = None;
            }
            Ok(Node::File(file)) => {
                let before = file.children.iter().take_while(|child| !is_child(&child.cid)).map(|child| child.file_bytes);
                let before = before.fold(file.data.len() as u64, u64::saturating_add);
                offset = Some(offset.unwrap_or(0u64).saturating_add(before));
            }
            _ => break,
        }
    }
    HurtPath { root: met.root, names, offset, cid: met.cid, is_missing: met.is_missing }
}
