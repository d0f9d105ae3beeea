//! Folders held open, and the walk that fills them.

use super::link::{Link, escape};
use super::write::{FileJob, Queue, Written};
use crate::directory::{self, Entries, Kind};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::store::Store;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use shoal_core::Cid;
use shoal_core::limits::{DAG_DEPTH_MAX, NAME_BYTES_MAX};
use shoal_core::unixfs::Metadata;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files handed to a worker at once.
const FILES_PER_JOB: usize = 32;

/// An open folder. Everything in it is made by name relative to the descriptor, so nothing that happens to its path matters.
pub(super) struct Folder {
    descriptor: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the folder the export's root will stand in. Links on the way are the user's own and are followed.
    pub fn open(path: &Path) -> Result<Self> {
        let descriptor = rustix::fs::open(path, OPEN_FOLDER, Mode::empty()).map_err(|e| Error::Export {
            what: "cannot open the folder",
            path: path.to_path_buf(),
            source: e.into(),
        })?;
        Ok(Self { descriptor, path: path.to_path_buf() })
    }

    fn error(&self, what: &'static str, name: &OsStr, errno: Errno) -> Error {
        Error::Export { what, path: self.path.join(name), source: errno.into() }
    }

    /// Makes a folder in this one and opens it. With `force` one that is there already will do, but not a link to one.
    fn make(&self, name: &OsStr, force: bool) -> Result<Self> {
        match rustix::fs::mkdirat(&self.descriptor, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => {}
            Err(Errno::EXIST) if force => {}
            Err(e) => return Err(self.error("cannot make the folder", name, e)),
        }
        self.enter(name)
    }

    fn enter(&self, name: &OsStr) -> Result<Self> {
        let descriptor = rustix::fs::openat(&self.descriptor, name, OPEN_FOLDER | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|e| self.error("cannot open the folder", name, e))?;
        Ok(Self { descriptor, path: self.path.join(name) })
    }

    /// Makes a new file in this folder.
    pub fn create(&self, name: &OsStr) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(&self.descriptor, name, flags, Mode::from_raw_mode(0o666))
            .map_err(|e| self.error("cannot make the file", name, e))?;
        Ok(File::from(descriptor))
    }

    /// Gives `from` the name `to`. Without `force` something that has that name by now stays.
    pub fn rename(&self, from: &OsStr, to: &OsStr, force: bool) -> Result<()> {
        let renamed = if force {
            rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to)
        } else {
            match rustix::fs::renameat_with(&self.descriptor, from, &self.descriptor, to, RenameFlags::NOREPLACE) {
                // Some filesystems (NFS, FUSE) do not know the flag. The name was free a moment ago.
                Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to),
                done => done,
            }
        };
        renamed.map_err(|e| self.error("cannot give its final name to", to, e))
    }

    fn symlink(&self, name: &OsStr, target: &OsStr) -> Result<()> {
        rustix::fs::symlinkat(target, &self.descriptor, name).map_err(|e| self.error("cannot make the link", name, e))
    }

    /// Removes what was made under a temporary name. As much as can be: it is called when something failed already.
    pub fn remove_all(&self, name: &OsStr) {
        if rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()).is_err() {
            if let Ok(folder) = self.enter(name)
                && let Ok(entries) = rustix::fs::Dir::read_from(&folder.descriptor)
            {
                for entry in entries.flatten() {
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    if name != "." && name != ".." {
                        folder.remove_all(name);
                    }
                }
            }
            let _ = rustix::fs::unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR);
        }
    }

    /// Sets what was kept of a folder in this one.
    fn set_metadata(&self, metadata: Metadata) -> Result<()> {
        set_metadata(self.descriptor.as_fd(), metadata).map_err(|e| self.error("cannot set mode or time of", OsStr::new("."), e))
    }
}

/// Sets mode and modification time of an open file or folder, where they were kept.
pub(super) fn set_metadata(descriptor: std::os::fd::BorrowedFd<'_>, metadata: Metadata) -> std::result::Result<(), Errno> {
    if let Some(mode) = metadata.mode {
        // Set-user-id and set-group-id bits of a stranger's file are not given to it here.
        rustix::fs::fchmod(descriptor, Mode::from_raw_mode(mode & 0o1777))?;
    }
    if let Some((seconds, nanoseconds)) = metadata.mtime {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds.min(999_999_999)) };
        let omit = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        rustix::fs::futimens(descriptor, &rustix::fs::Timestamps { last_access: omit, last_modification: time })?;
    }
    Ok(())
}

/// A name that is one plain part of a path, and nothing else.
fn check_name(folder: &Path, name: &[u8]) -> Result<()> {
    let why = match name {
        b"" => "an empty name",
        b"." | b".." => "a name that means a folder",
        name if name.contains(&b'/') => "a name with a slash in it",
        name if name.contains(&0) => "a name with a NUL byte in it",
        name if name.len() > NAME_BYTES_MAX => "a name of more than 255 bytes",
        _ => return Ok(()),
    };
    Err(Error::UnsafeEntry { folder: folder.to_path_buf(), name: name.to_vec(), why })
}

/// Is this root a directory?
pub(super) fn is_directory(store: &Store, cid: &Cid) -> Result<bool> {
    Ok(matches!(directory::about(store, cid)?.0, Kind::Directory))
}

/// One export.
pub(super) struct Export<'a> {
    pub store: &'a Store,
    pub operation: &'a Operation,
    pub threads: usize,
    pub written: Written,
}

/// A folder being filled.
struct Level {
    folder: Arc<Folder>,
    entries: Entries,
}

/// Names from the root of an export down to a folder.
type Names = Vec<Vec<u8>>;

/// What a walk leaves for the end: links, and folders whose mode or time was kept.
type Later = (Vec<Link>, Vec<(Names, Metadata)>);

/// The walk of one export: what it has met and will do at the end.
struct Walk<'w> {
    store: &'w Store,
    operation: &'w Operation,
    queue: &'w Queue,
    force: bool,
    levels: Vec<Level>,
    /// Names from the root to the innermost folder.
    names: Names,
    files: Vec<FileJob>,
    links: Vec<Link>,
    /// Folders whose mode or time was kept. Set when everything is written, since writing changes the time.
    kept: Vec<(Names, Metadata)>,
}

impl Export<'_> {
    /// Makes `name` in `parent`, which has no such entry.
    pub fn new_entry(&self, cid: &Cid, parent: &Folder, name: &OsStr) -> Result<()> {
        let (kind, metadata) = directory::about(self.store, cid)?;
        match kind {
            Kind::Directory => {
                let folder = parent.make(name, false)?;
                self.fill(cid, folder, metadata, false)
            }
            Kind::File { bytes } => {
                self.operation.expect(Some(bytes), Some(1));
                let folder = Folder {
                    descriptor: parent.descriptor.try_clone().map_err(|e| Error::Io {
                        what: "cannot open again",
                        path: parent.path.clone(),
                        source: e,
                    })?,
                    path: parent.path.clone(),
                };
                self.run(false, |walk| {
                    walk.files.push(FileJob { folder: Arc::new(folder), name: name.to_os_string(), cid: cid.clone(), force: false });
                    walk.flush()
                })
                .map(|_| ())
            }
            Kind::Symlink { target } => {
                let link = Link { folder: Vec::new(), name: name.as_bytes().to_vec(), target };
                self.make_links(parent, &[link], false)
            }
            Kind::Other => Err(Error::NotAFile { cid: cid.clone(), kind: "a block that is no file" }),
        }
    }

    /// Adds to the folder `name`, which is there. What must not be written is found before anything is.
    pub fn fill_existing(&self, cid: &Cid, parent: &Folder, name: &OsStr) -> Result<()> {
        let (_, metadata) = directory::about(self.store, cid)?;
        let root = parent.enter(name)?;
        self.look_through(cid, &root.path)?;
        self.fill(cid, root, metadata, true)
    }

    /// Checks the names and links of a whole tree. Reads directories, and of files their roots only.
    fn look_through(&self, cid: &Cid, root: &Path) -> Result<()> {
        let mut levels = vec![Entries::open(self.store, cid)?];
        let mut names: Names = Vec::new();
        let mut links = Vec::new();
        while let Some(entries) = levels.last_mut() {
            self.operation.check()?;
            let Some(entry) = entries.next() else {
                levels.pop();
                names.pop();
                continue;
            };
            let entry = entry?;
            check_name(&path_below(root, &names), &entry.name)?;
            match directory::about(self.store, &entry.cid)?.0 {
                Kind::File { .. } => {}
                Kind::Symlink { target } => links.push(Link { folder: names.clone(), name: entry.name, target }),
                Kind::Directory if levels.len() >= DAG_DEPTH_MAX => return Err(Error::DagTooDeep { cid: entry.cid }),
                Kind::Directory => {
                    levels.push(Entries::open(self.store, &entry.cid)?);
                    names.push(entry.name);
                }
                Kind::Other => return Err(Error::NotAFile { cid: entry.cid, kind: "a block that is no file" }),
            }
        }
        check_links(root, &links)
    }

    fn fill(&self, cid: &Cid, root: Folder, metadata: Metadata, force: bool) -> Result<()> {
        let root = Arc::new(root);
        let (links, kept) = self.run(force, |walk| {
            if !metadata.is_empty() {
                walk.kept.push((Vec::new(), metadata));
            }
            walk.levels.push(Level { folder: Arc::clone(&root), entries: Entries::open(self.store, cid)? });
            walk.run()
        })?;
        self.make_links(&root, &links, force)?;
        // Innermost first: making an entry changes its folder's time.
        for (names, metadata) in kept.iter().rev() {
            reopen(&root, names)?.map_or_else(|| root.set_metadata(*metadata), |folder| folder.set_metadata(*metadata))?;
        }
        Ok(())
    }

    /// Runs workers beside a walk.
    fn run(&self, force: bool, walk: impl FnOnce(&mut Walk<'_>) -> Result<()>) -> Result<Later> {
        let queue = Queue::new(self.threads * 4);
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.threads).map(|_| scope.spawn(|| super::write::run(self.store, self.operation, &queue, &self.written))).collect();
            let mut walker = Walk {
                store: self.store,
                operation: self.operation,
                queue: &queue,
                force,
                levels: Vec::new(),
                names: Vec::new(),
                files: Vec::new(),
                links: Vec::new(),
                kept: Vec::new(),
            };
            let walked = {
                let _close = queue.close_on_drop();
                let walked = walk(&mut walker);
                if walked.is_err() {
                    queue.stop();
                }
                walked
            };
            let mut result = walked;
            for worker in workers {
                let done = worker.join().unwrap_or(Err(Error::Cancelled));
                // A worker's error is the cause; the walker then only noticed that all stop.
                if done.is_err() && matches!(result, Ok(()) | Err(Error::Cancelled)) {
                    result = done;
                }
            }
            result.map(|()| (walker.links, walker.kept))
        })
    }

    fn make_links(&self, root: &Folder, links: &[Link], force: bool) -> Result<()> {
        check_links(&root.path, links)?;
        for link in links {
            self.operation.check()?;
            let (name, target) = (OsStr::from_bytes(&link.name), OsStr::from_bytes(&link.target));
            let reopened = reopen(root, &link.folder)?;
            let folder = reopened.as_ref().unwrap_or(root);
            if force {
                let temporary = super::temporary_name(name);
                folder.symlink(&temporary, target)?;
                folder.rename(&temporary, name, true)?;
            } else {
                folder.symlink(name, target)?;
            }
            self.written.add(1, 0);
            self.operation.add_files(1);
        }
        Ok(())
    }
}

/// Refuses links that lead out of the export.
fn check_links(root: &Path, links: &[Link]) -> Result<()> {
    let places: HashSet<Names> =
        links.iter().map(|link| link.folder.iter().chain(std::iter::once(&link.name)).cloned().collect()).collect();
    for link in links {
        if let Some(why) = escape(link, &places) {
            return Err(Error::UnsafeEntry { folder: path_below(root, &link.folder), name: link.name.clone(), why });
        }
    }
    Ok(())
}

fn path_below(root: &Path, names: &Names) -> PathBuf {
    names.iter().fold(root.to_path_buf(), |path, name| path.join(OsStr::from_bytes(name)))
}

/// Opens a folder below the root again, part by part, through no link. None for the root itself.
fn reopen(root: &Folder, names: &[Vec<u8>]) -> Result<Option<Folder>> {
    let mut at: Option<Folder> = None;
    for name in names {
        at = Some(at.as_ref().unwrap_or(root).enter(OsStr::from_bytes(name))?);
    }
    Ok(at)
}

impl Walk<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some(level) = self.levels.last_mut() {
            self.operation.check()?;
            match level.entries.next() {
                Some(entry) => {
                    let (entry, folder) = (entry?, Arc::clone(&level.folder));
                    self.entry(folder, entry)?;
                }
                None => {
                    self.levels.pop();
                    self.names.pop();
                }
            }
        }
        self.flush()
    }

    fn entry(&mut self, folder: Arc<Folder>, entry: directory::Named) -> Result<()> {
        check_name(&folder.path, &entry.name)?;
        let name = OsStr::from_bytes(&entry.name);
        let (kind, metadata) = if entry.cid.codec() == shoal_core::cid::codec::RAW {
            (Kind::File { bytes: 0 }, Metadata::default())
        } else {
            directory::about(self.store, &entry.cid)?
        };
        match kind {
            Kind::File { .. } => {
                self.files.push(FileJob { folder, name: name.to_os_string(), cid: entry.cid, force: self.force });
                if self.files.len() >= FILES_PER_JOB { self.flush() } else { Ok(()) }
            }
            Kind::Directory => {
                if self.levels.len() >= DAG_DEPTH_MAX {
                    return Err(Error::DagTooDeep { cid: entry.cid });
                }
                let made = folder.make(name, self.force)?;
                self.names.push(entry.name);
                if !metadata.is_empty() {
                    self.kept.push((self.names.clone(), metadata));
                }
                self.levels.push(Level { folder: Arc::new(made), entries: Entries::open(self.store, &entry.cid)? });
                Ok(())
            }
            Kind::Symlink { target } => {
                self.links.push(Link { folder: self.names.clone(), name: entry.name, target });
                Ok(())
            }
            Kind::Other => Err(Error::NotAFile { cid: entry.cid, kind: "a block that is no file" }),
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.files.is_empty() || self.queue.push(std::mem::take(&mut self.files)) { Ok(()) } else { Err(Error::Cancelled) }
    }
}
