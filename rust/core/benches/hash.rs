//! Digests of many messages at once, against one after another: what `hash.rs` chooses by.
//!
//! `cargo bench -p shoal-core --bench hash`; one core, throughput in bytes of message.
#![allow(missing_docs, reason = "criterion's macros make public items without")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sha2::Digest;
use shoal_core::hash::{Hash, digest_many};
use std::hint::black_box;
use std::time::Duration;

const KIB: usize = 1024;

/// Messages that differ.
fn messages(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    lengths.into_iter().zip(0u8..).map(|(bytes, fill)| vec![fill; bytes]).collect()
}

fn sha256(c: &mut Criterion) {
    for (bytes, name) in [(KIB, "1KiB"), (4 * KIB, "4KiB"), (64 * KIB, "64KiB"), (1024 * KIB, "1MiB")] {
        let mut group = c.benchmark_group(format!("sha256/{name}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1000));
        for count in [1, 2, 4, 6, 8, 12, 16, 24, 32] {
            let messages = messages((0..count).map(|_| bytes));
            let inputs: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let mut out = vec![[0; 32]; count];
            group.throughput(Throughput::Bytes((bytes * count) as u64));
            group.bench_function(BenchmarkId::new("lanes", count), |b| b.iter(|| tape_sha256::hash_many(black_box(&inputs), &mut out)));
            group.bench_function(BenchmarkId::new("one_by_one", count), |b| {
                b.iter(|| {
                    for (digest, input) in out.iter_mut().zip(black_box(&inputs)) {
                        *digest = sha2::Sha256::digest(input).into();
                    }
                });
            });
            group.bench_function(BenchmarkId::new("digest_many", count), |b| {
                b.iter(|| digest_many(Hash::Sha256, black_box(&inputs), &mut out));
            });
        }
    }
}

/// One long message among short ones: what a batch of a directory's files looks like.
fn lopsided(c: &mut Criterion) {
    let mut group = c.benchmark_group("sha256/15x4KiB+1MiB");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1000));
    let messages = messages((0..16).map(|i| if i == 7 { 1024 * KIB } else { 4 * KIB }));
    let inputs: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut out = vec![[0; 32]; inputs.len()];
    group.throughput(Throughput::Bytes(inputs.iter().map(|m| m.len() as u64).sum()));
    group.bench_function("lanes", |b| b.iter(|| tape_sha256::hash_many(black_box(&inputs), &mut out)));
    group.bench_function("digest_many", |b| b.iter(|| digest_many(Hash::Sha256, black_box(&inputs), &mut out)));
}

fn blake3(c: &mut Criterion) {
    let mut group = c.benchmark_group("blake3");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1000));
    for bytes in [KIB, 4 * KIB, 64 * KIB, 1024 * KIB] {
        let messages = messages([bytes; 16]);
        let inputs: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let mut out = vec![[0; 32]; inputs.len()];
        group.throughput(Throughput::Bytes((bytes * inputs.len()) as u64));
        group.bench_function(BenchmarkId::new("digest_many/16", bytes), |b| {
            b.iter(|| digest_many(Hash::Blake3, black_box(&inputs), &mut out))
        });
    }
}

criterion_group!(benches, sha256, lopsided, blake3);
criterion_main!(benches);
