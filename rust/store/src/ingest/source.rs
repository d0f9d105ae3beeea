//! The walk over the files to add, in the order of their names, children before what follows their directory.
//!
//! It opens no file: it names them to the workers, and tells the assembler where directories begin and end.

use super::AddOptions;
use super::ignore::Matcher;
use super::job::{FileJob, Item, Job, Message, Queue};
use crate::error::{Error, Result};
use crate::operation::Operation;
use shoal_core::unixfs::Metadata;
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

/// Files handed to a worker at once: enough to fill the hash lanes, few enough to share the work evenly.
const FILES_PER_JOB: usize = 32;
/// Items the walk may be ahead of the assembler: bounds the names waiting for their turn.
const AHEAD_ITEMS_MAX: u64 = 8192;

pub(super) fn walk(
    sources: &[PathBuf],
    options: &AddOptions,
    operation: &Operation,
    queue: &Queue,
    sender: &Sender<Message>,
) -> Result<()> {
    expect_totals(sources, operation);
    let mut walker = Walker { options, operation, queue, sender, sequence: 0, files: Vec::new() };
    for source in sources {
        let name = source_name(source)?;
        let matcher = options.ignore.compile(source)?;
        walker.source(source, name, &matcher)?;
    }
    walker.flush();
    Ok(())
}

/// Files named singly have a known size; the size of a tree is known only when it is done.
fn expect_totals(sources: &[PathBuf], operation: &Operation) {
    let mut bytes = 0u64;
    for source in sources {
        match fs::symlink_metadata(source) {
            Ok(metadata) if metadata.is_file() => bytes = bytes.saturating_add(metadata.len()),
            _ => return,
        }
    }
    operation.expect(Some(bytes), Some(sources.len() as u64));
}

/// The last part of the path; for `.`, `..` and `/` that of the folder it means.
fn source_name(source: &Path) -> Result<Vec<u8>> {
    if let Some(name) = source.file_name() {
        return Ok(name.as_bytes().to_vec());
    }
    let real = fs::canonicalize(source).map_err(|e| Error::source("cannot find", source, e))?;
    Ok(real.file_name().unwrap_or(OsStr::new("root")).as_bytes().to_vec())
}

/// What a name turned out to be.
enum Kind {
    File,
    Directory,
    Symlink,
}

/// One directory being walked: what is left of it, last name first.
struct Level {
    path: PathBuf,
    names: Vec<(Vec<u8>, Kind)>,
    /// Device and inode, kept only where links are followed: a cycle meets itself.
    identity: Option<(u64, u64)>,
}

struct Walker<'a> {
    options: &'a AddOptions,
    operation: &'a Operation,
    queue: &'a Queue,
    sender: &'a Sender<Message>,
    sequence: u64,
    files: Vec<FileJob>,
}

impl Walker<'_> {
    fn source(&mut self, path: &Path, name: Vec<u8>, matcher: &Matcher) -> Result<()> {
        let metadata = fs::symlink_metadata(path).map_err(|e| Error::source("cannot find", path, e))?;
        let kind = self.kind(path, metadata.file_type())?;
        let mut levels = Vec::new();
        self.entry(path.to_path_buf(), name, kind, matcher, &mut levels)?;
        while let Some(level) = levels.last_mut() {
            self.operation.check()?;
            match level.names.pop() {
                Some((name, kind)) => {
                    let path = level.path.join(OsStr::from_bytes(&name));
                    self.entry(path, name, kind, matcher, &mut levels)?;
                }
                None => {
                    levels.pop();
                    self.item(Item::Leave)?;
                }
            }
        }
        Ok(())
    }

    fn kind(&self, path: &Path, file_type: FileType) -> Result<Kind> {
        let file_type = if file_type.is_symlink() {
            if !self.options.dereference_symlinks {
                return Ok(Kind::Symlink);
            }
            fs::metadata(path).map_err(|e| Error::source("cannot follow the link", path, e))?.file_type()
        } else {
            file_type
        };
        if file_type.is_dir() {
            Ok(Kind::Directory)
        } else if file_type.is_file() {
            Ok(Kind::File)
        } else {
            Err(Error::SourceKind { path: path.to_path_buf() })
        }
    }

    fn entry(&mut self, path: PathBuf, name: Vec<u8>, kind: Kind, matcher: &Matcher, levels: &mut Vec<Level>) -> Result<()> {
        match kind {
            Kind::File => self.file(path, name),
            Kind::Symlink => {
                let target = fs::read_link(&path).map_err(|e| Error::source("cannot read the link", &path, e))?;
                let metadata = self.metadata(&path)?;
                self.item(Item::Symlink { name, target: target.into_os_string().into_vec(), metadata })
            }
            Kind::Directory => {
                let identity = self.identity(&path, levels)?;
                let metadata = self.metadata(&path)?;
                let names = self.names(&path, matcher)?;
                self.item(Item::Enter { name, metadata })?;
                levels.push(Level { path, names, identity });
                Ok(())
            }
        }
    }

    /// The names in a directory, last first.
    fn names(&self, path: &Path, matcher: &Matcher) -> Result<Vec<(Vec<u8>, Kind)>> {
        let cannot_list = |e| Error::source("cannot list", path, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(cannot_list)? {
            let entry = entry.map_err(cannot_list)?;
            let name = entry.file_name();
            if !self.options.hidden && name.as_bytes().starts_with(b".") {
                continue;
            }
            let file_type = entry.file_type().map_err(cannot_list)?;
            let full = path.join(&name);
            if matcher.leaves_out(&full, file_type.is_dir()) {
                continue;
            }
            names.push((name.into_vec(), self.kind(&full, file_type)?));
        }
        names.sort_by(|a, b| b.0.cmp(&a.0));
        Ok(names)
    }

    fn identity(&self, path: &Path, levels: &[Level]) -> Result<Option<(u64, u64)>> {
        if !self.options.dereference_symlinks {
            return Ok(None);
        }
        let metadata = fs::metadata(path).map_err(|e| Error::source("cannot read", path, e))?;
        let identity = Some((metadata.dev(), metadata.ino()));
        if levels.iter().any(|level| level.identity == identity) {
            return Err(Error::SourceCycle { path: path.to_path_buf() });
        }
        Ok(identity)
    }

    /// What is kept of a directory or link besides its content.
    fn metadata(&self, path: &Path) -> Result<Metadata> {
        if !self.options.preserve_mode && !self.options.preserve_mtime {
            return Ok(Metadata { mode: self.options.mode, mtime: self.options.mtime });
        }
        let metadata = if self.options.dereference_symlinks { fs::metadata(path) } else { fs::symlink_metadata(path) };
        Ok(kept_metadata(self.options, &metadata.map_err(|e| Error::source("cannot read", path, e))?))
    }

    fn file(&mut self, path: PathBuf, name: Vec<u8>) -> Result<()> {
        let sequence = self.take_sequence()?;
        self.files.push(FileJob { sequence, path, name });
        if self.files.len() >= FILES_PER_JOB {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.files.is_empty() {
            let job = Job::Files(std::mem::take(&mut self.files));
            // False only when all stop; the next admission then ends the walk.
            let _ = self.queue.push(job);
        }
    }

    fn item(&mut self, item: Item) -> Result<()> {
        let sequence = self.take_sequence()?;
        self.sender.send(Message::Item { sequence, item }).map_err(|_| Error::Cancelled)
    }

    fn take_sequence(&mut self) -> Result<u64> {
        let sequence = self.sequence;
        self.sequence += 1;
        // What is held back here must not be what the assembler waits for.
        if sequence.is_multiple_of(1024) {
            self.flush();
        }
        if self.queue.admit(sequence, AHEAD_ITEMS_MAX) { Ok(sequence) } else { Err(Error::Cancelled) }
    }
}

/// What the options ask to keep of a file's own metadata.
pub(super) fn kept_metadata(options: &AddOptions, metadata: &fs::Metadata) -> Metadata {
    let mode = options.mode.or_else(|| options.preserve_mode.then_some(metadata.mode() & 0o7777));
    let own_mtime = || (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap_or(0));
    let mtime = options.mtime.or_else(|| options.preserve_mtime.then(own_mtime));
    Metadata { mode, mtime }
}
