//! What a verification that was stopped has done: a text file, a line for each pack and blob found sound.
//!
//! A pack is named with its length, so that one that has grown, or has been written anew under a new number, is looked at again. What
//! was found damaged is never noted. The file goes when a verification is complete.

use crate::error::{Error, Result};
use crate::inner::locked;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const FIRST_LINE: &str = "shoal verify 1";
/// A line for each of a million packs.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The file, open.
pub(super) struct Checkpoint {
    path: PathBuf,
    done: HashSet<String>,
    file: Mutex<File>,
}

impl Checkpoint {
    /// Reads what was done, if there is such a file, and goes on in it.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |what| move |e| Error::io(what, path, e);
        let mut file = File::options().read(true).append(true).create(true).open(path).map_err(failed("opening"))?;
        let mut text = String::new();
        let bytes = (&file).take(BYTES_MAX).read_to_string(&mut text).map_err(failed("reading"))?;
        let mut lines = text.lines();
        match lines.next() {
            None => file.write_all(format!("{FIRST_LINE}\n").as_bytes()).map_err(failed("writing"))?,
            Some(FIRST_LINE) => {}
            Some(_) => return Err(Error::Options(format!("{} is no file of an earlier verify: name another", path.display()))),
        }
        // A last line that was cut short says nothing.
        if bytes > 0 && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(failed("writing"))?;
        }
        let done = lines.map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), done, file: Mutex::new(file) })
    }

    pub fn has(&self, line: &str) -> bool {
        self.done.contains(line)
    }

    /// Where it cannot be noted, it is looked at again.
    fn note(&self, line: &str) {
        let _ = locked(&self.file).write_all(format!("{line}\n").as_bytes());
    }

    /// Everything was looked at.
    #[expect(clippy::disallowed_methods, reason = "a file named by a person, and none of the store's")]
    pub fn finish(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io("removing", &self.path, e))
    }
}

/// The line of a pack.
pub(super) fn pack_line(pack: u32, length: u64, dead: usize) -> String {
    format!("pack {pack} {length} {dead}")
}

/// Something being verified, in parts: noted when it is dropped, if every part was looked at and none was bad.
pub(super) struct Part<'a> {
    line: String,
    left: AtomicU64,
    is_bad: AtomicBool,
    checkpoint: Option<&'a Checkpoint>,
}

impl<'a> Part<'a> {
    /// One part of it is the survey itself.
    pub fn new(line: String, checkpoint: Option<&'a Checkpoint>) -> Self {
        Self { line, left: AtomicU64::new(1), is_bad: AtomicBool::new(false), checkpoint }
    }

    pub fn add(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    pub fn done(&self, is_sound: bool) {
        if !is_sound {
            self.is_bad.store(true, Ordering::Relaxed);
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if let Some(checkpoint) = self.checkpoint
            && *self.left.get_mut() == 0
            && !*self.is_bad.get_mut()
        {
            checkpoint.note(&self.line);
        }
    }
}
