//! Directories by hash: what is in them, and which CID a path leads to.

use crate::block::Block;
use crate::error::{Error, Result};
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::limits::DAG_DEPTH_MAX;
use shoal_core::unixfs::{Metadata, Node, Slot, decode_node, slot};

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// What it names.
    pub cid: Cid,
    /// Size of the DAG under it, by the directory's word.
    pub dag_bytes: u64,
}

/// What a root is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A UnixFS file or a raw block, of this many content bytes.
    File {
        /// Content bytes.
        bytes: u64,
    },
    /// A directory, basic or sharded.
    Directory,
    /// A symbolic link to this path.
    Symlink {
        /// The path, as it was.
        target: Vec<u8>,
    },
    /// A block of another codec.
    Other,
}

/// What a root is, with its metadata. Reads only its root block.
pub fn about(store: &Store, cid: &Cid) -> Result<(Kind, Metadata)> {
    if !matches!(cid.codec(), shoal_core::cid::codec::RAW | shoal_core::cid::codec::DAG_PB) {
        return Ok((Kind::Other, Metadata::default()));
    }
    if cid.codec() == shoal_core::cid::codec::RAW {
        return Ok((Kind::File { bytes: store.size(cid)? }, Metadata::default()));
    }
    let block = store.block(cid)?;
    Ok(match decode_node(cid.codec(), &block).map_err(|e| Error::unixfs(cid, e))? {
        Node::Raw(data) => (Kind::File { bytes: data.len() as u64 }, Metadata::default()),
        Node::File(file) => (Kind::File { bytes: file.file_bytes }, file.metadata),
        Node::Directory(directory) => (Kind::Directory, directory.metadata),
        Node::Shard(shard) => (Kind::Directory, shard.metadata),
        Node::Symlink(link) => (Kind::Symlink { target: link.target.to_vec() }, link.metadata),
    })
}

/// The entries of a directory, one after another, whether it is sharded or not.
///
/// A sharded directory is read one shard at a time, in the order of the shards; a basic one in the order of its block.
pub struct Entries {
    store: Store,
    /// Entries at hand, last first.
    ready: Vec<Named>,
    /// Shards still to read, last first, with their depth.
    shards: Vec<(Cid, usize)>,
}

impl Entries {
    /// Opens a directory. [`Error::NotADirectory`] for anything else.
    pub fn open(store: &Store, cid: &Cid) -> Result<Self> {
        let mut entries = Self { store: store.clone(), ready: Vec::new(), shards: Vec::new() };
        entries.load(cid, 0)?;
        Ok(entries)
    }

    fn load(&mut self, cid: &Cid, depth: usize) -> Result<()> {
        let block: Block = self.store.block(cid)?;
        match decode_node(cid.codec(), &block).map_err(|e| Error::unixfs(cid, e))? {
            Node::Directory(directory) if depth == 0 => {
                let named = |e: &shoal_core::unixfs::Entry<'_>| Named { name: e.name.to_vec(), cid: e.cid.clone(), dag_bytes: e.dag_bytes };
                self.ready.extend(directory.entries.iter().rev().map(named));
            }
            Node::Shard(shard) => {
                if depth >= DAG_DEPTH_MAX {
                    return Err(Error::DagTooDeep { cid: cid.clone() });
                }
                for slot in shard.slots.iter().rev() {
                    match slot {
                        Slot::Shard { cid, .. } => self.shards.push((cid.clone(), depth + 1)),
                        Slot::Entry { entry, .. } => {
                            self.ready.push(Named { name: entry.name.to_vec(), cid: entry.cid.clone(), dag_bytes: entry.dag_bytes });
                        }
                    }
                }
            }
            _ => return Err(Error::NotADirectory { cid: cid.clone(), name: None }),
        }
        Ok(())
    }
}

impl Iterator for Entries {
    type Item = Result<Named>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(named) = self.ready.pop() {
                return Some(Ok(named));
            }
            let (cid, depth) = self.shards.pop()?;
            if let Err(error) = self.load(&cid, depth) {
                self.shards.clear();
                return Some(Err(error));
            }
        }
    }
}

/// The entry called `name`. Reads one block in a basic directory, one a level in a sharded one.
pub fn lookup(store: &Store, directory: &Cid, name: &[u8]) -> Result<Option<Named>> {
    let mut cid = directory.clone();
    for depth in 0..DAG_DEPTH_MAX {
        let block = store.block(&cid)?;
        let found = match decode_node(cid.codec(), &block).map_err(|e| Error::unixfs(&cid, e))? {
            Node::Directory(directory) if depth == 0 => {
                let entry = directory.entries.iter().find(|entry| entry.name == name);
                return Ok(entry.map(|e| Named { name: e.name.to_vec(), cid: e.cid.clone(), dag_bytes: e.dag_bytes }));
            }
            Node::Shard(shard) => {
                let Some(wanted) = slot(name, depth, shard.fanout) else { return Ok(None) };
                shard.slots.into_iter().find_map(|slot| match slot {
                    Slot::Shard { index, cid } if index == wanted => Some(Err(cid)),
                    Slot::Entry { index, entry } if index == wanted => {
                        Some(Ok(Named { name: entry.name.to_vec(), cid: entry.cid, dag_bytes: entry.dag_bytes }))
                    }
                    _ => None,
                })
            }
            _ => return Err(Error::NotADirectory { cid, name: Some(name.to_vec()) }),
        };
        match found {
            Some(Ok(named)) => return Ok((named.name == name).then_some(named)),
            Some(Err(shard)) => cid = shard,
            None => return Ok(None),
        }
    }
    Err(Error::DagTooDeep { cid: directory.clone() })
}

/// Follows names down from a root, through directories only.
pub fn resolve(store: &Store, root: &Cid, names: &[&[u8]]) -> Result<Cid> {
    let mut cid = root.clone();
    for name in names {
        match lookup(store, &cid, name)? {
            Some(named) => cid = named.cid,
            None => return Err(Error::NoSuchName { cid, name: name.to_vec() }),
        }
    }
    Ok(cid)
}
