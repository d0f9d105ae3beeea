//! Checks of taking things in: an archive with anything in it, and rules on what to leave out.

use crate::memory::{TIMES, bounded};
use crate::replay::Target;
use shoal_core::Cid;
use shoal_core::car::{Event, Limits, Reader};
use shoal_core::hash::verify;
use shoal_store::archive::{ImportOptions, export_car, import_car};
use shoal_store::disk::Disk;
use shoal_store::ingest::IgnoreRules;
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::{Operation, Options, Store};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// All of them, by name.
pub const TARGETS: &[Target] = &[("store_import", archive), ("ignore_rules", ignore_rules)];

/// The first buffers of an import hold one section at its limit of 2 MiB, then two: a small archive fills one, and a second is asked
/// for to see that nothing follows. The rest is the store's journal, which is read in steps.
const BUFFERS_BYTES: usize = 8 * 1024 * 1024;

/// Gives so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(buffer.len()).min(self.0.len());
        let (now, later) = self.0.split_at(n);
        buffer[..n].copy_from_slice(now);
        self.0 = later;
        Ok(n)
    }
}

fn new_store() -> Store {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/")).unwrap();
    Store::open(Arc::new(disk), Path::new("/store"), Options::default()).unwrap()
}

fn all(store: &Store) -> BTreeSet<Cid> {
    store.entries().unwrap().map(|entry| entry.unwrap().cid).collect()
}

/// All or nothing, and the same however the bytes come: what was taken in is what the archive holds, and every block of it is right.
/// Input: whether to pin (0x80) and how many bytes come at a time, then the archive.
pub fn archive(input: &[u8]) {
    let Some((&first, archive)) = input.split_first() else { return };
    let options = ImportOptions { pin_roots: first & 0x80 != 0, pin_name: None };
    let held = vec![0; BUFFERS_BYTES / TIMES + input.len()];
    let outcomes = [usize::MAX, usize::from(first & 0x7f) + 1].map(|step| {
        let store = new_store();
        let imported = bounded(TIMES, &held, || import_car(&store, &mut Pieces(archive, step), &options, &Operation::new()));
        match &imported {
            Ok(imported) => {
                assert!(imported.new_blocks <= imported.blocks && imported.new_bytes <= imported.bytes);
                assert_eq!(!store.pins().unwrap().is_empty(), options.pin_roots && !imported.roots.is_empty());
                for cid in all(&store) {
                    assert_eq!(verify(&cid, &store.block(&cid).unwrap()), Ok(()));
                }
                again(&store, &imported.roots);
            }
            Err(_) => assert!(all(&store).is_empty() && store.pins().unwrap().is_empty(), "a part was taken in"),
        }
        (imported.map_err(|error| error.to_string()), all(&store))
    });
    assert_eq!(outcomes[0].1, outcomes[1].1);
    assert_eq!(outcomes[0].0.as_ref().ok(), outcomes[1].0.as_ref().ok());
    if let Ok(imported) = &outcomes[0].0 {
        let blocks = by_reader(archive).expect("core's reader refuses what the store takes in");
        assert_eq!(blocks.len() as u64, imported.blocks);
    }
}

/// What was taken in can be given on and taken in again, where it is whole.
fn again(store: &Store, roots: &[Cid]) {
    let mut car = Vec::new();
    if roots.is_empty() || export_car(store, roots, &mut car, 1, &Operation::new()).is_err() {
        return;
    }
    let other = new_store();
    let imported = import_car(&other, &mut &car[..], &ImportOptions::default(), &Operation::new()).unwrap();
    assert_eq!(imported.roots, roots);
    assert!(all(&other).is_subset(&all(store)));
}

/// The blocks of an archive, as core's reader finds them.
fn by_reader(archive: &[u8]) -> Option<Vec<Cid>> {
    let mut reader = Reader::new(Limits::default());
    reader.push(archive);
    let mut blocks = Vec::new();
    while let Some(event) = reader.next().ok()? {
        if let Event::Block { cid, .. } = event {
            blocks.push(cid);
        }
    }
    reader.finish().ok().map(|()| blocks)
}

/// Rules may be anything, and are an error or answer for every path. A rule that is one plain name leaves out that name.
/// Input: rules, one a line; behind a NUL, a path.
pub fn ignore_rules(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (rules, path) = text.split_once('\0').unwrap_or((text, "folder/name.txt"));
    let rules = IgnoreRules { patterns: rules.lines().map(str::to_owned).collect(), files: vec![] };
    for is_directory in [false, true] {
        if let Ok(leaves_out) = rules.leaves_out(Path::new("/root"), &Path::new("/root").join(path.trim_start_matches('/')), is_directory) {
            let is_plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if let [rule] = &rules.patterns[..]
                && is_plain(rule)
                && is_plain(path)
            {
                assert_eq!(leaves_out, rule == path);
            }
        }
    }
}
