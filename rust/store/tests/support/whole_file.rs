//! Content of a whole file, and the CID it has as one blob.
#![expect(clippy::cast_possible_truncation, reason = "tests")]

use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};

pub const GROUP: usize = 16 * 1024;
pub const MIB: usize = 1024 * 1024;

pub fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i / 7) % 251) as u8 ^ (i % 256) as u8).collect()
}

pub fn cid_of(data: &[u8]) -> Cid {
    cid_v1(Hash::Blake3, codec::RAW, data).unwrap()
}
