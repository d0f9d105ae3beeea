//! Checks of what stands in files outside: the table that says so mangled, the files changed, and then read, checked, forgotten.
//!
//! The law: no wrong byte leaves the store, nothing panics, opening costs what is there, and after a table was dropped the store works.
//!
//! Input as of [`crate::store`]: a byte of flags, then [edits](crate::edits).

use crate::edits::edit_all;
use crate::memory::{TIMES, bounded};
use crate::replay::Target;
use crate::store::{FLAG_REBUILD, FLAG_SEAL, FLAG_VERIFY, FLAG_WRITE};
use shoal_core::Cid;
use shoal_core::chunk::Chunker;
use shoal_core::unixfs::Profile;
use shoal_store::disk::{Disk, read_to_end};
use shoal_store::ingest::{AddOptions, add};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::read::FileReader;
use shoal_store::reference::{Forget, check, forget, list};
use shoal_store::{Operation, Options, Store};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// By name.
pub const TARGETS: &[Target] = &[("store_references", references)];

/// As of the other checks of the store.
const OPEN_BYTES: usize = 1024 * 1024;
const STORE: &str = "/store";
const TABLE: &str = "/store/references/00000000.ref";
/// Leaves of 1000 bytes, enough for two pages of entries.
const FILE_BYTES: usize = 120_000;

fn options(flags: u8) -> Options {
    Options { lock_wait: Duration::ZERO, rebuild_meta: flags & FLAG_REBUILD != 0, reserve_bytes: 1000, ..Options::default() }
}

fn painted() -> Vec<u8> {
    let mut data = vec![0; FILE_BYTES];
    blake3::Hasher::new().update(b"outside").finalize_xof().fill(&mut data);
    data
}

/// A store over one file outside, added with two profiles; the roots.
fn small_store() -> &'static (MemoryDisk, Vec<Cid>) {
    static STORE_ONCE: OnceLock<(MemoryDisk, Vec<Cid>)> = OnceLock::new();
    STORE_ONCE.get_or_init(|| {
        // Files outside are on the real disk, whichever the store is on.
        let folder = std::env::temp_dir().join(format!("shoal-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("outside");
        std::fs::File::create(&path).and_then(|mut file| std::io::Write::write_all(&mut file, &painted())).unwrap();
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/")).unwrap();
        let store = Store::open(Arc::new(disk.clone()), Path::new(STORE), options(0)).unwrap();
        let profiles = [Profile::blake3(), Profile::unixfs_v1_2025()].map(|profile| Profile { chunker: Chunker::Size(1000), ..profile });
        let add_one = |profile| {
            let options = AddOptions { profile, nocopy: true, threads: 1, ..AddOptions::default() };
            add(&store, std::slice::from_ref(&path), &options, &Operation::default(), &mut |_| Ok(())).unwrap().roots[0].cid.clone()
        };
        let roots = profiles.into_iter().map(add_one).collect();
        // Under the name that the check edits, whichever number it has.
        let table = disk.list(Path::new("/store/references")).unwrap().into_iter().next().unwrap();
        let bytes = read_to_end(&*disk.open(&Path::new("/store/references").join(&table), false).unwrap(), 0).unwrap();
        assert!(bytes.len() > 3 * 4096 && disk.list(Path::new("/store/references")).unwrap().len() == 1);
        (disk, roots)
    })
}

/// The table's path.
fn table(disk: &MemoryDisk) -> PathBuf {
    let name = disk.list(Path::new("/store/references")).unwrap().into_iter().next();
    name.map_or_else(|| PathBuf::from(TABLE), |name| Path::new("/store/references").join(name))
}

/// Edits of a table of references (docs/formats/references.md), and of the journal that names it.
pub fn references(input: &[u8]) {
    let (&flags, edits) = input.split_first().unwrap_or((&0, &[]));
    let disk = small_store().0.copied();
    let paths = [table(&disk), PathBuf::from("/store/meta")];
    edit_all(&disk, &paths, edits, flags & FLAG_SEAL != 0);
    let held = vec![0; OPEN_BYTES / TIMES + 200_000 + input.len()];
    let Ok(store) = bounded(TIMES, &held, || Store::open(Arc::new(disk.clone()), Path::new(STORE), options(flags))) else { return };
    look(&store, flags);
    if flags & FLAG_WRITE != 0 {
        let _ = forget(&store, &Forget::Changed, &Operation::default());
        look(&store, flags);
        let _ = forget(&store, &Forget::Paths(vec![std::env::temp_dir()]), &Operation::default());
        look(&store, flags);
    }
}

/// What is found is right.
fn look(store: &Store, flags: u8) {
    let expected = painted();
    for root in &small_store().1 {
        let Ok(mut file) = FileReader::open(store, root) else { continue };
        let mut some = vec![0; 5000];
        for offset in [0usize, 999, 60_500, 119_000] {
            if let Ok(n) = file.read_at(offset as u64, &mut some) {
                assert!(expected[offset..].starts_with(&some[..n]), "wrong bytes at {offset}");
            }
        }
    }
    let _ = (store.stat(), store.pins(), list(store, &Operation::default()));
    let _ = check(store, flags & FLAG_VERIFY != 0, &Operation::default(), &mut |_| Ok(()));
    if flags & FLAG_VERIFY != 0 {
        let _ = shoal_store::verify::verify(store, &Operation::default());
    }
}
