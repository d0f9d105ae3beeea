//! A disk in memory: for tests, and for stores that are not meant to last.
//!
//! It keeps everything at once and for ever, as if each write were synced. It does not lose anything in a crash; a disk that does
//! is built over it. Files that are not the store's own are looked for on the real disk too, where those that are added come from. Maps are copies of what was there when they were made.

use crate::disk::{Disk, DiskFile, Identity, Lock, Map, RealDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Tree {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    locks: BTreeSet<PathBuf>,
    inode_last: u64,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Tree>>);

struct MemoryFile {
    inode: u64,
    bytes: Mutex<Vec<u8>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        locked(&self.disk.0).locks.remove(&self.path);
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same files and no locks: what a process that starts now would find if this one died now.
    #[must_use]
    pub fn copied(&self) -> Self {
        let tree = locked(&self.0);
        let mut copies: BTreeMap<u64, Arc<MemoryFile>> = BTreeMap::new();
        let mut files = BTreeMap::new();
        for (path, file) in &tree.files {
            let copy = copies
                .entry(file.inode)
                .or_insert_with(|| Arc::new(MemoryFile { inode: file.inode, bytes: Mutex::new(locked(&file.bytes).clone()) }));
            files.insert(path.clone(), Arc::clone(copy));
        }
        Self(Arc::new(Mutex::new(Tree { folders: tree.folders.clone(), files, locks: BTreeSet::new(), inode_last: tree.inode_last })))
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        locked(&self.0).files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, _writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path)?)
    }

    fn open_foreign(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        match self.file(path) {
            Ok(file) => Ok(file),
            Err(_) => RealDisk.open_foreign(path),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut tree = locked(&self.0);
        if tree.files.contains_key(path) || tree.folders.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|parent| tree.folders.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.inode_last += 1;
        let file = Arc::new(MemoryFile { inode: tree.inode_last, bytes: Mutex::default() });
        tree.files.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = locked(&self.0);
        let file = tree.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        locked(&self.0).files.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let tree = locked(&self.0);
        if !tree.folders.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = tree.files.keys().chain(&tree.folders).filter(|child| child.parent() == Some(path));
        Ok(inside.filter_map(|child| child.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = locked(&self.0);
        for folder in path.ancestors() {
            tree.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if locked(&self.0).folders.contains(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        if locked(&self.0).folders.contains(path) {
            return Ok(Identity { device: 0, inode: 0, bytes: 0 });
        }
        self.file(path)?.identity()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let mut tree = locked(&self.0);
        if tree.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut tree = locked(&self.0);
        if !path.parent().is_some_and(|parent| tree.folders.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if tree.locks.insert(path.to_owned()) {
            Ok(Lock::Taken(Box::new(MemoryLock { disk: self.clone(), path: path.to_owned() })))
        } else {
            Ok(Lock::Held(Some(std::process::id())))
        }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = locked(&self.bytes);
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut bytes = locked(&self.bytes);
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut end = start;
        for buffer in buffers {
            let next = end.checked_add(buffer.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            if bytes.len() < next {
                bytes.resize(next, 0);
            }
            if let Some(room) = bytes.get_mut(end..next) {
                room.copy_from_slice(buffer);
            }
            end = next;
        }
        Ok(end - start)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(Identity { device: 0, inode: self.inode, bytes: locked(&self.bytes).len() as u64 })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        locked(&self.bytes).resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, bytes: u64) -> io::Result<Map> {
        let content = locked(&self.bytes);
        let n = usize::try_from(bytes).unwrap_or(usize::MAX).min(content.len());
        Ok(Map::from_bytes(content.get(..n).unwrap_or_default().to_vec()))
    }
}
