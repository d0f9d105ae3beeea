//! What `shoal bench` measures without a store: this machine's speed at hashing and cutting.

use crate::cid::hash_named;
use crate::error::invalid;
use crate::operation::{Watch, run};
use pyo3::prelude::*;
use shoal_core::chunk::{Chunker, ChunkerError};
use shoal_core::hash::{Hash, digest_many};
use std::time::Instant;

/// The data measured is this long, or shorter, and gone through again and again: larger than caches, smaller than memory.
const DATA_BYTES_MAX: usize = 64 * 1024 * 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
const THREADS_MAX: usize = 256;

/// Bytes without repetition, the same every time.
fn painted(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut data = Vec::with_capacity(bytes);
    while data.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let next = (state ^ (state >> 29)).to_le_bytes();
        data.extend_from_slice(next.get(..next.len().min(bytes - data.len())).unwrap_or_default());
    }
    data
}

/// Hashes chunks of 1 MiB, many side by side, `bytes` in all.
fn hash_all(hash: Hash, data: &[u8], bytes: usize, check: &dyn Fn() -> shoal_store::Result<()>) -> shoal_store::Result<()> {
    let chunks: Vec<&[u8]> = data.chunks(CHUNK_BYTES).collect();
    let mut digests = vec![[0; 32]; 16];
    let mut left = bytes;
    while left > 0 {
        for some in chunks.chunks(16) {
            check()?;
            if let Some(out) = digests.get_mut(..some.len()) {
                digest_many(hash, some, out);
            }
            left = left.saturating_sub(some.iter().map(|chunk| chunk.len()).sum());
            if left == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Seconds to hash so many bytes in memory, with so many threads.
#[pyfunction]
#[pyo3(signature = (hash, bytes, threads = 1))]
pub fn bench_hash(py: Python<'_>, hash: &str, bytes: u64, threads: usize) -> PyResult<f64> {
    let hash = hash_named(py, hash)?;
    if !matches!(hash, Hash::Sha256 | Hash::Blake3) {
        return Err(invalid(py, "hashes to measure are blake3 and sha2-256"));
    }
    if !(1..=THREADS_MAX).contains(&threads) || bytes == 0 {
        return Err(invalid(py, "measuring takes at least one byte, and 1 to 256 threads"));
    }
    let share = usize::try_from(bytes / threads as u64).unwrap_or(usize::MAX).max(1);
    run(py, &Watch::default(), |operation| {
        let data = painted(share.min(DATA_BYTES_MAX / threads.min(8)));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| hash_all(hash, &data, share, &|| operation.check()))).collect();
            let mut outcome = hash_all(hash, &data, share, &|| operation.check());
            for other in others {
                outcome = outcome.and(other.join().unwrap_or(Err(shoal_store::Error::Cancelled)));
            }
            outcome
        })?;
        Ok(begun.elapsed().as_secs_f64())
    })
}

/// Seconds to find the cuts of so many bytes in memory, with one thread.
#[pyfunction]
pub fn bench_chunk(py: Python<'_>, chunker: &str, bytes: u64) -> PyResult<f64> {
    let chunker: Chunker = chunker.parse().map_err(|e: ChunkerError| invalid(py, &e.to_string()))?;
    if bytes == 0 {
        return Err(invalid(py, "measuring takes at least one byte"));
    }
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    run(py, &Watch::default(), |operation| {
        let data = painted(bytes.min(DATA_BYTES_MAX));
        let begun = Instant::now();
        let mut left = bytes;
        while left > 0 {
            let mut cutter = chunker.cutter();
            let mut rest = data.get(..left.min(data.len())).unwrap_or_default();
            left -= rest.len();
            while let Some(length) = cutter.cut(rest, true) {
                operation.check()?;
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        Ok(begun.elapsed().as_secs_f64())
    })
}
