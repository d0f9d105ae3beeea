//! Making a store, and putting right what a dead writer left.
//!
//! Recovery reads only what lies after the last commit, keeps what verifies, cuts off the rest, and says what it did.
//! It runs when a session takes the store's lock, so no other writer lives meanwhile; readers may.
//! The rule it keeps: a pack that the journal does not know is taken in, never removed. (docs/formats/store.md §7)

use crate::adopt::Foreign;
use crate::disk::{Disk, Lock, Map, write_all_at};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::meta::{Contents, Journal, Op};
use crate::migrate::{check_version, format_text, read_version};
use crate::pack::{Active, Entry, ForeignHeader, HEADER, HEADER_BYTES, PackPaths, Place, Scan, read_copy, scan};
use crate::store::Options;
use std::collections::HashSet;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was put right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Blocks found sound after the last commit, and kept.
    pub blocks_kept: u64,
    /// Bytes of packs they stand in.
    pub bytes_kept: u64,
    /// Bytes of packs after the last commit that were not sound blocks, and were cut off.
    pub bytes_cut: u64,
    /// Bytes of an unfinished transaction, cut off the journal.
    pub meta_bytes_cut: u64,
    /// Packs that the journal did not know, and does now.
    pub packs_adopted: Vec<u32>,
    /// Packs that are shorter than what was committed: someone cut them, and blocks are lost.
    pub packs_cut: Vec<u32>,
    /// Files that are named like packs and are not: left alone.
    pub packs_foreign: Vec<u32>,
    /// Bytes inside adopted packs that are not sound blocks, and were stepped over.
    pub bytes_skipped: u64,
    /// Packs whose index was missing or bad, and was made again.
    pub indexes_rebuilt: Vec<u32>,
    /// Blobs that were whole and not committed, and are now.
    pub blobs_kept: u64,
}

pub(crate) const FORMAT_NAME: &str = "SHOAL";
/// Version of the store's format, as its file `SHOAL` says it.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes rewritten or copied at a time.
const STEP_BYTES: u64 = 4 * 1024 * 1024;

/// Checks that the folder is a store of a version we know; makes it one if it is empty.
pub(crate) fn prepare(disk: &dyn Disk, path: &Path, options: &Options) -> Result<()> {
    match read_format(disk, path) {
        Ok(()) if options.rebuild_meta && !options.read_only => rebuild_meta(disk, path, options),
        Ok(()) => Ok(()),
        Err(Error::NoStore { .. }) if !options.read_only => create(disk, path, options),
        Err(e) => Err(e),
    }
}

fn read_format(disk: &dyn Disk, path: &Path) -> Result<()> {
    check_version(path, read_version(disk, path)?)
}

pub(crate) fn wait_for_lock(disk: &dyn Disk, path: &Path, options: &Options) -> Result<Box<dyn Send>> {
    let path = path.join("lock");
    let deadline = Instant::now() + options.lock_wait;
    loop {
        match disk.lock(&path).map_err(|e| Error::io("locking", &path, e))? {
            Lock::Taken(lock) => return Ok(lock),
            Lock::Held(pid) if Instant::now() >= deadline => return Err(Error::Locked { pid }),
            Lock::Held(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Makes a store. The format file comes last, so that a store is whole or not there.
fn create(disk: &dyn Disk, path: &Path, options: &Options) -> Result<()> {
    let failed = |what| move |e| Error::io(what, path, e);
    match disk.list(path) {
        Ok(names) => {
            // What an interrupted making leaves, or settings made before; nothing else.
            let is_ours = |name: &String| {
                matches!(name.as_str(), "lock" | "reserve" | "packs" | "index" | "meta" | "meta.new" | "SHOAL.new" | "config.toml" | "keys")
            };
            if let Some(name) = names.iter().find(|name| !is_ours(name)) {
                let place = path.display();
                return Err(Error::Format(format!("{place} is not a store, and not empty (it has {name:?}): choose another folder")));
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Each new folder is a name in the one above it, which must last before the store is said to.
            let made: Vec<&Path> = path.ancestors().take_while(|folder| is_missing(disk, folder)).collect();
            disk.create_dir(path).map_err(failed("creating"))?;
            for folder in made.into_iter().filter_map(parent_of) {
                disk.sync_dir(folder).map_err(|e| Error::io("syncing", folder, e))?;
            }
        }
        Err(e) => return Err(Error::io("opening", path, e)),
    }
    let _lock = wait_for_lock(disk, path, options)?;
    match read_format(disk, path) {
        // Another process was faster.
        Err(Error::NoStore { .. }) => {}
        other => return other,
    }
    for folder in ["packs", "index"] {
        disk.create_dir(&path.join(folder)).map_err(failed("creating"))?;
    }
    if disk.list(&path.join("packs")).map_err(failed("opening"))?.iter().any(|name| PackPaths::parse(name).is_some()) {
        return Err(Error::Format(format!(
            "{} has packs but no {FORMAT_NAME} file. If this was a store, write {:?} into that file and open it again",
            path.display(),
            format_text(FORMAT_VERSION)
        )));
    }
    Journal::create(disk, &path.join("meta"), &Contents::default())?;
    let temporary = path.join("SHOAL.new");
    let _ = disk.remove(&temporary);
    let write = || -> std::io::Result<()> {
        let file = disk.create(&temporary)?;
        write_all_at(&*file, &mut [IoSlice::new(format_text(FORMAT_VERSION).as_bytes())], 0)?;
        file.sync_data()?;
        disk.sync_dir(&path.join("packs"))?;
        disk.sync_dir(path)?;
        disk.rename(&temporary, &path.join(FORMAT_NAME))?;
        disk.sync_dir(path)?;
        // Once more, in case another process made the folder and died before it got here.
        parent_of(path).map_or(Ok(()), |parent| disk.sync_dir(parent))
    };
    write().map_err(failed("creating"))
}

fn is_missing(disk: &dyn Disk, folder: &Path) -> bool {
    !folder.as_os_str().is_empty() && disk.identity(folder).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// The folder that a path's last name stands in.
fn parent_of(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Writes a journal that says what can still be read of the old one, which is kept as `meta.damaged`.
fn rebuild_meta(disk: &dyn Disk, path: &Path, options: &Options) -> Result<()> {
    let meta = path.join("meta");
    if Journal::open(disk, &meta, false, false).is_ok() {
        return Ok(());
    }
    let _lock = wait_for_lock(disk, path, options)?;
    let mut contents = match Journal::open(disk, &meta, false, true) {
        Ok((_, contents)) => contents,
        Err(Error::Format(_)) => Contents::default(),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Contents::default(),
        Err(e) => return Err(e),
    };
    // A pack whose file is gone was retired in a record that is lost. How far an open one was committed may be lost too: it is
    // found again as unknown.
    let paths = PackPaths::new(path.join("packs"));
    let is_gone = |pack: u32| disk.identity(&paths.car(pack)).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    contents.packs.retain(|pack, record| record.is_sealed && !is_gone(*pack));
    // What stands in a pack that is here may have been committed by a record that is not.
    let names = disk.list(paths.folder()).map_err(|e| Error::io("opening", paths.folder(), e))?;
    let last = names.iter().filter_map(|name| PackPaths::parse(name)).map(|(pack, _)| pack).max();
    contents.pack_next = contents.pack_next.max(last.map_or(0, |last| last.saturating_add(1)));
    contents.blobs.clear();
    contents.blob_disk_bytes = 0;
    for (digest, bytes) in crate::blob::found_on_disk(disk, path) {
        contents.apply(&Op::BlobSet { digest, bytes });
    }
    contents.blobs_gone.clear();
    contents.references.clear();
    for about in crate::reference::found_on_disk(disk, path) {
        contents.apply(&Op::ReferencesSet(about));
    }
    let kept = path.join("meta.damaged");
    let _ = disk.remove(&kept);
    match disk.link(&meta, &kept) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("keeping", &kept, e)),
        _ => {}
    }
    Journal::create(disk, &meta, &contents)?;
    disk.sync_dir(path).map_err(|e| Error::io("syncing", path, e))
}

/// Called with the lock just taken: takes in what others have committed, and puts right what a dead one left.
pub(crate) fn take_over(inner: &Arc<Inner>, is_first: bool) -> Result<()> {
    let mut report = RecoveryReport::default();
    let has_news = {
        let mut journal = locked(&inner.journal);
        let has_news = inner.refresh_from(&mut journal)?;
        report.meta_bytes_cut = journal.take_over()?;
        has_news
    };
    if is_first || has_news {
        let unknown = tidy(inner)?;
        recover_tail(inner, &mut report)?;
        adopt(inner, unknown, &mut report)?;
        report.blobs_kept = inner.recover_blobs()?;
        inner.tidy_references();
        inner.merge_if_many();
        inner.tidy_merged();
    } else {
        recover_tail(inner, &mut report)?;
    }
    if report != RecoveryReport::default() {
        let mut kept = locked(&inner.report);
        let indexes_rebuilt = kept.take().map(|old| old.indexes_rebuilt).unwrap_or_default();
        *kept = Some(RecoveryReport { indexes_rebuilt, ..report });
    }
    Ok(())
}

/// Removes what is left of retired packs and of temporary files. Returns the packs that the journal does not know.
fn tidy(inner: &Inner) -> Result<Vec<u32>> {
    let folder = inner.paths.folder();
    let names = inner.disk.list(folder).map_err(|e| Error::io("opening", folder, e))?;
    let state = inner.state();
    let mut unknown = Vec::new();
    let cars: HashSet<u32> =
        names.iter().filter_map(|name| PackPaths::parse(name)).filter(|(_, kind)| *kind == "car").map(|(pack, _)| pack).collect();
    for name in names {
        let is_left_over = match PackPaths::parse(&name) {
            None => name.ends_with(".new"),
            Some((pack, kind)) => match state.contents.packs.get(&pack) {
                Some(record) => record.is_sealed && kind == "log",
                None if state.contents.retired.contains(&pack) => true,
                // Of an adoption that came to nothing.
                None if kind == "idx" && !cars.contains(&pack) => true,
                None => {
                    if kind == "car" && state.active.as_ref().is_none_or(|active| active.id != pack) {
                        unknown.push(pack);
                    }
                    false
                }
            },
        };
        if is_left_over {
            let _ = inner.disk.remove(&folder.join(&name));
        }
    }
    unknown.sort_unstable();
    Ok(unknown)
}

/// Looks at what the open pack has after its last commit.
fn recover_tail(inner: &Inner, report: &mut RecoveryReport) -> Result<()> {
    // What an earlier attempt took in, and could not commit, is found again.
    if let Some(active) = &mut inner.state_mut().active {
        active.roll_back();
    }
    let Some((pack, file, committed)) = inner.state().active.as_ref().map(|active| (active.id, Arc::clone(&active.file), active.committed))
    else {
        return Ok(());
    };
    let path = inner.paths.car(pack);
    let now = file.identity().map_err(|e| Error::io("reading", &path, e))?;
    match inner.disk.identity(&path) {
        Ok(named) if named.is_same_file(&now) => {}
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("reading", &path, e)),
        // Someone has put another file in its place, or none.
        _ => {
            let mut state = inner.state_mut();
            state.active = None;
            inner.reconcile(&mut state)?;
            drop(state);
            return Ok(());
        }
    }
    if now.bytes == committed {
        return Ok(());
    }
    if now.bytes < committed {
        report.packs_cut.push(pack);
        // Nothing can be appended to it, and what is lost must stay known: seal it with the index of all it had.
        if let Some(active) = &mut inner.state_mut().active {
            active.readable = now.bytes;
        }
        return inner.seal(&locked(&inner.turn));
    }
    let map = file.map(now.bytes).map_err(|e| Error::io("mapping", &path, e))?;
    let mut found = Vec::new();
    let (end, _) = scan(&map, committed, now.bytes, Scan::Tail, &mut |entry, end| found.push((entry, end)));
    drop(map);
    keep(inner, pack, &*file, committed, end, now.bytes, report)?;
    report.blocks_kept += found.len() as u64;
    {
        let mut state = inner.state_mut();
        state.version += 1;
        if let Some(active) = &mut state.active {
            for (entry, end) in found {
                active.push(entry, end);
            }
        }
    }
    inner.commit_now(&locked(&inner.turn), Vec::new())
}

/// Writes the bytes from `start` to `end` of a pack once more, and cuts off the rest.
///
/// A failed sync may have left pages that the system takes for clean although the disk never got them. Written again, they are
/// part of the next sync.
fn keep(
    inner: &Inner,
    pack: u32,
    file: &dyn crate::disk::DiskFile,
    start: u64,
    end: u64,
    file_bytes: u64,
    report: &mut RecoveryReport,
) -> Result<()> {
    let path = inner.paths.car(pack);
    let failed = |e| Error::io("repairing", &path, e);
    let mut at = start;
    while at < end {
        let n = usize::try_from(STEP_BYTES.min(end - at)).unwrap_or(0);
        let mut buffer = vec![0; n];
        if crate::disk::read_full_at(file, &mut buffer, at).map_err(failed)? < n {
            return Err(failed(ErrorKind::UnexpectedEof.into()));
        }
        write_all_at(file, &mut [IoSlice::new(&buffer)], at).map_err(failed)?;
        at += n as u64;
    }
    if end < file_bytes {
        file.set_len(end).map_err(failed)?;
    }
    report.bytes_kept += end - start;
    report.bytes_cut += file_bytes - end;
    Ok(())
}

/// Moves sound sections forward over what stands between them, so that the pack is a CAR again: where they end now.
fn close_gaps(file: &dyn crate::disk::DiskFile, found: &mut [(Entry, u64)]) -> std::io::Result<u64> {
    let mut at = HEADER_BYTES;
    for (entry, end) in found {
        let start = entry.place.offset();
        let moved_end = at + (*end - start);
        if at < start {
            let section = read_copy(file, start, *end)?;
            if section.len() as u64 != *end - start {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            write_all_at(file, &mut [IoSlice::new(&section)], at)?;
            let block_bytes = usize::try_from(entry.place.block_bytes()).unwrap_or(usize::MAX);
            entry.place = Place::new(at, block_bytes).ok_or(ErrorKind::FileTooLarge)?;
            *end = moved_end;
        }
        at = moved_end;
    }
    Ok(at)
}

/// §7.4: takes in a pack that was sealed or adopted, without writing to it: it may be another's file as well. Whether it could be.
fn take_in_as_it_is(inner: &Inner, pack: u32, file: &dyn crate::disk::DiskFile, map: &Map, report: &mut RecoveryReport) -> Result<bool> {
    let front = map.get(0, map.len().min(ForeignHeader::BYTES_MAX as u64)).unwrap_or_default();
    let Ok((header, _)) = ForeignHeader::of(front) else { return Ok(false) };
    let mut entries = Vec::new();
    let (end, skipped) = scan(map, header.bytes, map.len(), Scan::Unknown, &mut |entry, _| entries.push(entry));
    report.bytes_kept += end - header.bytes;
    report.bytes_skipped += skipped;
    report.blocks_kept += entries.len() as u64;
    if !entries.is_empty() {
        report.packs_adopted.push(pack);
    }
    inner.take_in(pack, file, Foreign { header, length: end, entries })?;
    Ok(true)
}

/// Takes in packs that the journal does not know: left by a writer that died before its first commit, or by a lost journal.
fn adopt(inner: &Inner, unknown: Vec<u32>, report: &mut RecoveryReport) -> Result<()> {
    let last = unknown.last().copied();
    // Nothing in packs from here on was ever committed, as far as the journal goes back.
    let never_committed = inner.state().contents.pack_next;
    for pack in unknown {
        let path = inner.paths.car(pack);
        let failed = |what| {
            let path = path.clone();
            move |e| Error::io(what, &path, e)
        };
        let file = inner.disk.open(&path, true).map_err(failed("opening"))?;
        let bytes = file.identity().map_err(failed("reading"))?.bytes;
        let map = file.map(bytes).map_err(failed("mapping"))?;
        let header = map.get(0, HEADER_BYTES.min(bytes)).unwrap_or_default();
        let is_ours = HEADER.starts_with(header);
        let has_index = inner.disk.identity(&inner.paths.idx(pack)).is_ok();
        if (!is_ours || has_index && header.len() == HEADER.len()) && take_in_as_it_is(inner, pack, &*file, &map, report)? {
            continue;
        }
        if !is_ours {
            report.packs_foreign.push(pack);
            let mut state = inner.state_mut();
            state.contents.pack_next = state.contents.pack_next.max(pack.saturating_add(1));
            continue;
        }
        if header.len() < HEADER.len() {
            // Died while writing the header: begin again.
            write_all_at(&*file, &mut [IoSlice::new(&HEADER)], 0).map_err(failed("repairing"))?;
        }
        let mut found = Vec::new();
        let (mut end, mut skipped) = scan(&map, HEADER_BYTES, bytes, Scan::Unknown, &mut |entry, end| found.push((entry, end)));
        drop(map);
        let is_torn = skipped > 0 && pack >= never_committed;
        if is_torn {
            // Torn by a power cut, not damaged: what was skipped are writes that nobody was told of.
            end = close_gaps(&*file, &mut found).map_err(failed("repairing"))?;
            skipped = 0;
        }
        let turn = locked(&inner.turn);
        // Only one pack is open at a time.
        inner.seal(&turn)?;
        let is_left_open = Some(pack) == last && skipped == 0;
        keep(inner, pack, &*file, HEADER_BYTES, end, if is_left_open || is_torn { bytes.max(end) } else { end }, report)?;
        report.bytes_skipped += skipped;
        report.blocks_kept += found.len() as u64;
        if !found.is_empty() {
            report.packs_adopted.push(pack);
        }
        {
            let mut active = Active::new(pack, file, inner.map_bytes(), false);
            for (entry, end) in found {
                active.push(entry, end);
            }
            let mut state = inner.state_mut();
            state.version += 1;
            state.active = Some(active);
            state.contents.pack_next = state.contents.pack_next.max(pack.saturating_add(1));
        }
        inner.commit_now(&turn, Vec::new())?;
        if !is_left_open {
            inner.seal(&turn)?;
        }
    }
    Ok(())
}
