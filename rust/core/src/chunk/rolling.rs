//! The search that chunkers with a rolling hash share: the first length between two bounds whose hash cuts.
//!
//! A hash covers the last few bytes only, so a window's stretches can be rolled side by side: six chains of dependent steps keep a
//! core busy where one would wait. Which stretch is looked at when changes nothing: the first hit counts.

/// A hash of the last [`Rolling::WINDOW_BYTES`] bytes, and when it cuts.
pub(super) trait Rolling: Copy {
    /// Bytes under the hash; at most [`WINDOW_BYTES_MAX`].
    const WINDOW_BYTES: usize;
    /// A hash.
    type State: Copy;
    /// The hash of a window of that many bytes.
    fn start(self, window: &[u8]) -> Self::State;
    /// The hash one byte on: `incoming` in, and `outgoing`, the first of the old window, out.
    fn roll(self, state: Self::State, outgoing: u8, incoming: u8) -> Self::State;
    /// Whether a chunk ends with the window.
    fn cuts(self, state: Self::State) -> bool;
}

/// No window is longer.
const WINDOW_BYTES_MAX: usize = 32;
/// Stretches rolled side by side, and the windows that begin in each. Of 4, 6 and 8 stretches six were fastest, by 20 % and more.
const LANES: usize = 6;
const LANE_WINDOWS: usize = 512;

/// Length of the first chunk of `window`, from `min` (the hash's window at least) to `max`, if it shows. `scanned` remembers
/// which lengths an earlier, shorter window ruled out.
pub(super) fn cut<R: Rolling>(hash: R, window: &[u8], min: usize, max: usize, scanned: &mut usize) -> Option<usize> {
    let from = min.max(*scanned).max(R::WINDOW_BYTES);
    let until = window.len().min(max);
    // A length's hash covers the bytes before it.
    let candidates = window.get(from - R::WINDOW_BYTES..until).unwrap_or_default();
    match find(hash, candidates) {
        Some(at) => Some(from + at),
        None if window.len() >= max => Some(max),
        None => {
            *scanned = from.max(until + 1);
            None
        }
    }
}

/// Where the first window in `bytes` that cuts begins.
fn find<R: Rolling>(hash: R, bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(stretch) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        if any_in_lanes(hash, stretch) {
            break;
        }
        at += LANES * LANE_WINDOWS;
    }
    find_scalar(hash, bytes.get(at..)?).map(|found| at + found)
}

/// As [`find`], one window after the other.
fn find_scalar<R: Rolling>(hash: R, bytes: &[u8]) -> Option<usize> {
    let (first, incoming) = bytes.split_at_checked(R::WINDOW_BYTES)?;
    let mut state = hash.start(first);
    if hash.cuts(state) {
        return Some(0);
    }
    for (at, (&outgoing, &incoming)) in bytes.iter().zip(incoming).enumerate() {
        state = hash.roll(state, outgoing, incoming);
        if hash.cuts(state) {
            return Some(at + 1);
        }
    }
    None
}

/// Whether any of the `LANES * LANE_WINDOWS` windows that begin in `bytes` cuts.
#[expect(clippy::indexing_slicing, reason = "the loop's bounds are those of the array")]
fn any_in_lanes<R: Rolling>(hash: R, bytes: &[u8; LANES * LANE_WINDOWS + WINDOW_BYTES_MAX]) -> bool {
    let mut states: [R::State; LANES] = std::array::from_fn(|lane| hash.start(&bytes[lane * LANE_WINDOWS..][..R::WINDOW_BYTES]));
    for at in 0..LANE_WINDOWS {
        let mut hit = false;
        for (lane, state) in states.iter_mut().enumerate() {
            hit |= hash.cuts(*state);
            let at = lane * LANE_WINDOWS + at;
            *state = hash.roll(*state, bytes[at], bytes[at + R::WINDOW_BYTES]);
        }
        if hit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of a window's bytes, which cuts where it is zero.
    #[derive(Clone, Copy)]
    struct Sum;

    impl Rolling for Sum {
        const WINDOW_BYTES: usize = 16;
        type State = u32;
        fn start(self, window: &[u8]) -> u32 {
            window.iter().map(|&byte| u32::from(byte)).sum()
        }
        fn roll(self, state: u32, outgoing: u8, incoming: u8) -> u32 {
            state + u32::from(incoming) - u32::from(outgoing)
        }
        fn cuts(self, state: u32) -> bool {
            state == 0
        }
    }

    #[test]
    fn a_single_hit_is_found_wherever_it_stands() {
        let len = 3 * LANES * LANE_WINDOWS + 777;
        let mut bytes = vec![1u8; len];
        assert_eq!(find(Sum, &bytes), None);
        for at in 0..=len - 16 {
            bytes[at..at + 16].fill(0);
            assert_eq!(find(Sum, &bytes), Some(at));
            bytes[at..at + 16].fill(1);
        }
    }

    #[test]
    fn of_two_hits_the_first_counts() {
        let mut bytes = vec![1u8; 2 * LANES * LANE_WINDOWS];
        // The later one is met earlier, being nearer to the start of its lane.
        for (first, second) in [(500, 520), (511, 512), (100, 5 * LANE_WINDOWS + 1), (LANES * LANE_WINDOWS - 1, LANES * LANE_WINDOWS + 20)]
        {
            bytes[first..first + 16].fill(0);
            bytes[second..second + 16].fill(0);
            assert_eq!(find(Sum, &bytes), Some(first));
            bytes.fill(1);
        }
    }
}
