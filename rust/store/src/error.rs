//! What can go wrong with a store. A message says what, where and what to do; it never repeats a stranger's bytes.
//!
//! Whose fault it is can be read off the variant: the caller's (`BlockTooLarge`, `UnsupportedHash`, `ReadOnly`), the disk's
//! (`Io`, `Full`, `Damaged`), another process's (`Locked`), or nobody's (`NotFound`, `Cancelled`).

use crate::meta::PIN_NAME_BYTES_MAX;
use crate::reference::Change;
use shoal_core::Cid;
use shoal_core::car::CarError;
use shoal_core::limits::{BLOCK_BYTES_MAX, DAG_DEPTH_MAX};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug)]
pub enum Error {
    /// No block with this CID is in the store.
    NotFound {
        /// The CID asked for.
        cid: Cid,
    },
    /// A block on disk does not match its CID, and no other copy does.
    Damaged {
        /// The CID asked for.
        cid: Cid,
        /// The pack that holds the bad copy.
        pack: u32,
        /// Where its section begins in that pack, in bytes.
        offset: u64,
    },
    /// The few bytes in front of a block, which say whose it is, are damaged. Met when walking through a pack.
    DamagedSection {
        /// The pack.
        pack: u32,
        /// Where the section begins, in bytes.
        offset: u64,
    },
    /// A block is in a file outside the store, and that file is not what it was when it was added.
    ChangedFile {
        /// The CID asked for.
        cid: Cid,
        /// The file.
        path: PathBuf,
        /// Where the block was in it, in bytes.
        offset: u64,
        /// What changed.
        change: Change,
    },
    /// A table of references to files outside is damaged or gone, so nobody knows what it named.
    DamagedReferences {
        /// The table's file.
        path: PathBuf,
    },
    /// A file cannot be added without copying it.
    NotReferenced {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A group of a blob does not lead up to its digest, or the part of its tree that would say so is damaged.
    DamagedBlob {
        /// The blob.
        cid: Cid,
        /// Where the damage begins, in bytes of its data.
        offset: u64,
        /// Whether it is the tree that is damaged, which can be made again if the data are sound.
        is_tree: bool,
    },
    /// This part of a partial blob has not come yet.
    NotHere {
        /// The blob.
        cid: Cid,
        /// Where what is missing begins, in bytes.
        offset: u64,
    },
    /// A slice from elsewhere does not prove what it holds.
    BadSlice {
        /// The blob or block it should be of.
        cid: Cid,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A block was asked for, and this is a blob: a whole file, which is never read as one block.
    IsBlob {
        /// The blob.
        cid: Cid,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The disk said no.
    Io {
        /// What was being done, as in "writing".
        what: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The disk, or the user's quota on it, is full.
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The store's quota has no room for what is being added, and what is there is pinned, or being written.
    OverQuota {
        /// How much is being added, in bytes.
        bytes: u64,
        /// The quota, in bytes.
        bytes_max: u64,
    },
    /// Another process is writing to the store, and did not finish within `Options::lock_wait`.
    Locked {
        /// Its process id, where it could be read.
        pid: Option<u32>,
    },
    /// The disk failed to keep what was written. Nothing more is acknowledged until the store is opened again.
    Poisoned,
    /// The store was opened for reading only.
    ReadOnly,
    /// The session was opened before a `fork`, in the parent process. Open another one.
    Forked,
    /// There is no store here.
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// A folder or file is not what it should be: of a newer version, foreign, or damaged. Says which, and what to do.
    Format(String),
    /// A block is larger than any peer would take.
    BlockTooLarge {
        /// Its CID.
        cid: Cid,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The CID's hash is not one Shoal computes, so the bytes could not be checked.
    UnsupportedHash {
        /// The CID.
        cid: Cid,
    },
    /// A block is not the node that its place in a DAG asks for.
    Dag {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder to add could not be read.
    Source {
        /// What failed, as in "cannot open".
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file changed while it was being added: it became shorter or, where only its place is kept, anything else of it.
    SourceChanged {
        /// Which one.
        path: PathBuf,
    },
    /// Something to add is neither file, directory nor symbolic link.
    SourceKind {
        /// Which one.
        path: PathBuf,
    },
    /// Following links led back into a directory that is being added.
    SourceCycle {
        /// The link that closes the circle.
        path: PathBuf,
    },
    /// A stream to add could not be read.
    Stream(io::Error),
    /// A rule for leaving files out is malformed.
    IgnoreRule(String),
    /// Options that contradict each other.
    Options(String),
    /// A directory cannot hold this entry.
    Entry {
        /// The directory's path, with a slash at its end.
        folder: Vec<u8>,
        /// The entry's name.
        name: Vec<u8>,
        /// Why.
        reason: String,
    },
    /// A file or folder to write could not be written.
    Export {
        /// What failed, as in "cannot make the file".
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Writing content to a file, pipe or socket failed.
    Output(io::Error),
    /// The target of a get is there already.
    TargetExists {
        /// Which one.
        path: PathBuf,
    },
    /// The target of a get has no name of its own, as `/` or `..`.
    TargetName {
        /// Which one.
        path: PathBuf,
    },
    /// A directory from elsewhere holds an entry that must not be written.
    UnsafeEntry {
        /// The folder it would be written to.
        folder: PathBuf,
        /// The entry's name.
        name: Vec<u8>,
        /// What is unsafe about it.
        why: &'static str,
    },
    /// A file was asked for, and the CID is something else.
    NotAFile {
        /// The CID.
        cid: Cid,
        /// What it is.
        kind: &'static str,
    },
    /// A directory was asked for, and the CID is something else.
    NotADirectory {
        /// The CID.
        cid: Cid,
        /// The entry that was looked for in it.
        name: Option<Vec<u8>>,
    },
    /// A directory has no entry of that name.
    NoSuchName {
        /// The directory.
        cid: Cid,
        /// The name.
        name: Vec<u8>,
    },
    /// A parent's word about the size of a child is not true.
    WrongSize {
        /// The child.
        cid: Cid,
        /// Content bytes its parent says it has.
        claimed: u64,
        /// Content bytes it has.
        found: u64,
    },
    /// A DAG is deeper than any honest one.
    DagTooDeep {
        /// Where it was given up.
        cid: Cid,
    },
    /// A DAG is not whole: a block under a root cannot be had.
    InDag {
        /// The root.
        root: Cid,
        /// The node that links to the block.
        parent: Cid,
        /// Which block, and why.
        source: Box<Self>,
    },
    /// A DAG has more blocks than the caller wanted to walk.
    TooManyBlocks {
        /// The root.
        root: Cid,
        /// The caller's limit.
        blocks_max: u64,
    },
    /// An archive is cut or malformed.
    Archive(CarError),
    /// A block of an archive does not match its CID.
    ArchiveBlock {
        /// What it says it is.
        cid: Cid,
    },
    /// An archive cannot become a pack as it is.
    NotAdopted {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A direct pin was asked for where a recursive one is.
    AlreadyPinned {
        /// The CID.
        cid: Cid,
    },
    /// There is no pin to remove.
    NotPinned {
        /// The CID.
        cid: Cid,
    },
    /// The name of a pin is too long.
    PinName {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The caller asked to stop.
    Cancelled,
}

impl Error {
    /// An I/O error with its place; running out of space becomes [`Error::Full`].
    #[must_use]
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full { path: path.to_owned() },
            _ => Self::Io { what, path: path.to_owned(), source },
        }
    }

    /// The same error once more, for each of several callers who shared the failing operation.
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Io { what, path, source } => {
                let source = match source.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(source.kind(), source.to_string()),
                };
                Self::Io { what, path: path.clone(), source }
            }
            Self::Full { path } => Self::Full { path: path.clone() },
            Self::OverQuota { bytes, bytes_max } => Self::OverQuota { bytes: *bytes, bytes_max: *bytes_max },
            Self::Poisoned => Self::Poisoned,
            // A commit fails in no other way; if it did, its words are still true for everybody who waited for it.
            other => Self::Format(other.to_string()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { cid } => write!(f, "block {cid} is not in the store"),
            Self::Damaged { cid, pack, offset } => {
                write!(
                    f,
                    "block {cid} is damaged on disk (pack {pack}, byte {offset}); `verify` takes it out, and adding it again heals it"
                )
            }
            Self::DamagedSection { pack, offset } => {
                write!(f, "pack {pack} is damaged at byte {offset}; `verify` says which blocks are hurt")
            }
            Self::ChangedFile { cid, path, offset, change } => write!(
                f,
                "block {cid} is in {} (byte {offset}), and that file {change}; put it back as it was, or add the content again (`shoal repo \
                 references check` names all such files)",
                Shown(path.as_os_str().as_bytes())
            ),
            Self::DamagedReferences { path } => write!(
                f,
                "{} is damaged, and nobody knows what it named: `shoal repo references forget --changed` drops it, and adding the files \
                 again brings their references back",
                path.display()
            ),
            Self::NotReferenced { path, why } => {
                write!(f, "{} cannot be added without copying it: {why}; add it without nocopy", Shown(path.as_os_str().as_bytes()))
            }
            Self::DamagedBlob { cid, offset, is_tree: false } => {
                write!(
                    f,
                    "blob {cid} is damaged on disk at byte {offset}; `verify` names all damage, and then adding the file again heals it"
                )
            }
            Self::DamagedBlob { cid, offset, is_tree: true } => {
                write!(f, "the tree of blob {cid} is damaged on disk, for byte {offset}; `verify` makes it again if the data are sound")
            }
            Self::NotHere { cid, offset } => {
                write!(f, "blob {cid} is here in part only, and not its bytes from {offset} on; import a slice that has them")
            }
            Self::BadSlice { cid, reason } => {
                write!(f, "the slice of {cid} is bad: {reason}; what stands before that was kept (were these ranges asked for?)")
            }
            Self::IsBlob { cid, bytes } => {
                write!(
                    f,
                    "{cid} is a blob, a whole file of {bytes} bytes, and not a block: read it with open, cat or get, or add the file \
                     with the layout \"balanced\" to have it in blocks (as archives need it)"
                )
            }
            Self::Io { what, path, source } => write!(f, "{what} {}: {source}", Shown(path.as_os_str().as_bytes())),
            Self::Full { path } => {
                write!(f, "no space left on the disk for {}; free some and try again (what was acknowledged is safe)", path.display())
            }
            Self::OverQuota { bytes, bytes_max } => write!(
                f,
                "the store may have {bytes_max} bytes (store.size_max), and has no room for {bytes} more; nothing was added: remove pins \
                 that are not needed any more and add again, or raise the limit"
            ),
            Self::Locked { pid: Some(pid) } => write!(f, "process {pid} is writing to the store; wait for it to finish, or stop it"),
            Self::Locked { pid: None } => f.write_str("another process is writing to the store; wait for it to finish"),
            Self::Poisoned => f.write_str(
                "the disk failed to keep what was written, so nothing more is acknowledged; check the disk, then open the store again",
            ),
            Self::ReadOnly => f.write_str("the store was opened for reading only"),
            Self::Forked => f.write_str("this session belongs to the process that was forked; open the store again in the new process"),
            Self::NoStore { path } => write!(f, "there is no store at {}", path.display()),
            Self::Format(text) => f.write_str(text),
            Self::BlockTooLarge { cid, bytes } => {
                write!(f, "block {cid} has {bytes} bytes, and no peer takes more than {BLOCK_BYTES_MAX}; cut it into chunks")
            }
            Self::UnsupportedHash { cid } => {
                write!(
                    f,
                    "block {cid} cannot be checked: its hash, 0x{:x}, is not supported (sha2-256, sha2-512 and blake3 are)",
                    cid.hash()
                )
            }
            Self::Dag { cid, reason } => write!(f, "block {cid}: {reason}"),
            Self::Source { what, path, source } => write!(f, "{what} {}: {source}", Shown(path.as_os_str().as_bytes())),
            Self::SourceChanged { path } => {
                write!(f, "{} changed while it was being added; add it again when nobody writes to it", Shown(path.as_os_str().as_bytes()))
            }
            Self::SourceKind { path } => {
                write!(
                    f,
                    "{} is neither file, directory nor symbolic link; leave it out with an ignore rule",
                    Shown(path.as_os_str().as_bytes())
                )
            }
            Self::SourceCycle { path } => {
                write!(
                    f,
                    "{} leads back into a directory that is being added; add it without following links",
                    Shown(path.as_os_str().as_bytes())
                )
            }
            Self::Stream(source) => write!(f, "cannot read the input: {source}"),
            Self::IgnoreRule(reason) => write!(f, "bad ignore rule: {reason}"),
            Self::Options(reason) => f.write_str(reason),
            Self::Entry { folder, name, reason } => write!(f, "{}{}: {reason}", Shown(folder), Shown(name)),
            Self::Export { what, path, source } => write!(f, "{what} {}: {source}", Shown(path.as_os_str().as_bytes())),
            Self::Output(source) => write!(f, "cannot write the output: {source}"),
            Self::TargetExists { path } => {
                write!(f, "{} is there already; remove it, choose another name, or use force", Shown(path.as_os_str().as_bytes()))
            }
            Self::TargetName { path } => write!(f, "{} cannot be the target: name a file or folder", Shown(path.as_os_str().as_bytes())),
            Self::UnsafeEntry { folder, name, why } => {
                write!(f, "refused to write {:?} into {}: {why}", Shown(name).to_string(), Shown(folder.as_os_str().as_bytes()))
            }
            Self::NotAFile { cid, kind } => write!(f, "{cid} is {kind}, not a file"),
            Self::NotADirectory { cid, name: None } => write!(f, "{cid} is not a directory"),
            Self::NotADirectory { cid, name: Some(name) } => {
                write!(f, "{cid} is not a directory, so nothing in it is called {:?}", Shown(name).to_string())
            }
            Self::NoSuchName { cid, name } => write!(f, "directory {cid} has no entry {:?}", Shown(name).to_string()),
            Self::WrongSize { cid, claimed, found } => {
                write!(f, "block {cid} holds {found} bytes of content where its parent says {claimed}: the file is malformed")
            }
            Self::DagTooDeep { cid } => write!(f, "the DAG is too deep at {cid} ({DAG_DEPTH_MAX} levels are the most)"),
            Self::InDag { root, parent, source } => write!(f, "the DAG of {root} is not whole: {source} (linked from {parent})"),
            Self::TooManyBlocks { root, blocks_max } => write!(f, "the DAG of {root} has more than {blocks_max} blocks"),
            Self::Archive(reason) => write!(f, "{reason}; nothing was imported"),
            Self::ArchiveBlock { cid } => write!(f, "the archive holds other bytes than {cid} says; nothing was imported"),
            Self::NotAdopted { path, why } => {
                write!(f, "{} cannot be adopted: {why}; import it without adopting it, which copies its blocks", path.display())
            }
            Self::AlreadyPinned { cid } => write!(f, "{cid} is pinned recursively already; remove that pin to pin it directly"),
            Self::NotPinned { cid } => write!(f, "{cid} is not pinned (a block under a recursive pin has none of its own)"),
            Self::PinName { bytes } => write!(f, "the pin's name has {bytes} bytes; at most {PIN_NAME_BYTES_MAX} are allowed"),
            Self::Cancelled => f.write_str("stopped on request"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Source { source, .. } | Self::Export { source, .. } => Some(source),
            Self::Stream(source) | Self::Output(source) => Some(source),
            Self::InDag { source, .. } => Some(source),
            Self::Archive(source) => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// A file or folder to add that could not be read.
    pub(crate) fn source(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Source { what, path: path.to_owned(), source }
    }

    /// A block that is not the UnixFS node its place asks for.
    pub(crate) fn unixfs(cid: &Cid, reason: impl fmt::Display) -> Self {
        Self::Dag { cid: cid.clone(), reason: reason.to_string() }
    }

    /// An entry that a directory cannot hold.
    pub(crate) fn entry(folder: &[u8], name: &[u8], reason: impl fmt::Display) -> Self {
        Self::Entry { folder: folder.to_vec(), name: name.to_vec(), reason: reason.to_string() }
    }
}

impl From<CarError> for Error {
    fn from(e: CarError) -> Self {
        Self::Archive(e)
    }
}

impl From<shoal_core::unixfs::profile::ProfileError> for Error {
    fn from(e: shoal_core::unixfs::profile::ProfileError) -> Self {
        Self::Options(e.to_string())
    }
}

/// Bytes of a path or name as a person may see them: no control characters, nothing that is not text.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for character in part.valid().chars() {
                if character.is_control() { write!(f, "{}", character.escape_default())? } else { write!(f, "{character}")? }
            }
            for byte in part.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}
