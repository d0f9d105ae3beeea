//! What can go wrong with a store. A message says what, where and what to do; it never repeats a stranger's bytes.
//!
//! Whose fault it is can be read off the variant: the caller's (`BlockTooLarge`, `UnsupportedHash`, `ReadOnly`), the disk's
//! (`Io`, `Full`, `Damaged`), another process's (`Locked`), or nobody's (`NotFound`, `Cancelled`).

use shoal_core::Cid;
use shoal_core::limits::BLOCK_BYTES_MAX;
use std::fmt;
use std::io;
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
    /// The caller asked to stop.
    Cancelled,
}

impl Error {
    /// An I/O error with its place; running out of space becomes [`Error::Full`].
    #[must_use]
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path: path.to_owned() },
            _ => Self::Io { what, path: path.to_owned(), source },
        }
    }

    /// The same error once more, for each of several callers who shared the failing operation.
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::NotFound { cid } => Self::NotFound { cid: cid.clone() },
            Self::Damaged { cid, pack, offset } => Self::Damaged { cid: cid.clone(), pack: *pack, offset: *offset },
            Self::DamagedSection { pack, offset } => Self::DamagedSection { pack: *pack, offset: *offset },
            Self::Io { what, path, source } => {
                let source = match source.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(source.kind(), source.to_string()),
                };
                Self::Io { what, path: path.clone(), source }
            }
            Self::Full { path } => Self::Full { path: path.clone() },
            Self::Locked { pid } => Self::Locked { pid: *pid },
            Self::Poisoned => Self::Poisoned,
            Self::ReadOnly => Self::ReadOnly,
            Self::Forked => Self::Forked,
            Self::NoStore { path } => Self::NoStore { path: path.clone() },
            Self::Format(text) => Self::Format(text.clone()),
            Self::BlockTooLarge { cid, bytes } => Self::BlockTooLarge { cid: cid.clone(), bytes: *bytes },
            Self::UnsupportedHash { cid } => Self::UnsupportedHash { cid: cid.clone() },
            Self::Dag { cid, reason } => Self::Dag { cid: cid.clone(), reason: reason.clone() },
            Self::Cancelled => Self::Cancelled,
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
            Self::Io { what, path, source } => write!(f, "{what} {}: {source}", path.display()),
            Self::Full { path } => {
                write!(f, "no space left on the disk for {}; free some and try again (what was acknowledged is safe)", path.display())
            }
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
            Self::Cancelled => f.write_str("stopped on request"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
