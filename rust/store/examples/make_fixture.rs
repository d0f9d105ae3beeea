//! Makes the store that `tests/vectors/store-v1` is: `cargo run -p shoal-store --example make_fixture -- FOLDER`.
//!
//! Writes `FOLDER/store`, with every kind of file that a store of this version has, and `FOLDER/expected.txt`, which says what is
//! in it. Made once for each version of the format, committed, and never again: what it shows is that later programs read it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a program for developers")]

use shoal_core::Cid;
use shoal_core::bao::Groups;
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::{Operation, Options, Pin, PinKind, Store, pinning};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What is no longer than a block is one, and no blob.
const BLOB_BYTES: usize = 2_200_000;

/// A blob's content: it repeats itself, so that the repository does not grow by all of it.
fn repeated(n: u64) -> Vec<u8> {
    painted(n, 1024).into_iter().cycle().take(BLOB_BYTES).collect()
}

/// Bytes that follow from a number.
fn painted(n: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut data);
    data
}

/// Two or three small blocks fill a pack, or one large one.
fn options() -> Options {
    Options { pack_bytes_max: 1000, journal_bytes_min: 2000, ..Options::default() }
}

fn small(n: u64) -> (Cid, Vec<u8>) {
    let data = painted(n, 400);
    (cid_v1(if n.is_multiple_of(2) { Hash::Blake3 } else { Hash::Sha256 }, codec::RAW, &data).unwrap(), data)
}

fn add(store: &Store, data: &[u8], layout: Layout, pin_name: &str) -> Cid {
    let profile = Profile { layout, ..Profile::blake3() };
    let options = AddOptions { profile, pin_name: Some(pin_name.to_owned()), threads: 1, ..AddOptions::default() };
    let report = add_stream(store, &mut &*data, "file".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap();
    report.roots.into_iter().next().unwrap().cid
}

fn pin(cid: &Cid, kind: PinKind, name: Option<&str>) -> Pin {
    Pin { cid: cid.clone(), kind, name: name.map(str::to_owned) }
}

/// Fills the store: the CIDs of blocks that were deleted, and the one that is said to be damaged.
fn fill(store: &Store) -> (Vec<Cid>, Cid) {
    // A file of one block of two groups, sealed with its tree file by what comes next.
    add(store, &painted(1000, 17_000), Layout::Balanced, "a file");
    let small: Vec<(Cid, Vec<u8>)> = (0..30).map(small).collect();
    for some in small.chunks(2) {
        let session = store.write().unwrap();
        some.iter().for_each(|(cid, data)| assert!(session.put(cid, data).unwrap()));
        // Commits that let the journal be rewritten.
        session.pin(pin(&some[0].0, PinKind::Direct, Some("for now"))).unwrap();
        session.commit().unwrap();
        pinning::remove(store, &some[0].0).unwrap();
    }
    // A blob, a blob that went, and one of which two groups came.
    add(store, &repeated(1001), Layout::Blob, "a blob");
    let gone = add(store, &repeated(1002), Layout::Blob, "gone");
    pinning::remove(store, &gone).unwrap();
    let session = store.write_exclusive().unwrap();
    session.delete(&[gone.clone(), small[3].0.clone(), small[29].0.clone()]).unwrap();
    session.commit().unwrap();
    half_a_blob(store);
    let session = store.write().unwrap();
    session.pin(pin(&small[6].0, PinKind::Recursive, None)).unwrap();
    session.pin(pin(&small[7].0, PinKind::Direct, Some("pinned ünd named"))).unwrap();
    // One copy is said to be damaged. It is sound, so that it can still be read.
    let entry = store.entries().unwrap().map(Result::unwrap).find(|entry| entry.cid == small[8].0).unwrap();
    session.mark_damaged(&[(entry.pack, entry.offset)]).unwrap();
    session.commit().unwrap();
    (vec![gone, small[3].0.clone(), small[29].0.clone()], small[8].0.clone())
}

fn half_a_blob(store: &Store) {
    let folder = tempfile::tempdir().unwrap();
    let whole = Store::open_path(folder.path(), Options::default()).unwrap();
    let cid = add(&whole, &repeated(1003), Layout::Blob, "whole");
    let groups: Groups = [0..1, 2..3].into_iter().collect();
    let mut slice = Vec::new();
    whole.export_slice(&cid, &|_| groups.clone(), &mut slice, &Operation::new()).unwrap();
    store.import_slice(&cid, &|_| groups.clone(), &mut slice.as_slice(), false, &Operation::new()).unwrap();
}

fn files(folder: &Path, inside: &mut BTreeMap<PathBuf, String>, root: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, inside, root);
        } else {
            let digest = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
            inside.insert(path.strip_prefix(root).unwrap().to_owned(), digest);
        }
    }
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap());
    let place = folder.join("store");
    let store = Store::open_path(&place, options()).unwrap();
    let (gone, marked) = fill(&store);
    let mut text = String::from("# What the store holds: made by rust/store/examples/make_fixture.rs.\n");
    for entry in store.entries().unwrap().map(Result::unwrap) {
        let block = store.block(&entry.cid).unwrap();
        writeln!(text, "block {} {} {}", entry.cid, entry.bytes, blake3::hash(&block).to_hex()).unwrap();
    }
    for (cid, bytes) in store.blobs().unwrap() {
        writeln!(text, "blob {cid} {bytes}").unwrap();
    }
    let partial = cid_v1(Hash::Blake3, codec::RAW, &repeated(1003)).unwrap();
    writeln!(text, "partial {partial} {BLOB_BYTES} 0 2").unwrap();
    writeln!(text, "marked {marked}").unwrap();
    for cid in gone {
        writeln!(text, "gone {cid}").unwrap();
    }
    for pin in store.pins().unwrap() {
        let kind = if pin.kind == PinKind::Recursive { "recursive" } else { "direct" };
        writeln!(text, "pin {} {kind} {}", pin.cid, pin.name.unwrap_or_default()).unwrap();
    }
    drop(store);
    let mut inside = BTreeMap::new();
    files(&place, &mut inside, &place);
    for (path, digest) in inside {
        writeln!(text, "file {} {digest}", path.display()).unwrap();
    }
    std::fs::write(folder.join("expected.txt"), text).unwrap();
}
