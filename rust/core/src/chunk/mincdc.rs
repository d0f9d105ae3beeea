//! MinCDC: of all places a chunk may end, the one behind the four bytes with the largest product; of equals, the last.
//!
//! After Peters, "MinCDC" (2025): a search for an extreme has no chain of dependent steps, so a SIMD register looks at as many
//! places as it has lanes. Only MAX − MIN places of a chunk are looked at. Lengths spread evenly over MIN to MAX, and none is
//! forced.
//!
//! A chunk is decided once MAX bytes of it are there, from those alone: how the input was split cannot matter. Of equal
//! windows the last wins, so a run of constant bytes is cut into chunks of MAX bytes, as few as can be, all alike. Rules:
//! profiles §3.6.

mod scan;
mod widths;

/// Bytes that are multiplied, and so the least a chunk may have.
pub(super) const WINDOW_BYTES: usize = 4;

/// Length of the first chunk of `window`. None when it shows fewer than `max` bytes.
pub(super) fn cut(window: &[u8], min: usize, max: usize) -> Option<usize> {
    if window.len() < max {
        return None;
    }
    // A length's window is the bytes before it.
    let from = min.max(WINDOW_BYTES);
    let candidates = window.get(from - WINDOW_BYTES..max).unwrap_or_default();
    Some(widths::last_largest(candidates).map_or(max, |at| from + at))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Cuts by the sentence at the top of this file.
    pub fn oracle(mut data: &[u8], min: usize, max: usize) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !data.is_empty() {
            let product = |n: usize| u32::from_le_bytes(data[n - 4..n].try_into().unwrap()).wrapping_mul(2_933_177_281);
            let n = if data.len() < max { data.len() } else { (min..=max).max_by_key(|&n| product(n)).unwrap() };
            lengths.push(n);
            data = &data[n..];
        }
        lengths
    }

    #[test]
    fn no_run_of_one_byte_beats_an_ordinary_window() {
        // All 256 have products in the lower half, so where anything else is to be had a cut does not fall into a run.
        for byte in 0..=u8::MAX {
            assert!(scan::product([byte; 4]) < 1 << 31, "{byte}");
        }
    }

    #[test]
    fn a_constant_run_is_cut_into_longest_chunks() {
        for byte in [0, 1, 0x7f, 0xff] {
            let data = vec![byte; 10 * 96 + 95];
            assert_eq!(oracle(&data, 32, 96), [vec![96; 10], vec![95]].concat());
            assert_eq!(cut(&data, 32, 96), Some(96));
        }
    }
}
