//! Writing a blob: its data and its tree under temporary names, in pieces and in any order, by several threads at once.
//!
//! Nothing is known of its digest before the end. Then it is synced and gets its name, or is dropped where the store has it
//! already. What is not finished is removed.

use super::{Digest, cid_of, digest_of};
use crate::disk::{DiskFile, write_all_at};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::session::Session;
use shoal_core::bao::{Joiner, PAIR_BYTES, Pair, Peak, Value, root_of, subtree, subtree_start};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// A tree being written, from the values of pieces.
pub(crate) struct NewTree {
    /// None where only the digest is wanted.
    file: Option<(Arc<dyn DiskFile>, PathBuf)>,
    /// Whether nothing is written any more.
    is_given_up: AtomicBool,
    state: Mutex<TreeState>,
}

#[derive(Default)]
struct TreeState {
    joiner: Joiner,
    /// The node furthest behind in post-order: at the end, the root.
    last: Option<(u64, Pair)>,
}

impl TreeState {
    fn note(&mut self, place: u64, pair: Pair) {
        if self.last.is_none_or(|(last, _)| place > last) {
            self.last = Some((place, pair));
        }
    }
}

impl NewTree {
    pub fn new(file: Option<(Arc<dyn DiskFile>, PathBuf)>) -> Self {
        Self { file, is_given_up: AtomicBool::new(false), state: Mutex::default() }
    }

    fn write(&self, place: u64, nodes: &[u8]) -> Result<()> {
        let Some((file, path)) = self.file.as_ref().filter(|_| !self.is_given_up.load(Ordering::Relaxed)) else { return Ok(()) };
        let at = place.saturating_mul(PAIR_BYTES as u64);
        write_all_at(&**file, &mut [IoSlice::new(nodes)], at).map_err(|e| Error::io("writing", path, e))
    }

    /// Takes the values of a piece that begins with group `first`; of [`subtree`]'s shape.
    pub fn add(&self, first: u64, values: &[Value]) -> Result<()> {
        let (mut nodes, mut peaks, mut joined) = (Vec::new(), Vec::<Peak>::new(), Vec::new());
        subtree(first, values, &mut nodes, &mut peaks);
        let start = subtree_start(first);
        self.write(start, &nodes)?;
        {
            let mut state = locked(&self.state);
            peaks.into_iter().for_each(|peak| state.joiner.join(peak, &mut joined));
            if let Some(last) = nodes.last_chunk() {
                state.note(start + (nodes.len() / PAIR_BYTES) as u64 - 1, *last);
            }
            joined.iter().for_each(|(place, pair)| state.note(*place, *pair));
        }
        joined.iter().try_for_each(|(place, pair)| self.write(*place, pair))
    }

    /// Writes what is left: the digest. `None` when there was no more than one group.
    pub fn finish(&self, groups: u64) -> Result<Option<Digest>> {
        let mut joined = Vec::new();
        let mut state = std::mem::take(&mut *locked(&self.state));
        std::mem::take(&mut state.joiner).finish(groups, &mut joined);
        joined.iter().for_each(|(place, pair)| state.note(*place, *pair));
        joined.iter().try_for_each(|(place, pair)| self.write(*place, pair))?;
        Ok(state.last.map(|(_, pair)| root_of(&pair)))
    }
}

impl Inner {
    /// Makes the folder of a blob, durably.
    pub(super) fn make_fan(&self, fan: &Path) -> Result<()> {
        if self.disk.list(fan).is_ok() {
            return Ok(());
        }
        self.disk.create_dir(fan).map_err(|e| Error::io("creating", fan, e))?;
        for folder in [self.blobs.paths.folder(), self.root.as_path()] {
            self.disk.sync_dir(folder).map_err(|e| self.poisoned(Error::io("syncing", folder, e)))?;
        }
        Ok(())
    }

    /// blob §4: a file that says, until the commit, that there is a blob which the journal does not know.
    pub(super) fn make_blob_mark(&self) -> PathBuf {
        let number = self.blobs.count.fetch_add(1, Ordering::Relaxed);
        let mark = self.blobs.paths.folder().join(format!("{}-{number}.named.new", std::process::id()));
        // Without it, the blob of a writer that dies now stays unknown until the next collection.
        let _ = self.disk.create(&mark);
        mark
    }

    /// Gives files that were synced the name of their blob. Called while [`super::Blobs::deciding`] is held.
    pub(super) fn name_blob(&self, digest: &Digest, tree: &Path, data: &Path) -> Result<()> {
        let paths = &self.blobs.paths;
        // The tree first: where the data are, the tree is too.
        for (from, to) in [(tree, paths.tree(digest)), (data, paths.data(digest))] {
            self.disk.rename(from, &to).map_err(|e| Error::io("renaming", &to, e))?;
        }
        let fan = paths.fan(digest);
        self.disk.sync_dir(&fan).map_err(|e| self.poisoned(Error::io("syncing", &fan, e)))?;
        let _ = self.disk.remove(&paths.damaged(digest));
        self.blobs.forget(digest);
        Ok(())
    }
}

/// A blob being written.
pub(crate) struct NewBlob {
    inner: Arc<Inner>,
    data: Arc<dyn DiskFile>,
    tree_file: Arc<dyn DiskFile>,
    data_path: PathBuf,
    tree_path: PathBuf,
    /// Whether the data are there already, shared with the file that is added.
    is_cloned: bool,
    pub tree: NewTree,
    /// How long it will be, where that is known.
    bytes: Option<u64>,
    /// The quota has no room for it. It is hashed to its end, since it may be a blob that is there already.
    refused: OnceLock<Error>,
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        // Renamed or not: these names are ours alone.
        for path in [&self.data_path, &self.tree_path] {
            let _ = self.inner.disk.remove(path);
        }
    }
}

impl NewBlob {
    pub fn create(inner: &Arc<Inner>, bytes: Option<u64>) -> Result<Self> {
        let (data_path, tree_path) = Self::paths(inner)?;
        let data = inner.disk.create(&data_path).map_err(|e| Error::io("creating", &data_path, e))?;
        Self::begin(inner, data, data_path, tree_path, false, bytes)
    }

    /// A blob whose data are a clone of a file of `bytes` bytes: none of them is copied, and what is written to the file later does not
    /// reach it. `None` where the filesystem cannot do that, or the file has another length by now.
    pub fn cloned(inner: &Arc<Inner>, source: &Path, bytes: u64) -> Result<Option<Self>> {
        let (data_path, tree_path) = Self::paths(inner)?;
        let cloned = inner.disk.resolve(source).and_then(|source| inner.disk.clone_file(&source, &data_path));
        // Whatever the reason: copying says it if it fails too.
        let Ok(data) = cloned.and_then(|()| inner.disk.open(&data_path, true)) else {
            let _ = inner.disk.remove(&data_path);
            return Ok(None);
        };
        if data.identity().map(|found| found.bytes).ok() != Some(bytes) {
            let _ = inner.disk.remove(&data_path);
            return Ok(None);
        }
        Self::begin(inner, data, data_path, tree_path, true, Some(bytes)).map(Some)
    }

    /// Two temporary names, in a folder that is there.
    fn paths(inner: &Inner) -> Result<(PathBuf, PathBuf)> {
        let blobs = &inner.blobs;
        let number = blobs.count.fetch_add(1, Ordering::Relaxed);
        let path = |kind| blobs.paths.folder().join(format!("{}-{number}.{kind}.new", std::process::id()));
        inner.disk.create_dir(blobs.paths.folder()).map_err(|e| Error::io("creating", blobs.paths.folder(), e))?;
        Ok((path("data"), path("tree")))
    }

    fn begin(
        inner: &Arc<Inner>,
        data: Arc<dyn DiskFile>,
        data_path: PathBuf,
        tree_path: PathBuf,
        is_cloned: bool,
        bytes: Option<u64>,
    ) -> Result<Self> {
        let tree_file = match inner.disk.create(&tree_path) {
            Ok(file) => file,
            Err(e) => {
                let _ = inner.disk.remove(&data_path);
                return Err(Error::io("creating", &tree_path, e));
            }
        };
        let tree = NewTree::new(Some((Arc::clone(&tree_file), tree_path.clone())));
        Ok(Self { inner: Arc::clone(inner), data, tree_file, data_path, tree_path, is_cloned, tree, bytes, refused: OnceLock::new() })
    }

    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        if self.refused.get().is_none()
            && let Err(refusal) = self.inner.check_quota(end)
        {
            if !self.may_be_known(end) {
                return Err(refusal);
            }
            let _ = self.refused.set(refusal);
            self.tree.is_given_up.store(true, Ordering::Relaxed);
            // What is shared is read from there to the end, and takes no room.
            if !self.is_cloned {
                let _ = self.data.set_len(0);
            }
        }
        if self.is_cloned || self.refused.get().is_some() {
            return Ok(());
        }
        write_all_at(&*self.data, &mut [IoSlice::new(data)], offset).map_err(|e| Error::io("writing", &self.data_path, e))
    }

    /// The data, where they are a clone. What is hashed is read from there, so that what was hashed is what is kept.
    pub fn clone_data(&self) -> Option<&dyn DiskFile> {
        self.is_cloned.then_some(&*self.data)
    }

    /// Whether there is a blob that can be the one which is being written, so far with so many bytes.
    fn may_be_known(&self, end: u64) -> bool {
        let is_like = |bytes: &u64| self.bytes.map_or(*bytes >= end, |of_this| *bytes == of_this);
        self.inner.state().contents.blobs.values().any(is_like)
    }

    /// Gives the finished blob its name, for `session` to commit: whether it is new.
    pub fn finish(&self, session: &Session, digest: Digest, bytes: u64) -> Result<bool> {
        let inner = &self.inner;
        inner.holds.take([&digest]);
        if self.is_known(session, &digest)? {
            return Ok(false);
        }
        if let Some(refusal) = self.refused.get() {
            return Err(refusal.duplicate());
        }
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |e| inner.poisoned(Error::io("syncing", &path, e))
        };
        self.data.sync_data().map_err(failed(&self.data_path))?;
        self.tree_file.sync_data().map_err(failed(&self.tree_path))?;
        let _naming = inner.naming();
        let _deciding = locked(&inner.blobs.deciding);
        if self.is_known_now(session, &digest) {
            return Ok(false);
        }
        inner.make_fan(&inner.blobs.paths.fan(&digest))?;
        let mark = inner.make_blob_mark();
        inner.name_blob(&digest, &self.tree_path, &self.data_path)?;
        session.take_blob(digest, bytes, true, Some(mark));
        Ok(true)
    }

    fn is_known(&self, session: &Session, digest: &Digest) -> Result<bool> {
        let _naming = self.inner.naming();
        let _deciding = locked(&self.inner.blobs.deciding);
        Ok(self.is_known_now(session, digest))
    }

    /// Whether the store has it, sound as far as anybody knows. If so, the session relies on it from here on.
    fn is_known_now(&self, session: &Session, digest: &Digest) -> bool {
        let inner = &self.inner;
        let cid = cid_of(digest);
        debug_assert_eq!(digest_of(&cid), Some(*digest));
        let committed = inner.state().contents.blobs.get(digest).copied();
        let pending = inner.pending_blob(digest);
        let Some(bytes) = pending.or(committed) else { return false };
        let is_whole = inner.disk.identity(&inner.blobs.paths.data(digest)).is_ok_and(|found| found.bytes == bytes)
            && inner.disk.identity(&inner.blobs.paths.tree(digest)).is_ok();
        if !is_whole || inner.disk.identity(&inner.blobs.paths.damaged(digest)).is_ok() {
            return false;
        }
        session.take_blob(*digest, bytes, pending.is_some(), None);
        true
    }
}
