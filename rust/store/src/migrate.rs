//! The version of a store's format, and the way from an older one to this program's (docs/formats/store.md §2).
//!
//! A way is a list of steps, each from one version to the next. The rule kept here: a step may be done again, and `SHOAL` says the
//! new version only when it is done; so a migration that was cut short is taken up where it was.

use crate::disk::{Disk, RealDisk, write_all_at};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::recover::{FORMAT_NAME, FORMAT_VERSION, wait_for_lock};
use crate::store::Options;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

/// What a migration did, or with `dry_run` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found.
    pub from: u32,
    /// The version there is now, or would be.
    pub to: u32,
    /// What each step does, in order. None when the store has this program's version already.
    pub steps: Vec<String>,
}

/// From a version to the next one.
struct Step {
    from: u32,
    /// In the words of `repo migrate`.
    what: &'static str,
    /// Changes the store, durably, under the lock. What was done in part is done again from its beginning.
    run: fn(&dyn Disk, &Path, &Operation) -> Result<()>,
}

/// Ascending. Version 1 is the first.
const STEPS: &[Step] = &[];

/// What stands in `SHOAL` for a version.
pub(crate) fn format_text(version: u32) -> String {
    format!("shoal store\nversion {version}\n")
}

/// The version of the store in a folder, known to this program or not.
pub fn version(path: &Path) -> Result<u32> {
    read_version(&RealDisk, path)
}

pub(crate) fn read_version(disk: &dyn Disk, path: &Path) -> Result<u32> {
    let format = path.join(FORMAT_NAME);
    let file = match disk.open(&format, false) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(Error::NoStore { path: path.to_owned() });
        }
        Err(e) => return Err(Error::io("opening", &format, e)),
    };
    let mut bytes = [0; 64];
    let n = crate::disk::read_full_at(&*file, &mut bytes, 0).map_err(|e| Error::io("reading", &format, e))?;
    let text = bytes.get(..n).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let version = text.strip_prefix("shoal store\nversion ").and_then(|rest| rest.trim_end().parse::<u32>().ok());
    let version = version.filter(|version| *version > FORMAT_VERSION || text == format_text(*version));
    version.ok_or_else(|| {
        Error::Format(format!("{} does not say \"shoal store\": this is not a store, or the file is damaged", format.display()))
    })
}

/// Fails unless the store has this program's version, and says what to do.
pub(crate) fn check_version(path: &Path, version: u32) -> Result<()> {
    let place = path.display();
    match version {
        FORMAT_VERSION => Ok(()),
        newer if newer > FORMAT_VERSION => Err(newer_than_known(path, newer, FORMAT_VERSION)),
        older => Err(Error::Format(format!(
            "the store at {place} has format version {older}, and this program works with version {FORMAT_VERSION}: make a backup, \
             then run `shoal repo migrate`"
        ))),
    }
}

fn newer_than_known(path: &Path, newer: u32, known: u32) -> Error {
    Error::Format(format!(
        "the store at {} has format version {newer}, and this program knows version {known}: use a newer version of shoal \
         (`pip install --upgrade shoal`); the store was left alone",
        path.display()
    ))
}

/// Brings the store in a folder to this program's version. `options` say how long to wait for the lock; with `dry_run` nothing is
/// changed and no lock is taken.
pub fn migrate(path: &Path, dry_run: bool, options: &Options, operation: &Operation) -> Result<Migrated> {
    follow(&RealDisk, path, STEPS, FORMAT_VERSION, dry_run, options, operation)
}

fn follow(
    disk: &dyn Disk,
    path: &Path,
    steps: &[Step],
    known: u32,
    dry_run: bool,
    options: &Options,
    operation: &Operation,
) -> Result<Migrated> {
    let from = read_version(disk, path)?;
    let way = way(path, steps, from, known)?;
    let migrated = |from, way: &[&Step]| Migrated { from, to: known, steps: way.iter().map(|step| step.what.to_owned()).collect() };
    if dry_run || way.is_empty() {
        return Ok(migrated(from, &way));
    }
    let _lock = wait_for_lock(disk, path, options)?;
    // Another process may have been faster.
    let from = read_version(disk, path)?;
    let way = self::way(path, steps, from, known)?;
    for step in &way {
        operation.check()?;
        (step.run)(disk, path, operation)?;
        write_version(disk, path, step.from.saturating_add(1)).map_err(|e| Error::io("migrating", path, e))?;
    }
    Ok(migrated(from, &way))
}

/// The steps from one version to another.
fn way<'a>(path: &Path, steps: &'a [Step], from: u32, known: u32) -> Result<Vec<&'a Step>> {
    if from > known {
        return Err(newer_than_known(path, from, known));
    }
    let way: Vec<&Step> = (from..known).filter_map(|version| steps.iter().find(|step| step.from == version)).collect();
    if way.len() as u64 != u64::from(known - from) {
        return Err(Error::Format(format!(
            "the store at {} has format version {from}, which no release of shoal wrote: put the file {FORMAT_NAME} back from a backup",
            path.display()
        )));
    }
    Ok(way)
}

/// Replaces `SHOAL`: the old one or the new one is there, whole.
fn write_version(disk: &dyn Disk, path: &Path, version: u32) -> std::io::Result<()> {
    let temporary = path.join("SHOAL.new");
    let _ = disk.remove(&temporary);
    let file = disk.create(&temporary)?;
    write_all_at(&*file, &mut [IoSlice::new(format_text(version).as_bytes())], 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &path.join(FORMAT_NAME))?;
    disk.sync_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_disk::MemoryDisk;
    use crate::store::Store;
    use std::sync::Arc;

    const PATH: &str = "/store";

    fn mark(disk: &dyn Disk, path: &Path, name: &str) -> Result<()> {
        let file = path.join(name);
        let _ = disk.remove(&file);
        disk.create(&file).map(drop).map_err(|e| Error::io("creating", &file, e))
    }

    fn fails(_: &dyn Disk, _: &Path, _: &Operation) -> Result<()> {
        Err(Error::Cancelled)
    }

    const FIRST: Step = Step { from: 1, what: "one to two", run: |disk, path, _| mark(disk, path, "two") };
    const SECOND: Step = Step { from: 2, what: "two to three", run: |disk, path, _| mark(disk, path, "three") };
    const BROKEN: Step = Step { run: fails, ..SECOND };

    /// A store of version 1, which is old for a program of version 3.
    fn old_store() -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/")).unwrap();
        Store::open(Arc::new(disk.clone()), Path::new(PATH), Options::default()).unwrap();
        disk
    }

    fn to_three(disk: &MemoryDisk, steps: &[Step], dry_run: bool) -> Result<Migrated> {
        follow(disk, Path::new(PATH), steps, 3, dry_run, &Options::default(), &Operation::new())
    }

    fn found(disk: &MemoryDisk) -> u32 {
        read_version(disk, Path::new(PATH)).unwrap()
    }

    #[test]
    fn a_dry_run_names_the_steps_and_changes_nothing() {
        let disk = old_store();
        let before = disk.list(Path::new(PATH)).unwrap();
        let migrated = to_three(&disk, &[FIRST, SECOND], true).unwrap();
        assert_eq!((migrated.from, migrated.to, migrated.steps), (1, 3, vec!["one to two".to_owned(), "two to three".to_owned()]));
        assert_eq!((found(&disk), disk.list(Path::new(PATH)).unwrap()), (1, before));
    }

    #[test]
    fn a_migration_that_was_cut_short_is_taken_up_where_it_was() {
        let disk = old_store();
        assert!(to_three(&disk, &[FIRST, BROKEN], false).is_err());
        assert_eq!(found(&disk), 2);
        let migrated = to_three(&disk, &[FIRST, SECOND], false).unwrap();
        assert_eq!((migrated.from, migrated.steps), (2, vec!["two to three".to_owned()]));
        assert_eq!(found(&disk), 3);
        assert_eq!(to_three(&disk, &[FIRST, SECOND], false).unwrap(), Migrated { from: 3, to: 3, steps: vec![] });
    }

    #[test]
    fn a_way_with_a_hole_is_not_begun_and_a_newer_store_is_left_alone() {
        let disk = old_store();
        assert!(to_three(&disk, &[FIRST], false).unwrap_err().to_string().contains("no release of shoal wrote"));
        assert_eq!(found(&disk), 1);
        write_version(&disk, Path::new(PATH), 4).unwrap();
        assert!(to_three(&disk, &[FIRST, SECOND], false).unwrap_err().to_string().contains("use a newer version of shoal"));
        assert_eq!(found(&disk), 4);
    }

    #[test]
    fn a_store_older_than_the_program_is_not_opened_and_told_to_migrate() {
        let disk = old_store();
        write_version(&disk, Path::new(PATH), 0).unwrap();
        let error = Store::open(Arc::new(disk), Path::new(PATH), Options::default()).unwrap_err();
        assert!(error.to_string().contains("shoal repo migrate"), "{error}");
    }
}
