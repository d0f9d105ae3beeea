//! Digests: one at a time, and many at once.
//!
//! SHA-256 of one message is a serial chain, so [`digest_many`] hashes many messages side by side, one per SIMD lane
//! (crate `tape-sha256`), or on the SHA unit where that is faster. BLAKE3 is parallel inside a message.

use crate::cid::{Cid, CidError};

/// Multihash codes.
pub mod code {
    /// The digest is the data.
    pub const IDENTITY: u64 = 0x00;
    /// SHA-256.
    pub const SHA2_256: u64 = 0x12;
    /// SHA-512.
    pub const SHA2_512: u64 = 0x13;
    /// BLAKE3, 32 bytes unless asked otherwise.
    pub const BLAKE3: u64 = 0x1e;
}

/// The hashes Shoal makes and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256: what the IPFS network uses.
    Sha256,
    /// SHA-512.
    Sha512,
    /// BLAKE3 with 32 bytes of output.
    Blake3,
    /// No hash: the CID carries the data.
    Identity,
}

impl Hash {
    /// Multihash code.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::Sha256 => code::SHA2_256,
            Self::Sha512 => code::SHA2_512,
            Self::Blake3 => code::BLAKE3,
            Self::Identity => code::IDENTITY,
        }
    }

    /// The hash of a multihash code, where Shoal has it.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::Sha256, Self::Sha512, Self::Blake3, Self::Identity].into_iter().find(|h| h.code() == code)
    }

    /// The multicodec table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha2-256",
            Self::Sha512 => "sha2-512",
            Self::Blake3 => "blake3",
            Self::Identity => "identity",
        }
    }

    /// Reads a multicodec name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512, Self::Blake3, Self::Identity].into_iter().find(|h| h.name() == name)
    }
}

/// Why a block is not what its CID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// The bytes have another digest.
    Mismatch,
    /// The CID uses a hash that Shoal does not compute (its multihash code).
    UnknownHash(u64),
}

impl std::fmt::Display for VerifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mismatch => f.write_str("the bytes do not match the hash"),
            Self::UnknownHash(code) => write!(f, "hash 0x{code:x} is not supported (sha2-256, sha2-512, blake3 and identity are)"),
        }
    }
}
impl std::error::Error for VerifyError {}

/// The CIDv1 of a block. Fails only for the identity hash of a block over 128 bytes.
pub fn cid_v1(hash: Hash, codec: u64, data: &[u8]) -> Result<Cid, CidError> {
    match hash {
        Hash::Identity => Cid::v1(codec, code::IDENTITY, data),
        Hash::Sha512 => Cid::v1(codec, code::SHA2_512, &<sha2::Sha512 as sha2::Digest>::digest(data)),
        Hash::Sha256 | Hash::Blake3 => Cid::v1(codec, hash.code(), &digest_32(hash, data)),
    }
}

/// One 32-byte digest. Only for the hashes that have 32 bytes; others give their first 32.
#[must_use]
pub fn digest_32(hash: Hash, data: &[u8]) -> [u8; 32] {
    let mut out = [[0; 32]];
    digest_many(hash, &[data], &mut out);
    let [digest] = out;
    digest
}

/// The digests of many messages, `out[i]` that of `inputs[i]`. Of SHA-512 and identity, the first 32 bytes.
///
/// Fastest with [`lanes`] messages or a multiple; their lengths need not be equal, nor in any order.
pub fn digest_many(hash: Hash, inputs: &[&[u8]], out: &mut [[u8; 32]]) {
    debug_assert_eq!(inputs.len(), out.len());
    match hash {
        Hash::Sha256 => sha256_many(inputs, out),
        // One after another, since BLAKE3 fills the lanes from inside a message. That leaves messages of up to 1 KiB, which
        // are one chunk each, at a seventh of its speed (1.0 against 7.2 GiB/s here); hashing many of those side by side
        // needs functions that the crate does not offer for use.
        Hash::Blake3 => each(inputs, out, |input| *blake3::hash(input).as_bytes()),
        Hash::Sha512 => each(inputs, out, |input| first_32(&<sha2::Sha512 as sha2::Digest>::digest(input))),
        Hash::Identity => each(inputs, out, first_32),
    }
}

fn each(inputs: &[&[u8]], out: &mut [[u8; 32]], digest: impl Fn(&[u8]) -> [u8; 32]) {
    for (to, input) in out.iter_mut().zip(inputs) {
        *to = digest(input);
    }
}

fn first_32(bytes: &[u8]) -> [u8; 32] {
    let mut first = [0; 32];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

/// How many messages of like size make [`digest_many`] efficient: the SIMD lanes of SHA-256 on this machine, else 1.
#[must_use]
pub fn lanes(hash: Hash) -> usize {
    match hash {
        Hash::Sha256 => tape_sha256::lane_width(),
        Hash::Sha512 | Hash::Blake3 | Hash::Identity => 1,
    }
}

/// How this machine computes many SHA-256 digests, for logs and benchmarks (`avx512-16`, `shani-x4`, …).
#[must_use]
pub fn sha256_backend() -> &'static str {
    tape_sha256::backend()
}

/// Messages that the SHA unit works on side by side, each at nearly the speed it has alone.
const SHA_UNIT_STREAMS: usize = 4;

/// Whether there is a SHA unit (x86's SHA-NI) beside the lanes.
fn has_sha_unit() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// SHA-256 blocks of a message, padding included: what its hashing costs.
fn sha256_blocks(message: &[u8]) -> usize {
    message.len() / 64 + if message.len() % 64 < 56 { 1 } else { 2 }
}

/// Groups messages so that lanes are not left waiting for one long message.
///
/// `tape-sha256` fills its lanes in the order given, and a group takes as long as its longest message in every lane. So equal
/// lengths go straight to it, and others are sorted first. Where there are 16 lanes and a SHA unit, a group that would leave
/// more than six lanes idle goes to the unit instead.
///
/// Measured on one core of a Xeon with AVX-512 and SHA-NI, GiB/s (`cargo bench -p shoal-core --bench hash`; a shared machine,
/// so trust the ratios):
///
/// The better of two runs in each cell.
///
/// | messages of 64 KiB | 1 | 2 | 4 | 8 | 12 | 16 | 32 |
/// | --- | --- | --- | --- | --- | --- | --- | --- |
/// | `sha2`, one by one on SHA-NI | 1.70 | 1.70 | 1.51 | 1.71 | 1.59 | 1.73 | 1.73 |
/// | `tape-sha256` (up to 12 on SHA-NI, four at once; from 13 in lanes) | 1.65 | 1.63 | 1.96 | 2.11 | 1.88 | 3.38 | 3.41 |
///
/// With 1 MiB each, read from memory: 1.7 alone, 2.1 for eight, 2.8 for sixteen; with 4 KiB 1.6, 1.4 and 2.1 to 3.2. So
/// `tape-sha256` is a few percent behind `sha2` for one or two messages and twice as fast with full lanes: nothing worth a choice
/// for equal lengths.
/// For unequal ones, four streams do 2.0 of the lanes' 3.4, so the unit wins when fewer than ten lanes of sixteen have work:
/// with 15 messages of 4 KiB and one of 1 MiB, sorting and this rule make hashing 7.7 times as fast.
fn sha256_many(inputs: &[&[u8]], out: &mut [[u8; 32]]) {
    let first = inputs.first().map_or(0, |message| sha256_blocks(message));
    if inputs.iter().all(|message| sha256_blocks(message) == first) {
        return tape_sha256::hash_many(inputs, out);
    }
    let lanes = tape_sha256::lane_width();
    let prefers_unit = lanes > SHA_UNIT_STREAMS && has_sha_unit();
    let mut order: Vec<(&[u8], &mut [u8; 32])> = inputs.iter().copied().zip(out).collect();
    order.sort_by_key(|(message, _)| std::cmp::Reverse(message.len()));
    let mut rest = order.as_mut_slice();
    let mut messages = Vec::with_capacity(lanes);
    let mut digests = Vec::with_capacity(lanes);
    while let Some((longest, _)) = rest.first() {
        let longest = sha256_blocks(longest);
        let group = rest.get(..lanes).unwrap_or(rest);
        let total: usize = group.iter().map(|(message, _)| sha256_blocks(message)).sum();
        let taken = if prefers_unit && total < longest * 10 {
            group.iter().take(SHA_UNIT_STREAMS).take_while(|(message, _)| sha256_blocks(message) * 2 > longest).count()
        } else {
            group.len()
        };
        let (group, later) = rest.split_at_mut(taken);
        messages.clear();
        messages.extend(group.iter().map(|(message, _)| *message));
        digests.clear();
        digests.resize(taken, [0; 32]);
        tape_sha256::hash_many(&messages, &mut digests);
        for ((_, to), digest) in group.iter_mut().zip(&digests) {
            **to = *digest;
        }
        rest = later;
    }
}

/// Checks many blocks against their CIDs, SHA-256 ones side by side, and appends the positions of those that fail, ascending.
///
/// A block under a hash that Shoal does not compute fails too; [`verify`] says which of the two it is.
pub fn verify_many(blocks: &[(&Cid, &[u8])], failures: &mut Vec<usize>) {
    let earlier = failures.len();
    let mut positions = Vec::new();
    let mut messages = Vec::new();
    for (i, (cid, data)) in blocks.iter().enumerate() {
        if cid.hash() == code::SHA2_256 {
            positions.push(i);
            messages.push(*data);
        } else if verify(cid, data).is_err() {
            failures.push(i);
        }
    }
    let mut digests = vec![[0; 32]; messages.len()];
    digest_many(Hash::Sha256, &messages, &mut digests);
    for (i, digest) in positions.into_iter().zip(&digests) {
        let matches = blocks.get(i).is_some_and(|(cid, _)| digest.starts_with(cid.digest()));
        if !matches {
            failures.push(i);
        }
    }
    if let Some(new) = failures.get_mut(earlier..) {
        new.sort_unstable();
    }
}

/// Checks one block against its CID.
pub fn verify(cid: &Cid, data: &[u8]) -> Result<(), VerifyError> {
    let parts = cid.parts();
    let matches = match Hash::from_code(parts.hash) {
        None => return Err(VerifyError::UnknownHash(parts.hash)),
        Some(Hash::Identity) => parts.digest == data,
        Some(Hash::Sha512) => <sha2::Sha512 as sha2::Digest>::digest(data).starts_with(parts.digest),
        Some(Hash::Sha256) => digest_32(Hash::Sha256, data).starts_with(parts.digest),
        Some(Hash::Blake3) if parts.digest.len() <= 32 => blake3::hash(data).as_bytes().starts_with(parts.digest),
        Some(Hash::Blake3) => {
            let mut digest = vec![0; parts.digest.len()];
            blake3::Hasher::new().update(data).finalize_xof().fill(&mut digest);
            digest == parts.digest
        }
    };
    if matches { Ok(()) } else { Err(VerifyError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest;

    /// Bytes that differ at every place a mistake could confuse: message, block and byte.
    fn painted(seed: usize, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i ^ (i >> 8) ^ (seed * 131)).to_le_bytes()[0]).collect()
    }

    fn check_sha256(lengths: &[usize]) {
        let messages: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, &n)| painted(i, n)).collect();
        let inputs: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let mut out = vec![[0; 32]; inputs.len()];
        digest_many(Hash::Sha256, &inputs, &mut out);
        for (input, digest) in inputs.iter().zip(&out) {
            assert_eq!(*digest, <[u8; 32]>::from(sha2::Sha256::digest(input)), "{} bytes of {lengths:?}", input.len());
            assert_eq!(*digest, digest_32(Hash::Sha256, input));
        }
    }

    #[test]
    fn sha256_of_any_length_is_that_of_another_implementation() {
        check_sha256(&(0..300).collect::<Vec<_>>());
        check_sha256(&(0..300).rev().collect::<Vec<_>>());
        for n in 0..300 {
            check_sha256(&[n]);
        }
    }

    #[test]
    fn sha256_of_any_number_of_messages_is_right() {
        for count in 0..70 {
            check_sha256(&vec![200; count]);
            check_sha256(&(0..count).map(|i| i * 37 % 513).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sha256_is_right_around_every_block_and_lane_boundary() {
        for blocks in [1, 2, 3, 16, 1024] {
            let near: Vec<usize> = (blocks * 64 - 12..=blocks * 64 + 12).collect();
            check_sha256(&near);
            for &n in &near {
                check_sha256(&[n; 17]);
            }
        }
    }

    #[test]
    fn sha256_of_long_and_lopsided_messages_is_right() {
        let mib = 1 << 20;
        check_sha256(&[mib; 16]);
        check_sha256(&[mib; 5]);
        check_sha256(&[4096, mib, 0, 1, 4096, 65536, mib - 1, mib + 1, 55, 56, 63, 64, 65, 4095, 4097, 100, 3, 2]);
        check_sha256(&[&[mib][..], &[4096; 15]].concat());
        check_sha256(&[&[0; 40][..], &[mib, mib / 2], &[70; 40]].concat());
    }

    /// One process reaches the backends that its CPU is best at; this names them in the test's output. With AVX-512 and SHA-NI
    /// that is two, `avx512-16` from 13 messages and `shani-x4` below. Cargo reaches more of x86 on the same machine:
    /// `cargo test -p shoal-core --features tape-sha256/avx2 hash` (`avx2-8`) and `--features tape-sha256/scalar`
    /// (`portable-1`). Those of ARM need one; besides, the crate tests each backend against `sha2` as we do.
    #[test]
    #[expect(clippy::print_stdout, reason = "which backend ran is what this test is for")]
    fn the_backend_under_test_has_a_name_and_lanes() {
        println!("sha256 backend: {}, {} lanes, sha unit: {}", sha256_backend(), lanes(Hash::Sha256), has_sha_unit());
        assert!(!sha256_backend().is_empty());
        assert!((1..=32).contains(&lanes(Hash::Sha256)));
        assert_eq!([Hash::Blake3, Hash::Sha512, Hash::Identity].map(lanes), [1, 1, 1]);
    }

    #[test]
    fn every_hash_has_its_own_digest() {
        let data = painted(1, 1000);
        let mut out = [[0; 32]];
        digest_many(Hash::Blake3, &[&data], &mut out);
        assert_eq!(out, [*blake3::hash(&data).as_bytes()]);
        digest_many(Hash::Sha512, &[&data], &mut out);
        assert_eq!(out[0], sha2::Sha512::digest(&data)[..32]);
        digest_many(Hash::Identity, &[b"abc"], &mut out);
        assert!(out[0].starts_with(b"abc\0\0"));
    }

    #[test]
    fn the_cid_of_a_known_text_is_kubos() {
        let cid = cid_v1(Hash::Blake3, 0x55, b"foo\n").unwrap();
        assert_eq!(cid.to_string(), "bafkr4icj3sdq34o6p7lapfgoxtset5om3lsxll72uz5cjnrkzmb6aoo3si");
    }

    #[test]
    fn exactly_the_lying_blocks_are_found_among_many() {
        let hashes = [Hash::Sha256, Hash::Blake3, Hash::Sha512, Hash::Identity];
        let data: Vec<Vec<u8>> = (0..200).map(|i| painted(i, i * 7 % 129)).collect();
        let mut cids: Vec<Cid> = data.iter().enumerate().map(|(i, d)| cid_v1(hashes[i % 4], 0x55, d).unwrap()).collect();
        let lying = [0, 1, 2, 3, 50, 77, 198, 199];
        for &i in &lying {
            cids[i] = cid_v1(hashes[i % 4], 0x55, b"something else").unwrap();
        }
        // A hash nobody here computes (Keccak-256).
        cids[100] = Cid::v1(0x55, 0x1b, &[7; 32]).unwrap();
        let blocks: Vec<(&Cid, &[u8])> = cids.iter().zip(&data).map(|(c, d)| (c, d.as_slice())).collect();
        let mut failures = vec![usize::MAX];
        verify_many(&blocks, &mut failures);
        assert_eq!(failures, [usize::MAX, 0, 1, 2, 3, 50, 77, 100, 198, 199]);
        for (i, (cid, data)) in blocks.iter().enumerate() {
            assert_eq!(verify(cid, data).is_err(), failures.contains(&i), "{i}");
        }
        assert_eq!(verify(&cids[100], b""), Err(VerifyError::UnknownHash(0x1b)));
    }

    #[test]
    fn shortened_and_lengthened_digests_are_compared_as_far_as_they_go() {
        let data = b"block";
        let sha = Cid::v1(0x55, code::SHA2_256, &digest_32(Hash::Sha256, data)[..20]).unwrap();
        let mut long = [0; 100];
        blake3::Hasher::new().update(data).finalize_xof().fill(&mut long);
        let blake = Cid::v1(0x55, code::BLAKE3, &long).unwrap();
        let mut failures = Vec::new();
        verify_many(&[(&sha, data), (&blake, data), (&sha, b"other"), (&blake, b"other")], &mut failures);
        assert_eq!(failures, [2, 3]);
    }
}
