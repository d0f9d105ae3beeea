//! Checks of blobs: the files of a whole one and of a partial one mangled, and then read, given on, filled, recovered, verified.
//!
//! Nothing of these files is believed but what leads up to the digest. So the law holds whatever they say: no wrong byte leaves
//! the store, to a reader or in a slice; what a map claims costs no memory; and a blob that is filled to its end is right.
//!
//! Input: a byte of flags, as for [the store](crate::store::FLAG_SEAL), then [edits](crate::edits).

use crate::edits::edit_all;
use crate::memory::{TIMES, bounded};
use crate::replay::Target;
use crate::store::{FLAG_REBUILD, FLAG_SEAL, FLAG_VERIFY, FLAG_WRITE};
use shoal_core::Cid;
use shoal_core::bao::{GROUP_BYTES, Groups, Part, SLICE_HEADER_BYTES, Slice, Tree};
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::disk::Disk;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::read::FileReader;
use shoal_store::{Error, Operation, Options, Store};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// All of them, by name.
pub const TARGETS: &[Target] = &[("store_blob", blob), ("store_slice", slice)];

const STORE: &str = "/store";
/// What looking at a store's blobs may cost: steps of 1 MiB, a page of the tree, and the journal, which is read by steps too.
const LOOK_BYTES: usize = 3 * 1024 * 1024;

/// A file, and the tree that proves it.
struct Painted {
    data: Vec<u8>,
    cid: Cid,
    tree: Tree,
}

impl Painted {
    fn new(bytes: usize, paint: u8) -> Self {
        let mut data = vec![0; bytes];
        blake3::Hasher::new().update(&[paint]).finalize_xof().fill(&mut data);
        let cid = cid_v1(Hash::Blake3, codec::RAW, &data).unwrap();
        let tree = Tree::of(&data);
        Self { data, cid, tree }
    }

    fn path(&self, kind: &str) -> PathBuf {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let digest = self.cid.digest();
        Path::new(STORE).join("blobs").join(hex(&digest[..1])).join(format!("{}.{kind}", hex(digest)))
    }

    /// A slice, its length in front, as a peer who has it all would send it.
    fn slice(&self, wanted: &Groups) -> Vec<u8> {
        let bytes = self.data.len() as u64;
        let mut out = bytes.to_le_bytes().to_vec();
        let mut slice = Slice::new(&self.tree.digest(), bytes, wanted.clone());
        while let Some(part) = slice.next() {
            let from = out.len();
            match part {
                Part::Pair(node) => out.extend_from_slice(&self.tree.pair(node)),
                Part::Group { index, .. } => {
                    out.extend_from_slice(self.data.chunks(GROUP_BYTES).nth(usize::try_from(index).unwrap()).unwrap())
                }
            }
            slice.accept(&out[from..]).unwrap();
        }
        out
    }
}

/// A disk with a store of a whole blob and a partial one, and what they are in truth.
struct Small {
    disk: MemoryDisk,
    whole: Painted,
    partial: Painted,
    paths: Vec<PathBuf>,
}

/// The groups of the partial blob that are here: the first, some in its middle, not the last.
fn here() -> Groups {
    [0..3, 62..67].into_iter().collect()
}

fn options(flags: u8, read_only: bool) -> Options {
    Options { lock_wait: Duration::ZERO, rebuild_meta: flags & FLAG_REBUILD != 0 && !read_only, read_only, ..Options::default() }
}

fn open(disk: &MemoryDisk, flags: u8, read_only: bool) -> shoal_store::Result<Store> {
    Store::open(Arc::new(disk.clone()), Path::new(STORE), options(flags, read_only))
}

fn small() -> &'static Small {
    static ONCE: OnceLock<Small> = OnceLock::new();
    ONCE.get_or_init(|| {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/")).unwrap();
        let store = open(&disk, 0, false).unwrap();
        let whole = Painted::new(BLOCK_BYTES_MAX + 1, 1);
        let partial = Painted::new(BLOCK_BYTES_MAX + 3 * GROUP_BYTES + 17, 2);
        let profile = Profile { layout: Layout::Blob, ..Profile::blake3() };
        let add = AddOptions { profile, threads: 1, ..AddOptions::default() };
        let report = add_stream(&store, &mut &whole.data[..], "whole".into(), &add, &Operation::new(), &mut |_| Ok(())).unwrap();
        assert_eq!(report.roots[0].cid, whole.cid);
        let slice = partial.slice(&here());
        store.import_slice(&partial.cid, &|_| here(), &mut &slice[..], false, &Operation::new()).unwrap();
        let mut paths: Vec<PathBuf> = ["data", "tree", "damaged", "partial.map"].iter().map(|kind| whole.path(kind)).collect();
        paths.extend(["partial.data", "partial.tree", "partial.map", "data", "tree"].iter().map(|kind| partial.path(kind)));
        paths.extend(["meta", "blobs/1-1.named.new", "blobs/1-1.data.new"].iter().map(|name| Path::new(STORE).join(name)));
        Small { disk, whole, partial, paths }
    })
}

/// Edits of all files that blobs have, and of the journal that names them.
pub fn blob(input: &[u8]) {
    let (&flags, edits) = input.split_first().unwrap_or((&0, &[]));
    let disk = small().disk.copied();
    edit_all(&disk, &small().paths, edits, flags & FLAG_SEAL != 0);
    let held = vec![0; LOOK_BYTES / TIMES + input.len()];
    for read_only in [true, false] {
        let Ok(store) = bounded(TIMES, &held, || open(&disk, flags, read_only)) else { continue };
        bounded(TIMES, &held, || look_at_both(&store));
        if flags & FLAG_VERIFY != 0 {
            let _ = shoal_store::verify::verify(&store, &Operation::default());
        }
        if !read_only && flags & FLAG_WRITE != 0 {
            fill(&store, &small().partial);
            look_at_both(&store);
        }
    }
}

fn look_at_both(store: &Store) {
    look(store, &small().whole);
    look(store, &small().partial);
}

/// What is read of a blob, or given on, is right.
fn look(store: &Store, painted: &Painted) {
    let (cid, data) = (&painted.cid, &painted.data);
    let _ = (store.has(cid), store.size(cid), store.blob_bytes(cid), store.stat());
    if let Ok(Some(present)) = store.present(cid) {
        let _ = present.is_whole();
    }
    if let Ok(mut file) = FileReader::open(store, cid) {
        let mut some = vec![0; 20_000];
        for offset in [0, 1_000_000, 1_040_000, file.size().saturating_sub(20_000)] {
            if let Ok(n) = file.read_at(offset, &mut some) {
                let start = usize::try_from(offset).unwrap().min(data.len());
                assert!(data[start..].starts_with(&some[..n]), "wrong bytes in {cid} at {offset}");
            }
        }
    }
    let wanted = here();
    let mut out = Vec::new();
    if store.export_slice(cid, &|_| wanted.clone(), &mut out, &Operation::new()).is_ok() {
        // The word on the length is proved by the last group only.
        assert!(out[SLICE_HEADER_BYTES..] == painted.slice(&wanted)[SLICE_HEADER_BYTES..], "a wrong slice of {cid}");
    }
}

/// Takes in what is missing of a blob. When that ends well, the blob is whole and right.
fn fill(store: &Store, painted: &Painted) {
    let all = Groups::all(painted.data.len() as u64);
    let filled = store.import_slice(&painted.cid, &|_| all.clone(), &mut &painted.slice(&all)[..], true, &Operation::new());
    match filled {
        Ok(present) => assert!(present.is_whole() && present.bytes == painted.data.len() as u64),
        Err(Error::Options(_)) => drop(store.discard_partial(&painted.cid)),
        Err(_) => {}
    }
}

/// A slice from a stranger, for a blob of which nothing is here: what is taken in is right, and a claimed length costs nothing.
/// Input: length (8 bytes), first group wanted, how many; then edits to the slice of the right length: where (4 bytes), a byte.
pub fn slice(input: &[u8]) {
    let Some(([length @ .., first, count], edits)) = input.split_first_chunk::<10>() else { return };
    let painted = &small().partial;
    let right = painted.data.len() as u64;
    let bytes = u64::from_le_bytes(*length);
    let wanted: Groups = std::iter::once(u64::from(*first)..u64::from(*first) + u64::from(*count)).filter(|run| !run.is_empty()).collect();
    let within: Groups = wanted.runs().map(|run| run.start..run.end.min(Groups::all(right).end())).filter(|run| !run.is_empty()).collect();
    let mut slice = painted.slice(&within);
    // Zero is the right length.
    if bytes != 0 {
        slice[..SLICE_HEADER_BYTES].copy_from_slice(length);
    }
    for [a, b, c, change, cut] in edits.as_chunks::<5>().0 {
        let at = usize::try_from(u32::from_le_bytes([*a, *b, *c, 0])).unwrap() % slice.len();
        slice[at] ^= change;
        if *cut == 255 {
            slice.truncate(at.max(SLICE_HEADER_BYTES));
        }
    }
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/")).unwrap();
    let store = open(&disk, 0, false).unwrap();
    // The disk is in memory: what is kept on it counts, and a file that grows is held twice.
    let held = vec![0; (LOOK_BYTES + 3 * painted.data.len()) / TIMES + input.len()];
    let taken = bounded(TIMES, &held, || store.import_slice(&painted.cid, &|_| wanted.clone(), &mut &slice[..], false, &Operation::new()));
    if let Ok(present) = &taken {
        assert!(present.groups.runs().all(|run| run.end <= Groups::all(right).end()));
    }
    bounded(TIMES, &held, || look(&store, painted));
}
