//! A disk of so many bytes, over one in memory. What does not fit is not written, and a file that is removed makes room.

use super::failing_disk::ENOSPC;
use shoal_store::disk::{Disk, DiskFile, Identity, Lock, Map};
use shoal_store::memory_disk::MemoryDisk;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct SmallDisk {
    pub below: MemoryDisk,
    room: Arc<Mutex<Room>>,
}

struct Room {
    bytes_max: u64,
    /// Files by name; those without one take no room.
    files: BTreeMap<PathBuf, Arc<dyn DiskFile>>,
}

impl Room {
    fn left(&self) -> u64 {
        self.bytes_max.saturating_sub(self.files.values().map(|file| file.identity().unwrap().bytes).sum())
    }
}

struct SmallFile {
    below: Arc<dyn DiskFile>,
    room: Arc<Mutex<Room>>,
}

impl SmallDisk {
    pub fn new(below: MemoryDisk, bytes_max: u64) -> Self {
        Self { below, room: Arc::new(Mutex::new(Room { bytes_max, files: BTreeMap::new() })) }
    }

    pub fn left(&self) -> u64 {
        self.room.lock().unwrap().left()
    }

    /// From now on there is room for so many bytes more.
    pub fn set_left(&self, bytes: u64) {
        let mut room = self.room.lock().unwrap();
        room.bytes_max = u64::MAX;
        room.bytes_max = (u64::MAX - room.left()).saturating_add(bytes);
    }

    /// Another disk, as this one is now.
    pub fn copied(&self) -> Self {
        let below = self.below.copied();
        let room = self.room.lock().unwrap();
        let files = room.files.keys().map(|path| (path.clone(), below.open(path, true).unwrap())).collect();
        let copied = Room { bytes_max: room.bytes_max, files };
        Self { below, room: Arc::new(Mutex::new(copied)) }
    }

    fn wrap(&self, below: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SmallFile { below, room: Arc::clone(&self.room) })
    }
}

impl Disk for SmallDisk {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(self.below.open(path, writable)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.below.create(path)?;
        self.room.lock().unwrap().files.insert(path.to_owned(), Arc::clone(&file));
        Ok(self.wrap(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)?;
        let mut room = self.room.lock().unwrap();
        let file = room.files.remove(from).unwrap();
        room.files.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.below.remove(path)?;
        self.room.lock().unwrap().files.remove(path);
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.below.list(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.below.create_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.below.sync_dir(path)
    }
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        self.below.identity(path)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.link(from, to)
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.below.lock(path)
    }
}

impl DiskFile for SmallFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.below.read_at(buffer, offset)
    }
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let room = self.room.lock().unwrap();
        let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        // What stands there already can be written over.
        let most = (self.below.identity()?.bytes + room.left()).saturating_sub(offset);
        let bytes = usize::try_from(most).unwrap().min(all.len());
        if bytes == 0 && !all.is_empty() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.below.write_vectored_at(&[IoSlice::new(&all[..bytes])], offset)
    }
    fn identity(&self) -> io::Result<Identity> {
        self.below.identity()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.below.set_len(bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.below.sync_data()
    }
    fn map(&self, bytes: u64) -> io::Result<Map> {
        self.below.map(bytes)
    }
}
