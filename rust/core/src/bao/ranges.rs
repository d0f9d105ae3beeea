//! Sets of groups: which are asked for, and which are there.
//!
//! Kept as disjoint runs that do not touch, so memory follows the number of gaps, never the size that someone claims.

use super::group::{GROUP_BYTES, groups};
use std::collections::BTreeMap;
use std::ops::Range;

/// A set of group numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(
    /// The first of each run, and the one behind its last.
    BTreeMap<u64, u64>,
);

impl Groups {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All groups of a message.
    #[must_use]
    pub fn all(bytes: u64) -> Self {
        let mut all = Self::new();
        all.insert(0..groups(bytes));
        all
    }

    /// The groups that a range of bytes touches. Of a range that begins at or behind the end, the last group, which proves
    /// where the end is.
    #[must_use]
    pub fn of_bytes(range: Range<u64>, bytes: u64) -> Self {
        let mut touched = Self::new();
        if range.start < range.end {
            let last = groups(bytes) - 1;
            let first = (range.start / GROUP_BYTES as u64).min(last);
            touched.insert(first..((range.end - 1) / GROUP_BYTES as u64).min(last) + 1);
        }
        touched
    }

    /// Adds a run.
    pub fn insert(&mut self, run: Range<u64>) {
        let Range { mut start, mut end } = run;
        if start >= end {
            return;
        }
        // Runs that overlap or touch the new one become part of it: one that begins before, and those that begin within.
        if let Some((&first, &behind)) = self.0.range(..start).next_back()
            && behind >= start
        {
            start = first;
            end = end.max(behind);
        }
        while let Some((&first, &behind)) = self.0.range(start..=end).next() {
            self.0.remove(&first);
            end = end.max(behind);
        }
        self.0.insert(start, end);
    }

    /// Adds another set.
    pub fn insert_all(&mut self, other: &Self) {
        other.runs().for_each(|run| self.insert(run));
    }

    /// The runs, ascending.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many groups.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs().map(|run| run.end - run.start).sum()
    }

    /// Behind the last group; 0 when there are none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, &end)| end)
    }

    /// Whether this group is in.
    #[must_use]
    pub fn contains(&self, group: u64) -> bool {
        self.contains_run(group..group.saturating_add(1))
    }

    /// Whether all groups of a run are in.
    #[must_use]
    pub fn contains_run(&self, run: Range<u64>) -> bool {
        run.is_empty() || self.0.range(..=run.start).next_back().is_some_and(|(_, &end)| end >= run.end)
    }

    /// Whether any group of a run is in.
    #[must_use]
    pub fn touches(&self, run: Range<u64>) -> bool {
        !run.is_empty() && self.0.range(..run.end).next_back().is_some_and(|(_, &end)| end > run.start)
    }

    /// The first group of a run that is not in.
    #[must_use]
    pub fn first_missing(&self, run: Range<u64>) -> Option<u64> {
        let end = self.0.range(..=run.start).next_back().map_or(run.start, |(_, &end)| end.max(run.start));
        (end < run.end).then_some(end)
    }

    /// The groups of a message that are not in.
    #[must_use]
    pub fn missing(&self, bytes: u64) -> Self {
        let mut missing = Self::new();
        let mut at = 0;
        for run in self.runs() {
            missing.insert(at..run.start);
            at = run.end;
        }
        missing.insert(at..groups(bytes));
        missing
    }
}

impl FromIterator<Range<u64>> for Groups {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(runs: T) -> Self {
        let mut all = Self::new();
        runs.into_iter().for_each(|run| all.insert(run));
        all
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A set answers as a list of flags does, and its runs are ascending, apart and not empty.
        #[test]
        fn a_set_is_what_was_put_into_it(runs in proptest::collection::vec((0u64..40, 0u64..9), 0..12), at in 0u64..45, length in 0u64..9) {
            let mut set = Groups::new();
            let mut flags = [false; 64];
            for (start, length) in runs {
                set.insert(start..start + length);
                flags[start as usize..(start + length) as usize].fill(true);
            }
            let run = &flags[at as usize..(at + length) as usize];
            prop_assert_eq!(set.contains(at), flags[at as usize]);
            prop_assert_eq!(set.contains_run(at..at + length), run.iter().all(|flag| *flag));
            prop_assert_eq!(set.touches(at..at + length), run.iter().any(|flag| *flag));
            prop_assert_eq!(set.first_missing(at..at + length), run.iter().position(|flag| !flag).map(|n| at + n as u64));
            prop_assert_eq!(set.count(), flags.iter().filter(|flag| **flag).count() as u64);
            prop_assert_eq!(set.end(), flags.iter().rposition(|flag| *flag).map_or(0, |last| last as u64 + 1));
            let runs: Vec<_> = set.runs().collect();
            prop_assert!(runs.iter().all(|run| run.start < run.end));
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            let missing = set.missing(64 * GROUP_BYTES as u64);
            prop_assert_eq!(missing.count() + set.count(), 64);
            prop_assert!(missing.runs().all(|run| !set.touches(run)));
            prop_assert_eq!(missing.runs().chain(set.runs()).collect::<Groups>(), Groups::all(64 * GROUP_BYTES as u64));
        }
    }

    #[test]
    fn a_range_of_bytes_touches_the_groups_it_has_bytes_in_and_behind_the_end_the_last() {
        let group = GROUP_BYTES as u64;
        let of = |range| Groups::of_bytes(range, 3 * group + 1).runs().map(|run| (run.start, run.end)).collect::<Vec<_>>();
        assert_eq!(of(0..0), []);
        assert_eq!(of(0..1), [(0, 1)]);
        assert_eq!(of(group - 1..group), [(0, 1)]);
        assert_eq!(of(group - 1..group + 1), [(0, 2)]);
        assert_eq!(of(group..2 * group), [(1, 2)]);
        assert_eq!(of(0..u64::MAX), [(0, 4)]);
        assert_eq!(of(3 * group + 1..3 * group + 2), [(3, 4)]);
        assert_eq!(of(u64::MAX - 1..u64::MAX), [(3, 4)]);
        assert_eq!(Groups::of_bytes(7..8, 0), Groups::all(0));
    }
}
