//! The disk, as a trait, and the real one behind it.
//!
//! All store code runs over [`Disk`] and [`DiskFile`], so that tests can put a disk in their place that fails, tears or forgets.
//! This is the only file of the crate with `unsafe`: the two lines in [`Map::get`].
//! The rule it keeps: every write names its offset; no file has a shared position that a cancelled writer could leave astray.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which file a path names right now, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The device.
    pub device: u64,
    /// The inode. Not used again by another file while anyone holds this one open.
    pub inode: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Identity {
    /// Whether both are the same file, whatever its length.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// When a file was last changed, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Its bytes, as far as programs let the system say so.
    pub modified_ns: i64,
    /// Anything of it: its bytes, names, owner or permissions.
    pub changed_ns: i64,
}

/// The answer to [`Disk::lock`].
pub enum Lock {
    /// It is ours until this is dropped.
    Taken(Box<dyn Send>),
    /// Someone else has it: their process id, where it could be read.
    Held(Option<u32>),
}

/// What the store asks of a disk. Paths are absolute or relative as the caller gave the store's.
pub trait Disk: Send + Sync {
    /// Opens an existing file, for reading or for both.
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a new file, for both. Fails with `AlreadyExists` rather than touch an old one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames atomically, over an existing file if need be.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Open ones and maps of it live on.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, in no order; names that are not UTF-8 are not ours and are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder, and its parents.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Which file the path names; `NotFound` when none.
    fn identity(&self, path: &Path) -> io::Result<Identity>;
    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The file that a path leads to, through links: absolute, as far as the disk knows better than the caller.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
    /// Opens a file that is not ours, for reading. Neither follows a link at the end of the path nor waits for whoever might write to a
    /// pipe: `InvalidInput` for anything but a regular file.
    fn open_foreign(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path, false)
    }
    /// Makes a new file that shares the old one's bytes until either is written to. `Unsupported` where the filesystem cannot.
    fn clone_file(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Tries once to take the exclusive lock on a file, which is made if need be. The system frees it when the process dies.
    fn lock(&self, path: &Path) -> io::Result<Lock>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads once at an offset; fewer bytes than asked is not an error, 0 is the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes once at an offset; may write less than asked.
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Device, inode and length.
    fn identity(&self) -> io::Result<Identity>;
    /// When it was last changed. A disk that keeps no times says so with the first second of 1970.
    fn times(&self) -> io::Result<Times> {
        Ok(Times::default())
    }
    /// Cuts or extends (with zeros).
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes the content and length durable. Called once: after a failure nobody knows what is on disk.
    fn sync_data(&self) -> io::Result<()>;
    /// A view of the first `bytes` bytes. It may reach beyond the file's present end, in which case what lies beyond must not be
    /// touched before it is written; or it may be shorter than asked, in which case a new one is needed later.
    fn map(&self, bytes: u64) -> io::Result<Map>;
}

/// How often in a row a call may be interrupted. Signals come now and then; what is interrupted this often never succeeds.
const INTERRUPTS_MAX: u32 = 1000;

/// Writes all of the buffers, in as many calls as it takes.
pub fn write_all_at(file: &dyn DiskFile, mut buffers: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut buffers, 0);
    let mut interrupts = 0;
    while !buffers.is_empty() {
        match file.write_vectored_at(buffers, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                IoSlice::advance_slices(&mut buffers, n);
                offset += n as u64;
                interrupts = 0;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX => interrupts += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends: how many bytes.
pub fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let (mut done, mut interrupts) = (0, 0);
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => (done, interrupts) = (done + n, 0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX => interrupts += 1,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Reads everything from an offset to the end. Only for files that are small by design.
pub fn read_to_end(file: &dyn DiskFile, offset: u64) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut step = vec![0; 256 * 1024];
    loop {
        let n = read_full_at(file, &mut step, offset + all.len() as u64)?;
        all.extend_from_slice(step.get(..n).unwrap_or_default());
        if n < step.len() {
            return Ok(all);
        }
    }
}

/// Bytes of a file seen without copying. Cheap to clone; outlives the file's name.
///
/// Only for files that Shoal owns and never cuts below what it has published: reading a mapped page that was cut off kills the
/// process (SIGBUS).
#[derive(Clone)]
pub struct Map(Arc<MapKind>);

enum MapKind {
    File(memmap2::MmapRaw),
    Bytes(Vec<u8>),
}

impl Map {
    /// A map that is in fact these bytes.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Arc::new(MapKind::Bytes(bytes)))
    }

    /// How far the view reaches, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &*self.0 {
            MapKind::File(map) => map.len() as u64,
            MapKind::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it shows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `start` to `end`; `None` outside the view. The caller knows that they are written, for good.
    #[must_use]
    pub fn get(&self, start: u64, end: u64) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        match &*self.0 {
            MapKind::Bytes(bytes) => bytes.get(start..end),
            MapKind::File(map) => {
                if start > end || end > map.len() {
                    return None;
                }
                #[expect(unsafe_code, reason = "zero-copy reads of files that are ours and append-only")]
                // SAFETY: `start <= end <= map.len()`, so the range lies inside one mapping, which lives as long as `self`.
                // No reference to the rest of the mapping exists. Nobody changes the bytes while the slice lives: packs, index
                // files and the parts of them that are published are never written again nor cut (docs/formats/pack.md §2, §8),
                // and the store folder belongs to Shoal alone.
                let bytes = unsafe { std::slice::from_raw_parts(map.as_ptr().add(start), end - start) };
                Some(bytes)
            }
        }
    }

    /// Asks the system to begin to read a range that is looked at soon, and goes on. Only a hint.
    ///
    /// Where pages are in memory already this costs next to nothing, unlike [`Self::will_need`], which goes through them one by one:
    /// on a file system with large folios (ext4 from Linux 6.16 on), 0.05 µs a page and 0.04 for the faults that follow, against 0.14.
    pub fn read_ahead(&self, start: u64, end: u64) {
        if let MapKind::File(map) = &*self.0
            && let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end))
            && end <= map.len()
        {
            let _ = map.advise_range(memmap2::Advice::WillNeed, start, end.saturating_sub(start));
        }
    }

    /// Asks the system to make a range present in one go, rather than fault by fault. Only a hint.
    pub fn will_need(&self, start: u64, end: u64) {
        if let MapKind::File(map) = &*self.0
            && let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end))
            && end <= map.len()
        {
            // A hint: kernels without it (before Linux 5.14) say EINVAL.
            #[cfg(target_os = "linux")]
            let _ = map.advise_range(memmap2::Advice::PopulateRead, start, end.saturating_sub(start));
        }
    }
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile(File);

struct RealLock {
    file: File,
    pid: u32,
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // A forked child shares the lock with its parent and must not free it; a parent must free it although a child still has
        // the descriptor open. Hence an explicit unlock, and only where it was taken.
        if std::process::id() == self.pid {
            let _ = self.file.set_len(0);
            let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
        }
    }
}

/// A regular file that is not ours.
fn open_regular(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

pub(crate) fn identity_of(metadata: &std::fs::Metadata) -> Identity {
    Identity { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len() }
}

/// Nanoseconds since 1970 from seconds and nanoseconds, as far as there are numbers for them (1677 to 2262).
fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// What [`DiskFile::times`] says of a file whose metadata are known.
pub(crate) fn times_of(metadata: &std::fs::Metadata) -> Times {
    Times {
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(writable).open(path)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(true).create_new(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::rename(from, to)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlink(path)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        Ok(identity_of(&std::fs::metadata(path)?))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn open_foreign(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(open_regular(path)?)))
    }

    #[cfg(target_os = "linux")]
    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = open_regular(from)?;
        let new = OpenOptions::new().write(true).create_new(true).open(to)?;
        rustix::fs::ioctl_ficlone(&new, &from).map_err(|e| {
            let _ = rustix::fs::unlink(to);
            match e {
                rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOTTY | rustix::io::Errno::XDEV | rustix::io::Errno::INVAL => {
                    io::ErrorKind::Unsupported.into()
                }
                other => io::Error::from(other),
            }
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let pid = std::process::id();
                // Only for the message that others print: not worth failing for on a full disk.
                let _ = file.set_len(0);
                let _ = file.write_at(pid.to_string().as_bytes(), 0);
                Ok(Lock::Taken(Box::new(RealLock { file, pid })))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = [0; 16];
                let n = file.read_at(&mut text, 0).unwrap_or(0);
                let pid = text.get(..n).and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.trim().parse().ok());
                Ok(Lock::Held(pid))
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// Most buffers one `pwritev` takes (Linux: IOV_MAX).
const BUFFERS_MAX: usize = 1024;

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, buffers.get(..BUFFERS_MAX).unwrap_or(buffers), offset)?)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(identity_of(&self.0.metadata()?))
    }

    fn times(&self) -> io::Result<Times> {
        Ok(times_of(&self.0.metadata()?))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn map(&self, bytes: u64) -> io::Result<Map> {
        let len = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if len == 0 {
            return Ok(Map::from_bytes(Vec::new()));
        }
        Ok(Map(Arc::new(MapKind::File(memmap2::MmapOptions::new().len(len).map_raw_read_only(&self.0)?))))
    }
}
