//! Checks of the store: any of its files mangled, with checksums left wrong or made right again, and then read, recovered, verified.
//!
//! Checksums would keep a fuzzer out of everything behind them. So the checks can seal what was changed, by their own reading of
//! docs/formats. The law that holds all the same: no wrong byte leaves the store, nothing panics, and opening costs what is there.
//!
//! Input: a byte of [flags](`FLAG_SEAL`), then [edits](crate::edits).

use crate::edits::edit_all;
use crate::memory::{TIMES, bounded};
use crate::replay::Target;
use shoal_core::Cid;
use shoal_core::hash::{Hash, cid_v1};
use shoal_store::disk::Disk;
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::read::FileReader;
use shoal_store::{Operation, Options, Store};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// All of them, by name.
pub const TARGETS: &[Target] =
    &[("store_meta", meta), ("store_pack", pack), ("store_log", log), ("store_index", index), ("store_tree", tree), ("store_files", files)];

/// Checksums are made right after the edits.
pub const FLAG_SEAL: u8 = 1;
/// Opened to rebuild the journal.
pub const FLAG_REBUILD: u8 = 2;
/// Written to, which recovers first.
pub const FLAG_WRITE: u8 = 4;
/// Verified as a whole.
pub const FLAG_VERIFY: u8 = 8;

/// A journal is read by steps of 256 KiB, and walked beside what it says.
const OPEN_BYTES: usize = 1024 * 1024;
const STORE: &str = "/store";

/// Edits of the journal (docs/formats/meta.md).
pub fn meta(input: &[u8]) {
    mangle(input, &["meta"]);
}

/// Edits of the packs (docs/formats/pack.md): one sealed, one open, one that nobody knows.
pub fn pack(input: &[u8]) {
    mangle(input, &["packs/00000000.car", "packs/00000001.car", "packs/00000099.car"]);
}

/// Edits of the open pack's log of commits.
pub fn log(input: &[u8]) {
    mangle(input, &["packs/00000099.log", "open.log"]);
}

/// Edits of the indexes (docs/formats/pack-index.md).
pub fn index(input: &[u8]) {
    mangle(input, &["packs/00000000.idx", "packs/00000001.idx", "index/00000000.mrg"]);
}

/// Edits of a pack's tree file (docs/formats/pack-tree.md).
pub fn tree(input: &[u8]) {
    mangle(input, &["packs/00000000.tree", "packs/00000000.car"]);
}

/// Edits of any file, and new ones with any content.
pub fn files(input: &[u8]) {
    mangle(
        input,
        &[
            "meta",
            "SHOAL",
            "lock",
            "packs/00000000.car",
            "packs/00000000.idx",
            "packs/00000000.tree",
            "open.car",
            "open.log",
            "packs/00000099.car",
            "packs/00000099.log",
            "index/00000000.mrg",
            "index/00000001.mrg",
            "meta.new",
            "packs/4294967295.car",
        ],
    );
}

type Blocks = Vec<(Cid, Vec<u8>)>;

fn options(flags: u8, read_only: bool) -> Options {
    Options {
        pack_bytes_max: 6000,
        lock_wait: Duration::ZERO,
        rebuild_meta: flags & FLAG_REBUILD != 0 && !read_only,
        read_only,
        reserve_bytes: 1000,
        ..Options::default()
    }
}

fn painted(n: u8, bytes: usize) -> (Cid, Vec<u8>) {
    let mut data = vec![0; bytes];
    blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut data);
    let hash = if n.is_multiple_of(2) { Hash::Blake3 } else { Hash::Sha256 };
    (cid_v1(hash, 0x55, &data).unwrap(), data)
}

/// A store of sealed packs under a merged index and an open one with a log; what is in it; and the open pack's number.
fn small_store() -> &'static (MemoryDisk, Blocks, u32) {
    static STORE_ONCE: OnceLock<(MemoryDisk, Blocks, u32)> = OnceLock::new();
    STORE_ONCE.get_or_init(|| {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/")).unwrap();
        let store = Store::open(Arc::new(disk.clone()), Path::new(STORE), options(0, false)).unwrap();
        let blocks: Blocks = (0..30).map(|n| painted(n, if n == 0 { 40_000 } else { 300 + 300 * usize::from(n % 20) })).collect();
        for some in blocks.chunks(3) {
            let session = store.write().unwrap();
            some.iter().for_each(|(cid, data)| assert!(session.put(cid, data).unwrap()));
            session.commit().unwrap();
        }
        let open = store.packs().unwrap().iter().find(|pack| !pack.is_sealed).map(|pack| pack.pack);
        assert!(disk.open(Path::new("/store/index/00000000.mrg"), false).is_ok());
        (disk, blocks, open.unwrap())
    })
}

fn path(name: &str) -> PathBuf {
    let open = small_store().2;
    Path::new(STORE).join(name.replace("open.", &format!("packs/{open:08}.")))
}

fn mangle(input: &[u8], names: &[&str]) {
    let (&flags, edits) = input.split_first().unwrap_or((&0, &[]));
    let disk = small_store().0.copied();
    let paths: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
    edit_all(&disk, &paths, edits, flags & FLAG_SEAL != 0);
    for read_only in [true, false] {
        let held = vec![0; OPEN_BYTES / TIMES + 200_000 + input.len()];
        let opened = bounded(TIMES, &held, || Store::open(Arc::new(disk.clone()), Path::new(STORE), options(flags, read_only)));
        if let Ok(store) = opened {
            look(&store, flags);
            if !read_only && flags & FLAG_WRITE != 0 {
                write(&store);
                look(&store, flags);
            }
        }
    }
}

/// What is found is right.
fn look(store: &Store, flags: u8) {
    for (cid, data) in &small_store().1 {
        if let Ok(block) = store.block(cid) {
            assert!(*block == **data, "wrong bytes for {cid}");
        }
        let _ = (store.has(cid), store.size(cid), store.pin(cid));
        if let Ok(mut file) = FileReader::open(store, cid) {
            let mut some = [0; 500];
            for offset in [0, 17_000, 39_900] {
                if let Ok(n) = file.read_at(offset, &mut some) {
                    let start = usize::try_from(offset).unwrap().min(data.len());
                    assert!(data[start..].starts_with(&some[..n]), "wrong bytes in {cid} at {offset}");
                }
            }
        }
    }
    let _ = (store.stat(), store.packs(), store.pins(), store.recovery());
    if let Ok(entries) = store.entries() {
        for entry in entries.take(1000).flatten() {
            let _ = store.size(&entry.cid);
        }
    }
    if flags & FLAG_VERIFY != 0 {
        let _ = shoal_store::verify::verify(store, &Operation::default());
    }
}

/// Recovers, adds a block, and commits.
fn write(store: &Store) {
    let (cid, data) = painted(200, 1000);
    let Ok(session) = store.write() else { return };
    let is_put = session.put(&cid, &data).is_ok();
    if is_put
        && session.commit().is_ok()
        && let Ok(block) = store.block(&cid)
    {
        assert!(*block == *data);
    }
}
