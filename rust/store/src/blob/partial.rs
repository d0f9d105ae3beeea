//! Partial blobs: some groups are here, verified and readable, and others still to come.
//!
//! Groups come in slices, each of which proves itself. What was verified can be read at once; what is claimed on disk was synced
//! before, at least each second, so a crash loses no more than the groups of the last one. A blob that has become whole is renamed
//! and committed. The rule kept here: no group is ever claimed that is not there.

use super::present::{self, PresentLog};
use super::{Blob, BlobPaths, Digest, cid_of, digest_of};
use crate::disk::{Disk, DiskFile, write_all_at};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::operation::Operation;
use crate::session::Session;
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::bao::{GROUP_BYTES, Groups, Node, PAIR_BYTES, Part, SLICE_HEADER_BYTES, Slice, group_value, groups};
use shoal_core::limits::BLOCK_BYTES_MAX;
use std::io::{ErrorKind, IoSlice, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What was verified waits no longer than this to be claimed on disk.
const CLAIM_EVERY: Duration = Duration::from_secs(1);

/// What is here of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its length in bytes: proved by its last group, until then the word of whoever sent the first slice.
    pub bytes: u64,
    /// The groups that are here.
    pub groups: Groups,
}

impl Present {
    /// Whether all of it is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.groups.count() == groups(self.bytes)
    }
}

/// What the writer, its flusher and readers of this process share.
pub(crate) struct Filling {
    state: Mutex<Fill>,
    changed: Condvar,
}

struct Fill {
    /// Verified and written.
    present: Groups,
    /// Of these, not yet claimed on disk.
    fresh: Groups,
    log: PresentLog,
    is_closed: bool,
}

impl Filling {
    pub fn present(&self) -> Groups {
        locked(&self.state).present.clone()
    }

    pub fn has(&self, group: u64) -> bool {
        locked(&self.state).present.contains(group)
    }
}

/// A partial blob, open for filling. It keeps the store's lock; dropping it flushes.
pub struct Partial {
    session: Option<Session>,
    files: Arc<Files>,
    filling: Arc<Filling>,
    flusher: Option<JoinHandle<()>>,
    bytes: u64,
}

struct Files {
    inner: Arc<Inner>,
    digest: Digest,
    data: Arc<dyn DiskFile>,
    tree: Arc<dyn DiskFile>,
}

/// The three files of a partial blob.
pub(super) fn paths(paths: &BlobPaths, digest: &Digest) -> [PathBuf; 3] {
    ["partial.data", "partial.tree", "partial.map"].map(|kind| paths.file(digest, kind))
}

fn open_or_create(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>> {
    match disk.open(path, true) {
        Err(e) if e.kind() == ErrorKind::NotFound => disk.create(path).map_err(|e| Error::io("creating", path, e)),
        other => other.map_err(|e| Error::io("opening", path, e)),
    }
}

impl Files {
    fn write(&self, file: &Arc<dyn DiskFile>, at: u64, bytes: &[u8]) -> Result<()> {
        let path = || self.inner.blobs.paths.fan(&self.digest);
        write_all_at(&**file, &mut [IoSlice::new(bytes)], at).map_err(|e| Error::io("writing", &path(), e))
    }

    /// Makes what is fresh durable, and then claims it.
    fn flush(&self, filling: &Filling) -> Result<()> {
        self.inner.check_poison()?;
        let fresh = locked(&filling.state).fresh.clone();
        if fresh.is_empty() {
            return Ok(());
        }
        let failed = |e| self.inner.poisoned(Error::io("syncing", &self.inner.blobs.paths.fan(&self.digest), e));
        self.data.sync_data().map_err(failed)?;
        self.tree.sync_data().map_err(failed)?;
        let mut state = locked(&filling.state);
        state.log.claim(&fresh).map_err(failed)?;
        // What came during the syncs is claimed by the next one.
        let mut rest = Groups::new();
        for run in state.fresh.runs() {
            run.filter(|group| !fresh.contains(*group)).for_each(|group| rest.insert(group..group + 1));
        }
        state.fresh = rest;
        Ok(())
    }
}

/// Flushes within [`CLAIM_EVERY`] whenever there is something fresh, until the blob is closed.
fn keep_flushing(files: &Files, filling: &Filling) {
    loop {
        let state = locked(&filling.state);
        let is_idle = |state: &mut Fill| state.fresh.is_empty() && !state.is_closed;
        let state = filling.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        let is_open = |state: &mut Fill| !state.is_closed;
        let state = filling.changed.wait_timeout_while(state, CLAIM_EVERY / 2, is_open).unwrap_or_else(PoisonError::into_inner).0;
        if state.is_closed {
            return;
        }
        drop(state);
        // A failed sync has poisoned the store, and the next call says so. Anything else is tried again by the closing flush.
        if files.flush(filling).is_err() {
            return;
        }
    }
}

/// Nodes that were checked, and are written with the first group under them: until a group stands where the claimed length puts it,
/// that length may be a lie, and with it the places of nodes, which could be anywhere in a file of 2^55 bytes. One path at most.
#[derive(Default)]
struct Held(Vec<(Node, Vec<u8>)>);

impl Held {
    fn hold(&mut self, node: Node, pair: &[u8]) {
        self.0.push((node, pair.to_vec()));
    }

    fn write(&mut self, partial: &Partial) -> Result<()> {
        let total = groups(partial.bytes);
        for (node, pair) in self.0.drain(..) {
            partial.files.write(&partial.files.tree, node.post_order(total) * PAIR_BYTES as u64, &pair)?;
        }
        Ok(())
    }
}

impl Partial {
    fn open(store: &Store, cid: &Cid, bytes: u64) -> Result<Self> {
        let digest = digest_of(cid).ok_or_else(|| Error::UnsupportedHash { cid: cid.clone() })?;
        if bytes <= BLOCK_BYTES_MAX as u64 {
            return Err(Error::Options(format!("{cid} has {bytes} bytes, so it is a block and not a blob: put it as one")));
        }
        if i64::try_from(bytes).is_err() {
            return Err(Error::Options(format!("{bytes} bytes are more than any file can have")));
        }
        let session = store.write()?;
        let inner = &store.0;
        if let Some(known) = inner.blob_bytes(cid) {
            return Err(Error::Options(format!("blob {cid} is here already, all {known} bytes of it")));
        }
        let mut fillings = locked(&inner.blobs.filling);
        if fillings.get(&digest).is_some_and(|filling| filling.strong_count() > 0) {
            return Err(Error::Options(format!("blob {cid} is being filled already; use the one that is open")));
        }
        let (disk, fan) = (&*inner.disk, inner.blobs.paths.fan(&digest));
        inner.make_fan(&fan)?;
        let [data_path, tree_path, map_path] = paths(&inner.blobs.paths, &digest);
        // A crash between the two renames of a blob that had become whole.
        let (whole_data, whole_tree) = (inner.blobs.paths.data(&digest), inner.blobs.paths.tree(&digest));
        if disk.identity(&whole_data).is_err() && disk.identity(&tree_path).is_err() && disk.identity(&map_path).is_ok() {
            let _ = disk.rename(&whole_tree, &tree_path);
        }
        let (data, tree) = (open_or_create(disk, &data_path)?, open_or_create(disk, &tree_path)?);
        let map = open_or_create(disk, &map_path)?;
        let failed = |e| Error::io("opening", &map_path, e);
        let (log, present) = match PresentLog::resume(Arc::clone(&map), &digest).map_err(failed)? {
            Some((log, known, present)) if known == bytes || present.is_empty() => {
                if known == bytes {
                    (log, present)
                } else {
                    (PresentLog::begin(map, &digest, bytes).map_err(failed)?, Groups::new())
                }
            }
            Some((_, known, _)) => {
                return Err(Error::Options(format!(
                    "blob {cid} was begun with {known} bytes, and now it shall have {bytes}: one of them is wrong; discard it to begin anew"
                )));
            }
            None => (PresentLog::begin(map, &digest, bytes).map_err(failed)?, Groups::new()),
        };
        disk.sync_dir(&fan).map_err(|e| inner.poisoned(Error::io("syncing", &fan, e)))?;
        let state = Fill { present, fresh: Groups::new(), log, is_closed: false };
        let filling = Arc::new(Filling { state: Mutex::new(state), changed: Condvar::new() });
        fillings.insert(digest, Arc::downgrade(&filling));
        drop(fillings);
        let files = Arc::new(Files { inner: Arc::clone(inner), digest, data, tree });
        let (its_files, its_filling) = (Arc::clone(&files), Arc::clone(&filling));
        let flusher = std::thread::Builder::new().name("shoal-flush".to_owned()).spawn(move || keep_flushing(&its_files, &its_filling));
        let flusher = flusher.map_err(|e| Error::io("starting a thread for", &data_path, e))?;
        Ok(Self { session: Some(session), files, filling, flusher: Some(flusher), bytes })
    }

    /// Its CID.
    #[must_use]
    pub fn cid(&self) -> Cid {
        cid_of(&self.files.digest)
    }

    /// What is here by now.
    #[must_use]
    pub fn present(&self) -> Present {
        Present { bytes: self.bytes, groups: self.filling.present() }
    }

    /// Takes the groups of a slice (without the length in front of it), each as soon as it was verified: they can be read at once.
    ///
    /// Fails with [`Error::BadSlice`] at the first part that does not lead up to the digest; what came before it stays.
    pub fn write_slice(&self, wanted: &Groups, input: &mut dyn Read, operation: &Operation) -> Result<()> {
        let mut held = Held::default();
        let mut slice = Slice::new(&self.files.digest, self.bytes, wanted.clone());
        let mut buffer = vec![0; GROUP_BYTES];
        while let Some(part) = slice.next() {
            operation.check()?;
            self.files.inner.check_poison()?;
            let data = buffer.get_mut(..part.bytes()).unwrap_or_default();
            input.read_exact(data).map_err(|e| self.short(e))?;
            slice.accept(data).map_err(|_| self.bad("it does not lead up to the hash"))?;
            match part {
                Part::Pair(node) => held.hold(node, data),
                Part::Group { index, .. } => {
                    held.write(self)?;
                    self.take_group(index, data)?;
                    operation.add_bytes(data.len() as u64);
                }
            }
        }
        Ok(())
    }

    /// Takes the outboard: all nodes in pre-order. Then [`Partial::write_data`] can check plain data.
    pub fn write_outboard(&self, input: &mut dyn Read, operation: &Operation) -> Result<()> {
        let mut held = Held::default();
        let mut is_deep = false;
        let mut slice = Slice::outboard(&self.files.digest, self.bytes);
        let mut pair = [0; PAIR_BYTES];
        while let Some(Part::Pair(node)) = slice.next() {
            operation.check()?;
            self.files.inner.check_poison()?;
            input.read_exact(&mut pair).map_err(|e| self.short(e))?;
            slice.accept(&pair).map_err(|_| self.bad("it does not lead up to the hash"))?;
            held.hold(node, &pair);
            // The leftmost path is as long as the length claims only if the length is about right.
            is_deep |= node.count == 2;
            if is_deep {
                held.write(self)?;
            }
        }
        Ok(())
    }

    /// Takes plain data from group `first` on to the end of `input`, of which the tree is here already; each group is checked along it.
    pub fn write_data(&self, first: u64, input: &mut dyn Read, operation: &Operation) -> Result<()> {
        let tree = self.files.inner.partial_blob(&self.cid())?.ok_or_else(|| Error::NotFound { cid: self.cid() })?;
        let mut buffer = vec![0; GROUP_BYTES];
        for group in first..groups(self.bytes) {
            operation.check()?;
            self.files.inner.check_poison()?;
            let range = tree.range(group);
            let data = buffer.get_mut(..usize::try_from(range.end - range.start).unwrap_or(0)).unwrap_or_default();
            match input.read_exact(data) {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                other => other.map_err(Error::Stream)?,
            }
            if tree.value_by_path(group)? != group_value(group, data) {
                return Err(self.bad("its data do not match the tree"));
            }
            self.take_group(group, data)?;
            operation.add_bytes(data.len() as u64);
        }
        Ok(())
    }

    /// Writes a group that was verified, and lets it be read.
    fn take_group(&self, group: u64, data: &[u8]) -> Result<()> {
        self.files.write(&self.files.data, group * GROUP_BYTES as u64, data)?;
        let mut state = locked(&self.filling.state);
        if !state.present.contains(group) {
            state.present.insert(group..group + 1);
            state.fresh.insert(group..group + 1);
            drop(state);
            self.filling.changed.notify_all();
        }
        Ok(())
    }

    fn bad(&self, reason: &'static str) -> Error {
        Error::BadSlice { cid: self.cid(), reason }
    }

    fn short(&self, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::UnexpectedEof { self.bad("it ends too early") } else { Error::Stream(error) }
    }

    /// Makes all groups durable that are here.
    pub fn flush(&self) -> Result<()> {
        self.files.flush(&self.filling)
    }

    /// Flushes, and makes a blob that is whole an ordinary one, pinned if asked, in one commit: whether it is whole.
    pub fn close(mut self, pin: bool) -> Result<bool> {
        self.stop();
        self.flush()?;
        let Some(session) = self.session.take().filter(|_| self.present().is_whole()) else { return Ok(false) };
        let (inner, digest) = (&self.files.inner, self.files.digest);
        let [data_path, tree_path, map_path] = paths(&inner.blobs.paths, &digest);
        {
            inner.holds.take([&digest]);
            let _naming = inner.naming();
            let _deciding = locked(&inner.blobs.deciding);
            let mark = inner.make_blob_mark();
            inner.name_blob(&digest, &tree_path, &data_path)?;
            session.take_blob(digest, self.bytes, true, Some(mark));
        }
        if pin {
            session.pin(crate::meta::Pin { cid: self.cid(), kind: crate::meta::PinKind::Recursive, name: None })?;
        }
        session.flush()?;
        let _ = inner.disk.remove(&map_path);
        Ok(true)
    }

    fn stop(&mut self) {
        locked(&self.filling.state).is_closed = true;
        self.filling.changed.notify_all();
        if let Some(flusher) = self.flusher.take() {
            let _ = flusher.join();
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.stop();
        // Nobody is told of a failure here: what was not claimed is fetched again.
        if self.session.is_some() {
            let _ = self.flush();
        }
        locked(&self.files.inner.blobs.filling).remove(&self.files.digest);
    }
}

impl Store {
    /// Opens a partial blob for filling, or begins one, of so many bytes. Keeps the store's lock as a session does.
    pub fn partial(&self, cid: &Cid, bytes: u64) -> Result<Partial> {
        Partial::open(self, cid, bytes)
    }

    /// Takes in a slice with its length in front: what is here afterwards. Whole blobs are committed, and pinned if asked; what is
    /// one block is put as that, if the slice has all of it.
    pub fn import_slice(
        &self,
        cid: &Cid,
        wanted: &dyn Fn(u64) -> Groups,
        input: &mut dyn Read,
        pin: bool,
        operation: &Operation,
    ) -> Result<Present> {
        let mut head = [0; SLICE_HEADER_BYTES];
        let short = |e: std::io::Error| match e.kind() {
            ErrorKind::UnexpectedEof => Error::BadSlice { cid: cid.clone(), reason: "it ends too early" },
            _ => Error::Stream(e),
        };
        input.read_exact(&mut head).map_err(short)?;
        let bytes = u64::from_le_bytes(head);
        let wanted = wanted(bytes);
        if bytes <= BLOCK_BYTES_MAX as u64 {
            return self.import_block(cid, bytes, &wanted, input, pin);
        }
        let partial = self.partial(cid, bytes)?;
        partial.write_slice(&wanted, input, operation)?;
        let present = partial.present();
        partial.close(pin)?;
        Ok(present)
    }

    /// Takes in an outboard, for data that come by another way: [`Store::import_data`].
    pub fn import_outboard(&self, cid: &Cid, bytes: u64, input: &mut dyn Read, operation: &Operation) -> Result<()> {
        let partial = self.partial(cid, bytes)?;
        partial.write_outboard(input, operation)?;
        // The tree is claimed with the groups; without it they are fetched again.
        partial.close(false).map(drop)
    }

    /// Takes in plain data of a partial blob whose outboard was imported, from the group at `offset` on: what is here afterwards.
    pub fn import_data(&self, cid: &Cid, offset: u64, input: &mut dyn Read, pin: bool, operation: &Operation) -> Result<Present> {
        if !offset.is_multiple_of(GROUP_BYTES as u64) {
            return Err(Error::Options(format!("data are taken in from a multiple of {GROUP_BYTES} bytes on, not from {offset}")));
        }
        let not_found = || Error::NotFound { cid: cid.clone() };
        let bytes = digest_of(cid).map_or(Ok(None), |digest| self.0.partial_present(&digest))?.ok_or_else(not_found)?.bytes;
        let partial = self.partial(cid, bytes)?;
        partial.write_data(offset / GROUP_BYTES as u64, input, operation)?;
        let present = partial.present();
        partial.close(pin)?;
        Ok(present)
    }

    fn import_block(&self, cid: &Cid, bytes: u64, wanted: &Groups, input: &mut dyn Read, pin: bool) -> Result<Present> {
        if *wanted != Groups::all(bytes) {
            return Err(Error::Options(format!("{cid} has {bytes} bytes, so it is one block: take in all of it at once")));
        }
        let digest = digest_of(cid).ok_or_else(|| Error::UnsupportedHash { cid: cid.clone() })?;
        let bad = |reason| Error::BadSlice { cid: cid.clone(), reason };
        let mut slice = Slice::new(&digest, bytes, wanted.clone());
        let (mut block, mut buffer) = (Vec::new(), vec![0; GROUP_BYTES]);
        while let Some(part) = slice.next() {
            let data = buffer.get_mut(..part.bytes()).unwrap_or_default();
            input.read_exact(data).map_err(|_| bad("it ends too early"))?;
            slice.accept(data).map_err(|_| bad("it does not lead up to the hash"))?;
            if let Part::Group { .. } = part {
                block.extend_from_slice(data);
            }
        }
        let session = self.write()?;
        session.put(cid, &block)?;
        if pin {
            session.pin(crate::meta::Pin { cid: cid.clone(), kind: crate::meta::PinKind::Direct, name: None })?;
        }
        session.commit()?;
        Ok(Present { bytes, groups: wanted.clone() })
    }

    /// What is here of a blob or block; `None` for nothing at all.
    pub fn present(&self, cid: &Cid) -> Result<Option<Present>> {
        let Some(digest) = digest_of(cid) else { return Ok(None) };
        if self.has(cid)? {
            let bytes = self.size(cid)?;
            return Ok(Some(Present { bytes, groups: Groups::all(bytes) }));
        }
        self.0.partial_present(&digest)
    }

    /// Removes what is here of a partial blob: whether there was anything.
    pub fn discard_partial(&self, cid: &Cid) -> Result<bool> {
        let Some(digest) = digest_of(cid) else { return Ok(false) };
        let _session = self.write()?;
        let fillings = locked(&self.0.blobs.filling);
        if fillings.get(&digest).is_some_and(|filling| filling.strong_count() > 0) {
            return Err(Error::Options(format!("blob {cid} is being filled; close it first")));
        }
        let [data, tree, map] = paths(&self.0.blobs.paths, &digest);
        let was_here = self.0.disk.remove(&map).is_ok();
        for path in [data, tree] {
            let _ = self.0.disk.remove(&path);
        }
        Ok(was_here)
    }
}

impl Inner {
    /// What a partial blob has, by its writer in this process or by its log.
    fn partial_present(&self, digest: &Digest) -> Result<Option<Present>> {
        let [_, _, map_path] = paths(&self.blobs.paths, digest);
        let file = match self.disk.open(&map_path, false) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("opening", &map_path, e)),
        };
        let logged = present::read(&*file, digest).map_err(|e| Error::io("reading", &map_path, e))?;
        let live = self.filling(digest).map(|filling| filling.present());
        Ok(logged.map(|logged| Present { bytes: logged.bytes, groups: live.unwrap_or(logged.present) }))
    }

    pub(super) fn filling(&self, digest: &Digest) -> Option<Arc<Filling>> {
        locked(&self.blobs.filling).get(digest)?.upgrade()
    }

    /// A partial blob, open for reading what is here of it.
    pub fn partial_blob(&self, cid: &Cid) -> Result<Option<Arc<Blob>>> {
        let Some(digest) = digest_of(cid) else { return Ok(None) };
        let Some(present) = self.partial_present(&digest)? else { return Ok(None) };
        Ok(Some(Arc::new(Blob::open_partial(self, digest, present)?)))
    }
}
