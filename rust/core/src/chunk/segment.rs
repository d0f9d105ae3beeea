//! One file cut in segments, side by side, with the cuts that cutting it from front to end gives.
//!
//! Where a segment's first chunk begins is known only when the segment before it was cut. But a chunker starts anew with every
//! chunk, so from the first cut that two runs have in common all later ones are the same. A segment is cut on a guess, from its
//! own first byte, while its true beginning is not known; from there, cutting goes on until it meets the guess. On ordinary bytes it
//! does within a few chunks. In a run of constant bytes it may never, and then everything is cut again: slower, not different.

use super::Chunker;

/// Ends of the chunks that begin in `bytes` at `start` and after, but before `until`, the first of them at `start`.
///
/// `bytes` has to hold [`Chunker::chunk_bytes_max`] bytes from `until` on, or end with the file (`at_end`).
#[must_use]
pub fn cuts(chunker: &Chunker, bytes: &[u8], start: usize, until: usize, at_end: bool) -> Vec<usize> {
    cuts_until_met(chunker, bytes, start, until, at_end, &[])
}

/// As [`cuts`], sooner done where `guess` is: the cuts of the same bytes from 0.
#[must_use]
pub fn cuts_until_met(chunker: &Chunker, bytes: &[u8], start: usize, until: usize, at_end: bool, guess: &[usize]) -> Vec<usize> {
    if start == 0 && !guess.is_empty() {
        return guess.to_vec();
    }
    let mut cutter = chunker.cutter();
    let mut ends = Vec::new();
    let mut guess = guess;
    let mut at = start;
    while at < until {
        let behind = guess.partition_point(|&end| end < at);
        guess = guess.get(behind..).unwrap_or_default();
        if guess.first() == Some(&at) {
            ends.extend(guess.iter().skip(1));
            break;
        }
        let Some(length) = bytes.get(at..).and_then(|rest| cutter.cut(rest, at_end)) else { break };
        at += length;
        ends.push(at);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The cuts of a file in segments of `segment` bytes, each on a guess first.
    fn cuts_in_segments(chunker: Chunker, data: &[u8], segment: usize) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut start = 0;
        for offset in (0..data.len()).step_by(segment) {
            let end = data.len().min(offset + segment + chunker.chunk_bytes_max());
            let (bytes, until, at_end) = (&data[offset..end], segment.min(data.len() - offset), end == data.len());
            let guess = cuts(&chunker, bytes, 0, until, at_end);
            let own = cuts_until_met(&chunker, bytes, start - offset, until, at_end, &guess);
            assert_eq!(own, cuts(&chunker, bytes, start - offset, until, at_end));
            ends.extend(own.iter().map(|&end| offset + end));
            start = ends.last().copied().unwrap_or(0);
        }
        ends
    }

    proptest! {
        // Segments cut on a guess and joined have the cuts of the whole, in ordinary bytes and in runs.
        #[test]
        fn segments_have_the_cuts_of_the_whole(
            runs in prop::collection::vec((0..4000usize, any::<bool>(), any::<u64>()), 1..12),
            segment in 600..5000usize,
            chunker in prop::sample::select(vec![
                "mincdc-100-500", "mincdc-4-100", "mincdc-599-600", "fastcdc-64-256-1024", "rabin-16-64-300", "size-77",
            ]),
        ) {
            let chunker: Chunker = chunker.parse().unwrap();
            let mut data = Vec::new();
            for (bytes, is_run, seed) in runs {
                let mut state = seed;
                data.extend((0..bytes).map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if is_run { (seed & 0xff) as u8 } else { (state >> 56) as u8 }
                }));
            }
            let whole = cuts(&chunker, &data, 0, data.len(), true);
            let segment = segment.max(chunker.chunk_bytes_max());
            prop_assert_eq!(whole, cuts_in_segments(chunker, &data, segment));
        }
    }
}
