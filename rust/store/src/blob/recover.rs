//! What a dead writer left of blobs. A blob whose two files have their names was synced before it got them, so it is taken in;
//! what has a temporary name goes (blob §5).

use super::{BlobPaths, Digest};
use crate::disk::{Disk, read_full_at};
use crate::error::Result;
use crate::inner::{Inner, locked};
use crate::meta::Op;
use shoal_core::bao::{Node, PAIR_BYTES, groups, root_of};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The blobs that stand in the folder, whole as far as their lengths and the top of their trees say.
pub(crate) fn found_on_disk(disk: &dyn Disk, root: &Path) -> BTreeMap<Digest, u64> {
    let paths = BlobPaths::new(root);
    let mut found = BTreeMap::new();
    for fan in disk.list(paths.folder()).unwrap_or_default().into_iter().filter(|name| name.len() == 2) {
        for name in disk.list(&paths.folder().join(fan)).unwrap_or_default() {
            if let Some((digest, "data")) = BlobPaths::parse(&name)
                && let Some(bytes) = whole(disk, &paths, &digest)
            {
                found.insert(digest, bytes);
            }
        }
    }
    found
}

/// The length of a blob whose files are there and fit together.
fn whole(disk: &dyn Disk, paths: &BlobPaths, digest: &Digest) -> Option<u64> {
    let bytes = disk.identity(&paths.data(digest)).ok()?.bytes;
    let tree = disk.open(&paths.tree(digest), false).ok()?;
    let total = groups(bytes);
    if total < 2 || tree.identity().ok()?.bytes != super::tree_bytes(bytes) {
        return None;
    }
    let mut pair = [0; PAIR_BYTES];
    let at = Node::root(bytes).post_order(total).checked_mul(PAIR_BYTES as u64)?;
    (read_full_at(&*tree, &mut pair, at).ok()? == PAIR_BYTES && root_of(&pair) == *digest).then_some(bytes)
}

impl Inner {
    /// Called with the store's lock held: removes what has a temporary name, and takes in whole blobs that the journal does not
    /// know: how many. Looks into the folders only if something with a temporary name says that a writer died.
    pub fn recover_blobs(&self) -> Result<u64> {
        let folder = self.blobs.paths.folder();
        let mut has_died = false;
        for name in self.disk.list(folder).unwrap_or_default().into_iter().filter(|name| name.ends_with(".new")) {
            has_died = true;
            let _ = self.disk.remove(&folder.join(name));
        }
        if !has_died {
            return Ok(0);
        }
        let (known, gone): (BTreeSet<Digest>, BTreeSet<Digest>) = {
            let state = self.state();
            (state.contents.blobs.keys().copied().collect(), state.contents.blobs_gone.clone())
        };
        let mut ops = Vec::new();
        for (digest, bytes) in found_on_disk(&*self.disk, &self.root) {
            if gone.contains(&digest) {
                self.blobs.remove(&*self.disk, &digest);
            } else if !known.contains(&digest) {
                ops.push(Op::BlobSet { digest, bytes });
            }
        }
        if !ops.is_empty() {
            let kept = ops.len() as u64;
            self.commit_now(&locked(&self.turn), ops)?;
            return Ok(kept);
        }
        Ok(0)
    }
}
