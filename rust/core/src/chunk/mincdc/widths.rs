//! The same search for every width of SIMD register; the widest that this machine has is taken.
//!
//! The one file of core with `unsafe`: calling a function compiled for instructions that not every machine has. No intrinsics, no
//! pointers: each function is `scan`'s safe code, compiled again, so no width can differ in what it finds. Elsewhere than
//! on x86-64 the target's own instructions are used (NEON on AArch64).

use super::scan;

/// See [`scan::last_largest`].
pub(super) fn last_largest(bytes: &[u8]) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if let Some(width) = x86::Width::widest() {
        return width.last_largest(bytes);
    }
    scan::last_largest(bytes)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::scan;
    use std::arch::is_x86_feature_detected;

    #[target_feature(enable = "avx512f")]
    fn avx512(bytes: &[u8]) -> Option<usize> {
        scan::last_largest(bytes)
    }

    #[target_feature(enable = "avx2")]
    fn avx2(bytes: &[u8]) -> Option<usize> {
        scan::last_largest(bytes)
    }

    #[target_feature(enable = "sse4.1")]
    fn sse41(bytes: &[u8]) -> Option<usize> {
        scan::last_largest(bytes)
    }

    /// A width that this machine has: no other can be made.
    #[derive(Debug, Clone, Copy)]
    pub struct Width(Kind);

    #[derive(Debug, Clone, Copy)]
    enum Kind {
        Avx512,
        Avx2,
        Sse41,
    }

    impl Width {
        /// The widths of this machine, the widest first.
        pub fn all() -> impl Iterator<Item = Self> {
            let is_there = |kind: &Kind| match kind {
                Kind::Avx512 => is_x86_feature_detected!("avx512f"),
                Kind::Avx2 => is_x86_feature_detected!("avx2"),
                Kind::Sse41 => is_x86_feature_detected!("sse4.1"),
            };
            [Kind::Avx512, Kind::Avx2, Kind::Sse41].into_iter().filter(is_there).map(Self)
        }

        pub fn widest() -> Option<Self> {
            Self::all().next()
        }

        #[expect(unsafe_code, reason = "instructions beyond the target's own, of which this machine was asked")]
        pub fn last_largest(self, bytes: &[u8]) -> Option<usize> {
            // SAFETY: a `Width` is only made by `all`, of a kind whose instructions this machine has.
            unsafe {
                match self.0 {
                    Kind::Avx512 => avx512(bytes),
                    Kind::Avx2 => avx2(bytes),
                    Kind::Sse41 => sse41(bytes),
                }
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Whatever the bytes, every width finds what the narrowest finds, and that is the last of the largest.
        #[test]
        fn every_width_finds_the_same_window(bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..6000)) {
            let largest = bytes.windows(4).map(|window| scan::product(window.try_into().unwrap())).max();
            let expected = bytes.windows(4).rposition(|window| Some(scan::product(window.try_into().unwrap())) == largest);
            prop_assert_eq!(scan::last_largest(&bytes), expected);
            for width in x86::Width::all() {
                prop_assert_eq!(width.last_largest(&bytes), expected, "{:?}", width);
            }
        }
    }
}
