//! Rabin fingerprints: the remainder of the last 16 bytes, read as a polynomial over GF(2), cuts where its low bits are zero.
//!
//! Rabin, "Fingerprinting by random polynomials" (1981); polynomial and rules are those of Kubo's `rabin`, so the cuts are too.

use super::rolling::{self, Rolling};

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

/// Fingerprints that cut where these bits are zero.
#[derive(Clone, Copy)]
struct Fingerprint {
    mask: u64,
}

impl Rolling for Fingerprint {
    const WINDOW_BYTES: usize = WINDOW_BYTES;
    type State = u64;

    #[inline(always)]
    fn start(self, window: &[u8]) -> u64 {
        window.iter().fold(0, |fingerprint, &byte| append(fingerprint, byte))
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]
    fn roll(self, state: u64, outgoing: u8, incoming: u8) -> u64 {
        append(state, incoming) ^ TABLES.gone[usize::from(outgoing)]
    }

    #[inline(always)]
    fn cuts(self, state: u64) -> bool {
        state & self.mask == 0
    }
}

/// Length of the first chunk of `window`; see [`rolling::cut`].
pub(super) fn cut(window: &[u8], min: usize, avg: u32, max: usize, scanned: &mut usize) -> Option<usize> {
    // As many bits as make one in `avg`, rounded down to a power of two.
    let mask = (1 << avg.max(1).ilog2()) - 1;
    rolling::cut(Fingerprint { mask }, window, min, max, scanned)
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
}
