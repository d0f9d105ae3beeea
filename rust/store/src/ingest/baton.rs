//! Who may cut: the segments of a file know where their first chunk begins one after the other.
//!
//! A worker reads its segment, waits for its turn, cuts, hands the baton on and only then hashes: reading and hashing go on
//! side by side, and cutting, which takes a fraction of their time, in a row. Segments are given out in order to workers that
//! do nothing else meanwhile, so the one that is waited for is always at work. A worker that fails drops its turn, which ends
//! everyone's waiting.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct State {
    /// The segment that may cut.
    segment: u64,
    /// Where in the file its first chunk begins.
    start: u64,
    is_dropped: bool,
}

/// Goes from segment to segment of one file.
#[derive(Default)]
pub(super) struct Baton {
    state: Mutex<State>,
    changed: Condvar,
}

impl Baton {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment's place in the row.
pub(super) struct Turn {
    baton: Arc<Baton>,
    segment: u64,
    is_passed: bool,
}

impl Turn {
    pub fn new(baton: Arc<Baton>, segment: u64) -> Self {
        Self { baton, segment, is_passed: false }
    }

    /// Whether waiting would be over at once.
    pub fn has_come(&self) -> bool {
        let state = self.baton.lock();
        state.is_dropped || state.segment == self.segment
    }

    /// Waits for the segment before. Where the first chunk of this one begins; None when that will not be known.
    pub fn wait(&self) -> Option<u64> {
        let mut state = self.baton.lock();
        while state.segment != self.segment && !state.is_dropped {
            state = self.baton.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.is_dropped).then_some(state.start)
    }

    /// Hands the baton to the next segment, whose first chunk begins at `start`.
    pub fn pass(mut self, start: u64) {
        let mut state = self.baton.lock();
        (state.segment, state.start) = (self.segment + 1, start);
        self.is_passed = true;
        drop(state);
        self.baton.changed.notify_all();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_passed {
            self.baton.lock().is_dropped = true;
            self.baton.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_order_whoever_asks_first() {
        let baton = Arc::<Baton>::default();
        let turns: Vec<_> = (0..8).map(|segment| Turn::new(Arc::clone(&baton), segment)).collect();
        std::thread::scope(|scope| {
            for turn in turns.into_iter().rev() {
                scope.spawn(move || {
                    let segment = turn.segment;
                    assert_eq!(turn.wait(), Some(segment * 10));
                    turn.pass(segment * 10 + 10);
                });
            }
        });
        assert!(Turn::new(baton, 8).has_come());
    }

    /// An add that failed while one worker waited for another would never have ended.
    #[test]
    fn a_turn_that_is_dropped_ends_the_waiting_of_all() {
        let baton = Arc::<Baton>::default();
        let [first, second, third] = [0, 1, 2].map(|segment| Turn::new(Arc::clone(&baton), segment));
        assert!(first.has_come() && !second.has_come());
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(second.wait(), None));
            scope.spawn(|| assert_eq!(third.wait(), None));
            drop(first);
        });
        assert!(second.has_come());
    }
}
