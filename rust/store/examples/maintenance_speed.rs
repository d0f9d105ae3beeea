//! How fast archives go out and in, stores are verified and collected, beside the bare hash on one core.
//!
//! `cargo run --release -p shoal-store --example maintenance_speed -- FOLDER MEBIBYTES`: the folder should be in memory. It is made,
//! takes three times the bytes, and is removed at the end.
//! `… -- FOLDER ARCHIVE`: takes in this CAR and writes it again, which must give the same bytes.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a tool for the shell")]

#[path = "support/processor.rs"]
mod processor;

use processor::processor_seconds;
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::dag::pb;
use shoal_core::hash::{Hash, cid_v1, digest_many};
use shoal_store::archive::{ImportOptions, export_car, import_car};
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::verify::verify;
use shoal_store::walk::{RefsOptions, WalkOptions, refs, stat, walk};
use shoal_store::{Operation, Options, PinKind, Store, pinning};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const MIB: usize = 1024 * 1024;

fn timed<T>(what: &str, bytes: u64, job: impl FnOnce() -> T) -> T {
    let (start, processor) = (Instant::now(), processor_seconds());
    let result = job();
    let (seconds, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - processor);
    let rate = bytes as f64 / seconds / 1e6;
    println!("{what:<30}{seconds:8.3} s {rate:8.0} MB/s {processor:8.2} s of processor {:6} MB of memory", megabytes());
    result
}

/// Memory of this process without mapped files, now.
fn megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0)
    };
    field("RssAnon:") / 1024
}

fn node(hash: Hash, children: &[Cid]) -> (Cid, Vec<u8>) {
    let links: Vec<_> = children.iter().map(|cid| pb::Link { cid: cid.clone(), name: Some(b""), dag_bytes: Some(0) }).collect();
    let mut block = Vec::new();
    pb::encode(&links, None, false, &mut block);
    (cid_v1(hash, codec::DAG_PB, &block).unwrap(), block)
}

/// Puts a DAG of so many leaves, and pins its root.
fn fill(store: &Store, hash: Hash, leaves: usize, leaf_bytes: usize) -> Cid {
    let session = store.write().unwrap();
    let mut leaf = vec![0; leaf_bytes];
    let mut children = Vec::new();
    for n in 0..leaves as u64 {
        blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut leaf);
        let cid = cid_v1(hash, codec::RAW, &leaf).unwrap();
        session.put(&cid, &leaf).unwrap();
        children.push(cid);
    }
    let inner: Vec<Cid> = children
        .chunks(1024)
        .map(|children| {
            let (cid, block) = node(hash, children);
            session.put(&cid, &block).unwrap();
            cid
        })
        .collect();
    let (root, block) = node(hash, &inner);
    session.put(&root, &block).unwrap();
    session.commit().unwrap();
    pinning::add(store, &root, PinKind::Recursive, None, &Operation::new()).unwrap();
    root
}

fn measure(folder: &Path, name: &str, hash: Hash, leaves: usize, leaf_bytes: usize) {
    println!("\n{name}");
    let bytes = (leaves * leaf_bytes) as u64;
    let open = |name: &str| Store::open_path(&folder.join(name), Options::default()).unwrap();
    let store = open("one");
    let sample: Vec<Vec<u8>> = (0..64u8).map(|n| vec![n; leaf_bytes]).collect();
    let inputs: Vec<&[u8]> = sample.iter().map(Vec::as_slice).collect();
    let mut digests = vec![[0; 32]; inputs.len()];
    timed("the bare hash, one core", (64 * leaf_bytes) as u64, || digest_many(hash, &inputs, &mut digests));
    let root = timed("made", bytes, || fill(&store, hash, leaves, leaf_bytes));
    let operation = Operation::new();
    timed("walk, leaves looked up", bytes, || {
        walk(&store, std::slice::from_ref(&root), WalkOptions::default(), &operation, &mut |_| Ok(())).unwrap()
    });
    let car = folder.join("out.car");
    for version in [1, 2] {
        let mut file = File::create(&car).unwrap();
        timed(&format!("export, version {version}"), bytes, || {
            export_car(&store, std::slice::from_ref(&root), &mut file, version, &operation).unwrap()
        });
    }
    let options = ImportOptions { pin_roots: true, pin_name: None };
    let other = open("two");
    let import = |what: &str, store: &Store| {
        timed(what, bytes, || import_car(store, &mut File::open(&car).unwrap(), &options, &operation).unwrap());
    };
    import("import, all new", &other);
    import("import, nothing new", &other);
    let report = timed("verify", bytes, || verify(&other, &operation).unwrap());
    assert!(report.is_sound());
    std::fs::remove_dir_all(folder.join("one")).unwrap();
    drop(store);
    // Half of the leaves go, spread over all packs.
    let session = other.write().unwrap();
    let mut half = Vec::new();
    walk(&other, std::slice::from_ref(&root), WalkOptions::default(), &operation, &mut |visited| {
        if visited.cid.codec() == codec::RAW && half.len() < leaves / 2 {
            half.push(visited.cid.clone());
        }
        Ok(())
    })
    .unwrap();
    let inner: Vec<Cid> = half
        .chunks(1024)
        .map(|children| {
            let (cid, block) = node(hash, children);
            session.put(&cid, &block).unwrap();
            cid
        })
        .collect();
    let (kept, block) = node(hash, &inner);
    session.put(&kept, &block).unwrap();
    session.commit().unwrap();
    pinning::add(&other, &kept, PinKind::Recursive, None, &operation).unwrap();
    pinning::remove(&other, &root).unwrap();
    let options = CollectOptions { dry_run: true, ..CollectOptions::default() };
    timed("collect, dry run", bytes, || collect(&other, options, &operation).unwrap());
    let done = timed("collect half", bytes, || collect(&other, CollectOptions::default(), &operation).unwrap());
    println!("{done:?}");
    drop(other);
    std::fs::remove_dir_all(folder.join("two")).unwrap();
    std::fs::remove_file(&car).unwrap();
}

/// Imports an archive that somebody else has made, and does all that can be done with it.
fn measure_archive(folder: &Path, archive: &Path) {
    let bytes = std::fs::metadata(archive).unwrap().len();
    let store = Store::open_path(&folder.join("one"), Options::default()).unwrap();
    let operation = Operation::new();
    let options = ImportOptions { pin_roots: true, pin_name: None };
    let imported = timed("import, all new", bytes, || import_car(&store, &mut File::open(archive).unwrap(), &options, &operation).unwrap());
    println!("{imported:?}");
    let again =
        timed("import, nothing new", bytes, || import_car(&store, &mut File::open(archive).unwrap(), &options, &operation).unwrap());
    assert_eq!((again.blocks, again.new_blocks), (imported.blocks, 0));
    for root in &imported.roots {
        println!("{:?}", timed("stat", bytes, || stat(&store, root, &operation).unwrap()));
        let all = RefsOptions { is_recursive: true, ..RefsOptions::default() };
        println!("{} refs", timed("refs, recursive", bytes, || refs(&store, root, all, Arc::default()).map(Result::unwrap).count()));
    }
    let out = folder.join("out.car");
    timed("export, version 1", bytes, || export_car(&store, &imported.roots, &mut File::create(&out).unwrap(), 1, &operation).unwrap());
    let digest = |path: &Path| blake3::Hasher::new().update_reader(File::open(path).unwrap()).unwrap().finalize();
    assert_eq!(digest(&out), digest(archive), "the archive is not the same");
    assert!(timed("verify", bytes, || verify(&store, &operation).unwrap()).is_sound());
    timed("collect, nothing to do", bytes, || collect(&store, CollectOptions::default(), &operation).unwrap());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let what = arguments.next().unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let Ok(mebibytes) = what.parse::<usize>() else {
        measure_archive(&folder, Path::new(&what));
        std::fs::remove_dir_all(&folder).unwrap();
        return;
    };
    let bytes = mebibytes * MIB;
    measure(&folder, "BLAKE3, leaves of 1 MiB", Hash::Blake3, bytes / MIB, MIB);
    measure(&folder, "SHA-256, leaves of 1 MiB", Hash::Sha256, bytes / MIB, MIB);
    measure(&folder, "SHA-256, leaves of 4 KiB", Hash::Sha256, bytes / 4096, 4096);
    std::fs::remove_dir_all(&folder).unwrap();
}
