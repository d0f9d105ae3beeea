//! The search for the largest product, written once and compiled for several widths of registers (see `widths`).
//!
//! Plain Rust that the compiler turns into SIMD: the windows that begin at 0, 4, 8, … lie in a row, as do those from 1, 2 and
//! 3 on, so four slices of words cover them all with ordinary loads. A block's largest product is found first, and where it
//! stands only in the block that won.

use super::WINDOW_BYTES;

/// Windows of a block. 1 KiB keeps the second look short and the first free of overhead.
const BLOCK_WINDOWS: usize = 1024;
const BLOCK_BYTES: usize = BLOCK_WINDOWS + WINDOW_BYTES - 1;

/// Odd, so that different windows have different products. It is −255 · 5,340,353 modulo 2³², so a run of the byte b has the product
/// 5,340,353 · b: below 2³¹ for every b. The largest of many products is in the upper half, so a run does not win against ordinary bytes.
const FACTOR: u32 = 2_933_177_281;

/// A window's rank.
#[inline(always)]
pub(super) fn product(window: [u8; WINDOW_BYTES]) -> u32 {
    u32::from_le_bytes(window).wrapping_mul(FACTOR)
}

/// Where the window with the largest product begins, of equals the last. None when there is no window.
#[inline(always)]
pub(super) fn last_largest(bytes: &[u8]) -> Option<usize> {
    let Some(last) = bytes.len().checked_sub(BLOCK_BYTES) else { return last_largest_of_few(bytes) };
    let (mut best, mut best_at) = (0, 0);
    let mut at = 0;
    loop {
        // The last block ends with the input, and may look again at what the one before it saw.
        at = at.min(last);
        let block = bytes.get(at..).and_then(|rest| rest.first_chunk())?;
        let largest = largest(block);
        if largest >= best {
            (best, best_at) = (largest, at);
        }
        if at == last {
            break;
        }
        at += BLOCK_WINDOWS;
    }
    let block = bytes.get(best_at..best_at + BLOCK_BYTES)?;
    // Odd multiples differ: the window itself can be looked for.
    last_with(block, best).map(|found| best_at + found)
}

/// The largest product of a block.
#[inline(always)]
fn largest(block: &[u8; BLOCK_BYTES]) -> u32 {
    let words =
        |phase: usize| block.get(phase..).and_then(|rest| rest.first_chunk::<BLOCK_WINDOWS>()).map_or(&[][..], |row| row.as_chunks().0);
    let rows = words(0).iter().zip(words(1)).zip(words(2)).zip(words(3));
    rows.fold(0, |best, (((&a, &b), &c), &d)| best.max(product(a)).max(product(b)).max(product(c)).max(product(d)))
}

#[inline(always)]
fn rank(window: &[u8]) -> u32 {
    window.first_chunk().map_or(0, |&window| product(window))
}

/// Where the last window with that product begins.
#[inline(always)]
fn last_with(bytes: &[u8], wanted: u32) -> Option<usize> {
    bytes.windows(WINDOW_BYTES).rposition(|window| rank(window) == wanted)
}

fn last_largest_of_few(bytes: &[u8]) -> Option<usize> {
    let largest = bytes.windows(WINDOW_BYTES).map(rank).max()?;
    last_with(bytes, largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one window with the largest of all products.
    fn greatest() -> [u8; 4] {
        let inverse = (0..5).fold(1u32, |x, _| x.wrapping_mul(2u32.wrapping_sub(FACTOR.wrapping_mul(x))));
        let window = inverse.wrapping_neg().to_le_bytes();
        assert_eq!(product(window), u32::MAX);
        window
    }

    #[test]
    fn a_single_largest_window_is_found_wherever_it_stands() {
        for len in [4, 5, 7, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 77] {
            let mut bytes = vec![0u8; len];
            for at in 0..=len - 4 {
                bytes[at..at + 4].copy_from_slice(&greatest());
                assert_eq!(last_largest(&bytes), Some(at), "{len}");
                bytes[at..at + 4].fill(0);
            }
        }
    }

    #[test]
    fn of_equal_windows_the_last_counts() {
        let len = 3 * BLOCK_WINDOWS + 100;
        for (first, second) in [(0, 1000), (10, 1023), (10, 1024), (10, 2047), (1023, 1027), (100, 3 * BLOCK_WINDOWS + 90), (5, 9)] {
            let mut bytes = vec![0u8; len];
            bytes[first..first + 4].copy_from_slice(&greatest());
            bytes[second..second + 4].copy_from_slice(&greatest());
            assert_eq!(last_largest(&bytes), Some(second));
        }
        for len in [0, 1, 3] {
            assert_eq!(last_largest(&vec![7; len]), None);
        }
        for len in [4, 5, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5000] {
            assert_eq!(last_largest(&vec![7; len]), Some(len - 4));
        }
    }
}
