//! How fast a store is verified, beside the bare hash of as many bytes in plain memory, both on all cores and in turns.
//!
//! `cargo run --release -p shoal-store --example verify_speed -- FOLDER MEBIBYTES [ROUNDS [KIND]]`: the folder should be in memory. It is
//! made, and removed at the end. The best round of each counts, since a machine that does other things too only ever takes time away;
//! and for the same reason the time of the processors is compared too, which others do not take.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the shell")]

#[path = "support/processor.rs"]
mod processor;

use processor::processor_seconds;
use shoal_core::chunk::Chunker;
use shoal_core::hash::{Hash, digest_many};
use shoal_core::unixfs::Profile;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::verify::verify;
use shoal_store::{Operation, Options, Store};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const MIB: usize = 1024 * 1024;
/// Messages hashed side by side: as many as `verify` takes.
const TOGETHER: usize = 32;

/// Adds the content as people do, in leaves of this length, and closes the store.
fn fill(folder: &Path, hash: Hash, content: &[u8], leaf_bytes: usize) {
    let store = Store::open_path(folder, Options::default()).unwrap();
    let chunker = Chunker::Size(u32::try_from(leaf_bytes).unwrap());
    let options = AddOptions { profile: Profile { hash, chunker, ..Profile::unixfs_v1_2025() }, ..AddOptions::default() };
    add_stream(&store, &mut &*content, "content".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap();
}

/// What some rounds took: the least by the clock, and the processors' time, which is only told in hundredths, together.
struct Rounds {
    seconds: f64,
    processor_seconds: f64,
}

impl Rounds {
    fn new() -> Self {
        Self { seconds: f64::MAX, processor_seconds: 0.0 }
    }

    fn round<T>(&mut self, job: impl FnOnce() -> T) -> T {
        let (begin, before) = (Instant::now(), processor_seconds());
        let result = job();
        self.seconds = self.seconds.min(begin.elapsed().as_secs_f64());
        self.processor_seconds += processor_seconds() - before;
        result
    }
}

/// All cores hash the content, leaf by leaf.
fn bare(hash: Hash, content: &[u8], leaf_bytes: usize) {
    let next = AtomicUsize::new(0);
    let batches: Vec<&[u8]> = content.chunks(leaf_bytes * TOGETHER).collect();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let inputs: Vec<&[u8]> = batch.chunks(leaf_bytes).collect();
                    let mut digests = vec![[0; 32]; inputs.len()];
                    digest_many(hash, &inputs, &mut digests);
                    std::hint::black_box(digests);
                }
            });
        }
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let bytes = arguments.next().unwrap().parse::<usize>().unwrap() * MIB;
    let rounds: usize = arguments.next().map_or(5, |rounds| rounds.parse().unwrap());
    let only = arguments.next();
    let mut content = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    std::fs::create_dir_all(&folder).unwrap();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{rounds} rounds, {} MiB, load {}", bytes / MIB, load.trim());
    for (hash, leaf_bytes) in [(Hash::Sha256, MIB), (Hash::Sha256, 65536), (Hash::Sha256, 4096), (Hash::Blake3, MIB), (Hash::Blake3, 4096)]
    {
        let kind = format!("{}/{}", hash.name(), leaf_bytes / 1024);
        if only.as_ref().is_some_and(|only| *only != kind) {
            continue;
        }
        let store = folder.join("store");
        fill(&store, hash, &content, leaf_bytes);
        let (mut hashed, mut verified) = (Rounds::new(), Rounds::new());
        for _ in 0..rounds {
            hashed.round(|| bare(hash, &content, leaf_bytes));
            let store = Store::open_path(&store, Options::default()).unwrap();
            assert!(verified.round(|| verify(&store, &Operation::new())).unwrap().is_sound());
        }
        let rate = |seconds: f64| bytes as f64 / seconds / 1e9;
        println!(
            "{kind:<14} bare hash {:6.2} GB/s   verify {:6.2} GB/s   {:.2} of it; by processor time {:.2}",
            rate(hashed.seconds),
            rate(verified.seconds),
            hashed.seconds / verified.seconds,
            hashed.processor_seconds / verified.processor_seconds
        );
        std::fs::remove_dir_all(&store).unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
