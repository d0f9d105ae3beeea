//! A file outside the store: what it looked like when it was added, whether it still does, and reading from it.

use crate::disk::{Disk, DiskFile, Identity, Times, read_full_at};
use crate::error::{Error, Result};
use crate::meta::check;
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest path in bytes (Linux: the same, with the zero at its end).
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// §3: checksum, length of the path, device, inode, length, two times.
const HEAD_BYTES: usize = 8 + 4 + 5 * 8;

/// How a file differs from what it was when it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is nothing at its path.
    Missing,
    /// At its path is something else than a regular file, such as a link or a folder.
    Kind,
    /// At its path is another file.
    Replaced,
    /// It is longer or shorter.
    Length {
        /// Bytes that it had.
        was: u64,
        /// Bytes that it has.
        is: u64,
    },
    /// It was written to.
    Written,
    /// It cannot be read.
    Unreadable,
    /// It looks as it did, and holds other bytes.
    Content,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is gone"),
            Self::Kind => f.write_str("is no regular file any more"),
            Self::Replaced => f.write_str("was replaced by another file"),
            Self::Length { was, is } if is < was => write!(f, "became shorter ({was} bytes, now {is})"),
            Self::Length { was, is } => write!(f, "became longer ({was} bytes, now {is})"),
            Self::Written => f.write_str("was written to since it was added"),
            Self::Unreadable => f.write_str("cannot be read"),
            Self::Content => f.write_str("holds other bytes than it did"),
        }
    }
}

/// A file as it was when it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignFile {
    /// Absolute, through no link.
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub bytes: u64,
    pub times: Times,
}

/// What of a file decides whether it is as it was. Not the device, whose number another start of the system may change, nor when its
/// names and permissions changed, which says nothing of its bytes.
fn state(inode: u64, bytes: u64, times: Times) -> (u64, u64, i64) {
    (inode, bytes, times.modified_ns)
}

impl ForeignFile {
    pub fn new(path: PathBuf, identity: Identity, times: Times) -> Self {
        let Identity { device, inode, bytes } = identity;
        Self { path, device, inode, bytes, times }
    }

    /// Whether both are one file at one path, not written to in between.
    pub fn is_as(&self, other: &Self) -> bool {
        self.path == other.path && state(self.inode, self.bytes, self.times) == state(other.inode, other.bytes, other.times)
    }

    /// What one table keeps one record of.
    pub fn name(&self) -> [u8; 16] {
        let (inode, bytes, modified_ns) = state(self.inode, self.bytes, self.times);
        let mut hasher = blake3::Hasher::new();
        for part in [inode.to_le_bytes(), bytes.to_le_bytes(), modified_ns.to_le_bytes()] {
            hasher.update(&part);
        }
        hasher.update(self.path.as_os_str().as_bytes());
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        name
    }

    /// How the file differs from what was seen of it now.
    pub fn change(&self, now: &Identity, times: Times) -> Option<Change> {
        if state(self.inode, self.bytes, self.times) == state(now.inode, now.bytes, times) {
            None
        } else if self.inode != now.inode {
            Some(Change::Replaced)
        } else if self.bytes != now.bytes {
            Some(Change::Length { was: self.bytes, is: now.bytes })
        } else {
            Some(Change::Written)
        }
    }

    /// §3: appends the record to a list, which it stands in at `at`.
    pub fn write(&self, at: u64, out: &mut Vec<u8>) {
        let path = self.path.as_os_str().as_bytes();
        let mut body = Vec::with_capacity(HEAD_BYTES + path.len());
        body.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes());
        for number in [self.device, self.inode, self.bytes] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        for time in [self.times.modified_ns, self.times.changed_ns] {
            body.extend_from_slice(&time.to_le_bytes());
        }
        body.extend_from_slice(path);
        out.extend_from_slice(&check(&[&at.to_le_bytes(), &body]));
        out.extend_from_slice(&body);
    }

    /// §3: the record at `at` of a list, whose bytes `get` gives, and its length; `None` when it is damaged.
    pub fn read_record<'a>(at: u64, get: impl Fn(u64, u64) -> Option<&'a [u8]>) -> Option<(Self, u64)> {
        let head_end = at.checked_add(HEAD_BYTES as u64)?;
        let head = get(at, head_end)?;
        let (sum, fields) = head.split_first_chunk::<8>()?;
        let (path_bytes, numbers) = fields.split_first_chunk::<4>()?;
        let path_bytes = u32::from_le_bytes(*path_bytes);
        if path_bytes as usize > PATH_BYTES_MAX {
            return None;
        }
        let path = get(head_end, head_end.checked_add(u64::from(path_bytes))?)?;
        if check(&[&at.to_le_bytes(), fields, path]) != *sum {
            return None;
        }
        let (numbers, _) = numbers.as_chunks::<8>();
        let [device, inode, bytes, modified_ns, changed_ns] = *numbers else { return None };
        let file = Self {
            path: PathBuf::from(OsStr::from_bytes(path)),
            device: u64::from_le_bytes(device),
            inode: u64::from_le_bytes(inode),
            bytes: u64::from_le_bytes(bytes),
            times: Times { modified_ns: i64::from_le_bytes(modified_ns), changed_ns: i64::from_le_bytes(changed_ns) },
        };
        Some((file, HEAD_BYTES as u64 + u64::from(path_bytes)))
    }

    /// Opens the file, if it is as it was.
    pub fn open(&self, disk: &dyn Disk) -> Result<std::result::Result<Arc<dyn DiskFile>, Change>> {
        let file = match disk.open_foreign(&self.path) {
            Ok(file) => file,
            Err(e) => return change_of(&self.path, e).map(Err),
        };
        let failed = |e| Error::io("reading", &self.path, e);
        let change = self.change(&file.identity().map_err(failed)?, file.times().map_err(failed)?);
        Ok(change.map_or(Ok(file), Err))
    }

    /// Reads what should be a leaf, not checked against any hash.
    pub fn read(&self, file: &dyn DiskFile, offset: u64, bytes: usize) -> Result<std::result::Result<Vec<u8>, Change>> {
        let mut data = vec![0; bytes];
        let n = read_full_at(file, &mut data, offset).map_err(|e| Error::io("reading", &self.path, e))?;
        if n < bytes {
            // Cut after it was looked at.
            return Ok(Err(Change::Length { was: self.bytes, is: offset.saturating_add(n as u64) }));
        }
        Ok(Ok(data))
    }
}

/// What an error of opening says of the file. Errors that say nothing of it, as that we may not read it, stay errors.
fn change_of(path: &Path, error: std::io::Error) -> Result<Change> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(Change::Missing),
        // What `open_foreign` says of anything but a regular file.
        ErrorKind::InvalidInput => Ok(Change::Kind),
        // A link at the end of the path. `ErrorKind` has no stable name for it.
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(Change::Kind),
        // A socket.
        _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(Change::Kind),
        _ => Err(Error::io("opening", path, error)),
    }
}
