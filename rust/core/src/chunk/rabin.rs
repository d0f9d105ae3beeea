//! Rabin fingerprints: the remainder of the last 16 bytes, read as a polynomial over GF(2), cuts where its low bits are zero.
//!
//! Rabin, "Fingerprinting by random polynomials" (1981); polynomial and rules are those of Kubo's `rabin`, so the cuts are too.
//! The fingerprint depends on 16 bytes only, so several stretches of a window are rolled side by side.

/// Bytes under the fingerprint.
pub(super) const WINDOW_BYTES: usize = 16;

/// Kubo's irreducible polynomial, of degree 53.
const POLYNOMIAL: u64 = 17_437_180_132_763_653;
const DEGREE: u32 = 53;

/// `value · x^8` modulo the polynomial.
const fn times_x8(mut value: u64) -> u64 {
    let mut i = 0;
    while i < 8 {
        value <<= 1;
        if value >> DEGREE != 0 {
            value ^= POLYNOMIAL;
        }
        i += 1;
    }
    value
}

struct Tables {
    /// For the 8 bits that a shift by 8 pushes over the degree: what to add so that they are gone and reduced.
    carry: [u64; 256],
    /// A byte that has left the window, as far as it still stands in the fingerprint.
    gone: [u64; 256],
}

static TABLES: Tables = tables();

#[expect(clippy::indexing_slicing, reason = "evaluated when compiling")]
const fn tables() -> Tables {
    let mut tables = Tables { carry: [0; 256], gone: [0; 256] };
    let mut byte = 0;
    while byte < 256 {
        // The byte above the degree: b · x^53 = b · x^(48 + 5).
        let mut value = times_x8((byte as u64) << (DEGREE - 8));
        tables.carry[byte] = value | ((byte as u64) << DEGREE);
        value = byte as u64;
        let mut i = 0;
        while i < WINDOW_BYTES {
            value = times_x8(value);
            i += 1;
        }
        tables.gone[byte] = value;
        byte += 1;
    }
    tables
}

/// Adds `incoming` to a fingerprint.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a fingerprint has 53 bits, so its top 8 index a table of 256")]
fn append(fingerprint: u64, incoming: u8) -> u64 {
    (fingerprint << 8 | u64::from(incoming)) ^ TABLES.carry[(fingerprint >> (DEGREE - 8)) as usize & 0xff]
}

/// Adds `incoming` to a fingerprint and takes out `outgoing`, the byte 16 places before it.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]
fn roll(fingerprint: u64, outgoing: u8, incoming: u8) -> u64 {
    append(fingerprint, incoming) ^ TABLES.gone[usize::from(outgoing)]
}

fn fingerprint(window: &[u8]) -> u64 {
    window.iter().fold(0, |fingerprint, &byte| append(fingerprint, byte))
}

/// Stretches rolled side by side, and the candidates in each.
const LANES: usize = 4;
const LANE_CANDIDATES: usize = 512;

/// The first window of 16 bytes in `bytes` with a fingerprint of zero under `mask`: where it begins. One after the other.
fn find_scalar(bytes: &[u8], mask: u64) -> Option<usize> {
    let (first, _) = bytes.split_at_checked(WINDOW_BYTES)?;
    let mut rolling = fingerprint(first);
    if rolling & mask == 0 {
        return Some(0);
    }
    for (at, (&outgoing, &incoming)) in bytes.iter().zip(bytes.iter().skip(WINDOW_BYTES)).enumerate() {
        rolling = roll(rolling, outgoing, incoming);
        if rolling & mask == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Whether any of the `LANES * LANE_CANDIDATES` windows that begin in `bytes` has a fingerprint of zero under `mask`.
#[expect(clippy::indexing_slicing, reason = "the loop's bounds are those of the array")]
fn any_in_lanes(bytes: &[u8; LANES * LANE_CANDIDATES + WINDOW_BYTES], mask: u64) -> bool {
    let mut rolling: [u64; LANES] = std::array::from_fn(|lane| fingerprint(&bytes[lane * LANE_CANDIDATES..][..WINDOW_BYTES]));
    for at in 0..LANE_CANDIDATES {
        let mut hit = false;
        for (lane, rolling) in rolling.iter_mut().enumerate() {
            hit |= *rolling & mask == 0;
            let at = lane * LANE_CANDIDATES + at;
            *rolling = roll(*rolling, bytes[at], bytes[at + WINDOW_BYTES]);
        }
        if hit {
            return true;
        }
    }
    false
}

/// As [`find_scalar`], fast where hits are rare.
fn find(bytes: &[u8], mask: u64) -> Option<usize> {
    let mut at = 0;
    while let Some(stretch) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        if any_in_lanes(stretch, mask) {
            break;
        }
        at += LANES * LANE_CANDIDATES;
    }
    find_scalar(bytes.get(at..)?, mask).map(|found| at + found)
}

/// Length of the first chunk of `window`, if it shows. `scanned` remembers which lengths an earlier window ruled out.
pub(super) fn cut(window: &[u8], min: usize, avg: u32, max: usize, scanned: &mut usize) -> Option<usize> {
    // Lengths still to look at begin here. A length's fingerprint covers the 16 bytes before it.
    let from = min.max(*scanned).max(WINDOW_BYTES);
    let until = window.len().min(max);
    let mask = (1u64 << avg.max(1).ilog2()) - 1;
    let candidates = window.get(from - WINDOW_BYTES..until).unwrap_or_default();
    match find(candidates, mask) {
        Some(at) => Some(from + at),
        None if window.len() >= max => Some(max),
        None => {
            *scanned = from.max(until + 1);
            None
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Cuts by long division, bit by bit.
    pub fn oracle(mut data: &[u8], min: usize, avg: u32, max: usize) -> Vec<usize> {
        let mask = (1u128 << avg.ilog2()) - 1;
        let mut lengths = Vec::new();
        while !data.is_empty() {
            let is_cut = |n: &usize| {
                let window: [u8; 16] = data[n - 16..*n].try_into().unwrap();
                let mut value = u128::from_be_bytes(window);
                for bit in (53..128).rev() {
                    if value >> bit & 1 == 1 {
                        value ^= u128::from(POLYNOMIAL) << (bit - 53);
                    }
                }
                value & mask == 0
            };
            let end = data.len().min(max);
            let n = (min..end).find(is_cut).unwrap_or(end);
            lengths.push(n);
            data = &data[n..];
        }
        lengths
    }

    #[test]
    fn lanes_find_what_one_after_the_other_finds() {
        let mut bytes: Vec<u8> = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
        for mask_bits in [6, 9, 12, 14] {
            let mask = (1 << mask_bits) - 1;
            for start in (0..2000).step_by(7) {
                assert_eq!(find(&bytes[start..], mask), find_scalar(&bytes[start..], mask), "{mask_bits} {start}");
            }
        }
        // A run of zeros is a hit that can stand anywhere.
        let mask = (1 << 40) - 1;
        assert_eq!(find(&bytes, mask), None);
        for at in (0..bytes.len() - 16).step_by(61).chain(bytes.len() - 17..=bytes.len() - 16) {
            let kept: Vec<u8> = bytes[at..at + 16].to_vec();
            bytes[at..at + 16].fill(0);
            assert_eq!(find(&bytes, mask), Some(at));
            bytes[at..at + 16].copy_from_slice(&kept);
        }
    }
}
