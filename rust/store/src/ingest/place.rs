//! Files that are left where they are: what is kept of them, and whether they changed while they were added.

use super::{AddOptions, Sink};
use crate::disk::{identity_of, times_of};
use crate::error::{Error, Result};
use crate::pack::key;
use crate::reference::{ForeignFile, Leaf};
use shoal_core::cid::codec;
use shoal_core::hash::Hash;
use shoal_core::unixfs::Child;
use shoal_core::unixfs::profile::Layout;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Whether files can be left where they are at all, added like this.
pub(super) fn check(options: &AddOptions) -> Result<()> {
    if !options.nocopy {
        return Ok(());
    }
    let profile = &options.profile;
    let keeps = options.preserve_mode || options.preserve_mtime || options.mode.is_some() || options.mtime.is_some();
    let why = if !profile.raw_leaves {
        "only raw leaves are bytes of a file and nothing else, and this profile has none; the profiles blake3, blake3-cdc and \
         unixfs-v1-2025 have"
    } else if profile.layout == Layout::Blob {
        "a blob is read in groups out of one file that is sure not to change, so it is the store's own; where the filesystem can share \
         bytes, it takes no room of its own"
    } else if profile.layout == Layout::Trickle || keeps {
        "a small file would then have no raw leaf, and be copied; add it with the layout balanced, and without modes and times"
    } else if !matches!(profile.hash, Hash::Sha256 | Hash::Blake3) {
        "blocks can be left where they are only with the hashes sha2-256 and blake3"
    } else {
        return Ok(());
    };
    Err(Error::Options(format!("nocopy is not possible here: {why}")))
}

/// A file that is being added and is to stay where it is.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was when it was opened.
    file: ForeignFile,
}

impl Place {
    /// What an open file looks like. The path is resolved, so that reading it later goes through no link.
    pub fn of(path: &Path, open: &File) -> Result<Self> {
        let failed = |e| Error::source("cannot find", path, e);
        let about = open.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(Error::SourceKind { path: path.to_owned() });
        }
        let resolved = resolve(path).map_err(failed)?;
        Ok(Self { file: ForeignFile::new(resolved, identity_of(&about), times_of(&about)) })
    }

    /// Fails if the file is not as it was when it was opened.
    pub fn check(&self, open: &File) -> Result<()> {
        let about = open.metadata().map_err(|e| Error::source("cannot read", &self.file.path, e))?;
        let changed = self.file.change(&identity_of(&about), times_of(&about));
        changed.map_or(Ok(()), |_| Err(Error::SourceChanged { path: self.file.path.clone() }))
    }

    /// Notes where leaves are: the first begins at `offset`, and each where the one before ends.
    pub fn refer(&self, sink: &Sink, mut offset: u64, leaves: &[Child]) -> Result<()> {
        let Sink::Store { session, .. } = sink else { return Ok(()) };
        let mut places = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            // What carries itself, and what is empty, stands elsewhere.
            if let (Some(key), Ok(bytes), Ok(hash), codec::RAW, 1..) =
                (key(&leaf.cid), u32::try_from(leaf.file_bytes), u8::try_from(leaf.cid.hash()), leaf.cid.codec(), leaf.file_bytes)
            {
                places.push(Leaf { key, offset, bytes, hash, file: 0 });
            }
            offset = offset.saturating_add(leaf.file_bytes);
        }
        if places.is_empty() { Ok(()) } else { session.refer(&self.file, &places) }
    }
}

/// The path without links: the folder's, and the name if it is no link itself.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    std::fs::canonicalize(path)
}
