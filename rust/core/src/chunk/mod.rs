//! Chunkers: where to cut a file. One file per algorithm; all are bytes in, cut lengths out.
//!
//! Not a reader: whoever holds the bytes shows a [`Cutter`] a window that begins where the last chunk ended, and learns how
//! long the next chunk is. The cuts depend on the content only, never on how large the windows are.

mod buzhash;
mod fastcdc;
mod mincdc;
mod rabin;
mod rolling;
pub mod segment;

use crate::limits::CHUNK_BYTES_MAX;
use std::fmt;
use std::str::FromStr;

/// A chunker and its parameters, as written on the command line (`size-1048576`, `mincdc-43691-87381`,
/// `fastcdc-32768-65536-131072`, `rabin-16-32-64`, `buzhash`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chunker {
    /// Every chunk this many bytes, the last shorter.
    Size(u32),
    /// Rabin fingerprints, cutting where Kubo's `rabin-MIN-AVG-MAX` does.
    Rabin {
        /// Fewest bytes of a chunk but the last.
        min: u32,
        /// Aimed-at mean in bytes.
        avg: u32,
        /// Most bytes of a chunk.
        max: u32,
    },
    /// Rolling buzhash, cutting where Kubo's `buzhash` does (128 to 512 KiB).
    Buzhash,
    /// The largest product of four bytes between two bounds. Lengths are spread evenly between them.
    MinCdc {
        /// Fewest bytes of a chunk but the last.
        min: u32,
        /// Most bytes of a chunk.
        max: u32,
    },
    /// FastCDC of 2020, cutting where the `fastcdc` crate does.
    FastCdc {
        /// Fewest bytes of a chunk but the last.
        min: u32,
        /// Aimed-at mean in bytes; the real one is greater.
        avg: u32,
        /// Most bytes of a chunk.
        max: u32,
    },
}

/// What Kubo means by `default`, and the mean of a plain `rabin`.
const DEFAULT_BYTES: u32 = 256 * 1024;

/// Mean of a plain `mincdc` or `fastcdc`: that of the profile `blake3-cdc`.
const CONTENT_DEFINED_BYTES: u32 = 64 * 1024;

/// Why text or parameters are not a chunker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkerError {
    /// No chunker has that name.
    Name,
    /// Not `size-N`.
    SizeForm,
    /// Not `rabin`, `rabin-AVG` or `rabin-MIN-AVG-MAX`.
    RabinForm,
    /// A parameter is not a number.
    Number,
    /// A chunk of no bytes.
    Zero,
    /// A chunk over [`CHUNK_BYTES_MAX`].
    TooLarge,
    /// Rabin's least chunk is shorter than its window of 16 bytes.
    RabinMin,
    /// Not min < avg < max.
    RabinOrder,
    /// Not `mincdc`, `mincdc-AVG` or `mincdc-MIN-MAX`.
    MinCdcForm,
    /// MinCDC's least chunk is shorter than the four bytes it looks at.
    MinCdcMin,
    /// Not min < max.
    MinCdcOrder,
    /// Not `fastcdc`, `fastcdc-AVG` or `fastcdc-MIN-AVG-MAX`.
    FastCdcForm,
    /// A parameter of FastCDC is below its least, or odd.
    FastCdcBounds,
    /// Not min <= avg <= max.
    FastCdcOrder,
}

impl fmt::Display for ChunkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str(
                "unknown chunker (size-N, mincdc-MIN-MAX, fastcdc-MIN-AVG-MAX, rabin-MIN-AVG-MAX, buzhash and default are known)",
            ),
            Self::SizeForm => f.write_str("chunker of fixed size is written size-N"),
            Self::RabinForm => f.write_str("rabin chunker is written rabin, rabin-AVG or rabin-MIN-AVG-MAX"),
            Self::Number => f.write_str("chunker parameter is not a whole number"),
            Self::Zero => f.write_str("chunk size must be greater than 0"),
            Self::TooLarge => write!(f, "chunks may not be larger than {CHUNK_BYTES_MAX} bytes, so that a block fits in 2 MiB"),
            Self::RabinMin => {
                write!(f, "smallest chunk of rabin must be at least {} bytes (it is AVG / 3 when only AVG is given)", rabin::WINDOW_BYTES)
            }
            Self::RabinOrder => f.write_str("rabin chunker needs MIN < AVG < MAX"),
            Self::MinCdcForm => f.write_str("mincdc chunker is written mincdc, mincdc-AVG or mincdc-MIN-MAX"),
            Self::MinCdcMin => write!(f, "smallest chunk of mincdc must be at least {} bytes", mincdc::WINDOW_BYTES),
            Self::MinCdcOrder => f.write_str("mincdc chunker needs MIN < MAX"),
            Self::FastCdcForm => f.write_str("fastcdc chunker is written fastcdc, fastcdc-AVG or fastcdc-MIN-AVG-MAX"),
            Self::FastCdcBounds => write!(
                f,
                "fastcdc chunker needs even numbers: MIN of at least {}, AVG of at least {}, MAX of at least {}",
                fastcdc::MIN_BYTES_MIN,
                fastcdc::AVG_BYTES_MIN,
                fastcdc::MAX_BYTES_MIN
            ),
            Self::FastCdcOrder => f.write_str("fastcdc chunker needs MIN <= AVG <= MAX"),
        }
    }
}
impl std::error::Error for ChunkerError {}

/// A whole number as Go reads it: decimal, a sign allowed.
fn number(text: &str) -> Result<i64, ChunkerError> {
    text.parse().map_err(|_| ChunkerError::Number)
}

/// A number of bytes that a chunk may have.
fn chunk_bytes(n: i64) -> Result<u32, ChunkerError> {
    match u32::try_from(n) {
        Ok(0) => Err(ChunkerError::Zero),
        Ok(n) if n as usize <= CHUNK_BYTES_MAX => Ok(n),
        _ if n < 0 => Err(ChunkerError::Zero),
        _ => Err(ChunkerError::TooLarge),
    }
}

/// A parameter of `rabin-MIN-AVG-MAX`, which may carry its label (`min:16`).
fn labelled(text: &str, label: &str) -> Result<i64, ChunkerError> {
    match text.split_once(':') {
        None => number(text),
        Some((found, value)) if found == label => number(value),
        Some(_) => Err(ChunkerError::RabinForm),
    }
}

impl Chunker {
    /// No chunk is longer than this many bytes.
    #[must_use]
    pub fn chunk_bytes_max(&self) -> usize {
        match *self {
            Self::Size(n) => n as usize,
            Self::Rabin { max, .. } | Self::MinCdc { max, .. } | Self::FastCdc { max, .. } => max as usize,
            Self::Buzhash => buzhash::CHUNK_BYTES_MAX,
        }
    }

    /// Whether the parameters make sense; always true of what was parsed.
    pub fn check(&self) -> Result<(), ChunkerError> {
        match *self {
            Self::Size(n) => chunk_bytes(i64::from(n)).map(drop),
            Self::Rabin { min, .. } if (min as usize) < rabin::WINDOW_BYTES => Err(ChunkerError::RabinMin),
            Self::Rabin { min, avg, max } if min >= avg || avg >= max => Err(ChunkerError::RabinOrder),
            Self::MinCdc { min, .. } if (min as usize) < mincdc::WINDOW_BYTES => Err(ChunkerError::MinCdcMin),
            Self::MinCdc { min, max } if min >= max => Err(ChunkerError::MinCdcOrder),
            Self::FastCdc { min, avg, max } if min > avg || avg > max => Err(ChunkerError::FastCdcOrder),
            Self::FastCdc { min, avg, max } if !are_for_fastcdc(min, avg, max) => Err(ChunkerError::FastCdcBounds),
            Self::Rabin { max, .. } | Self::MinCdc { max, .. } | Self::FastCdc { max, .. } => chunk_bytes(i64::from(max)).map(drop),
            Self::Buzhash => Ok(()),
        }
    }

    /// Starts cutting a file.
    #[must_use]
    pub fn cutter(&self) -> Cutter {
        Cutter { chunker: *self, scanned: 0 }
    }
}

impl FromStr for Chunker {
    type Err = ChunkerError;

    /// Reads what `ipfs add --chunker` takes, and `mincdc` and `fastcdc`. Stricter in one thing: a `rabin-AVG` with AVG below 48 is an error, where Kubo
    /// makes the whole file one chunk.
    fn from_str(text: &str) -> Result<Self, ChunkerError> {
        let mut parts = text.split('-');
        let name = parts.next().unwrap_or_default();
        let parameters: Vec<&str> = parts.take(4).collect();
        let chunker = match (name, parameters.as_slice()) {
            ("" | "default", []) => Self::Size(DEFAULT_BYTES),
            ("size", [n]) => Self::Size(chunk_bytes(number(n)?)?),
            ("size", _) => return Err(ChunkerError::SizeForm),
            ("rabin", []) => rabin_around(DEFAULT_BYTES),
            ("rabin", [avg]) => rabin_around(chunk_bytes(number(avg)?)?),
            ("rabin", [min, avg, max]) => {
                let (min, avg, max) = (labelled(min, "min")?, labelled(avg, "avg")?, labelled(max, "max")?);
                if min < rabin::WINDOW_BYTES as i64 {
                    return Err(ChunkerError::RabinMin);
                }
                if min >= avg || avg >= max {
                    return Err(ChunkerError::RabinOrder);
                }
                Self::Rabin { min: chunk_bytes(min)?, avg: chunk_bytes(avg)?, max: chunk_bytes(max)? }
            }
            ("rabin", _) => return Err(ChunkerError::RabinForm),
            ("mincdc", []) => mincdc_around(CONTENT_DEFINED_BYTES),
            ("mincdc", [avg]) => mincdc_around(chunk_bytes(number(avg)?)?),
            ("mincdc", [min, max]) => Self::MinCdc { min: chunk_bytes(number(min)?)?, max: chunk_bytes(number(max)?)? },
            ("mincdc", _) => return Err(ChunkerError::MinCdcForm),
            ("fastcdc", []) => fastcdc_around(CONTENT_DEFINED_BYTES)?,
            ("fastcdc", [avg]) => fastcdc_around(chunk_bytes(number(avg)?)?)?,
            ("fastcdc", [min, avg, max]) => {
                let (min, avg, max) = (chunk_bytes(number(min)?)?, chunk_bytes(number(avg)?)?, chunk_bytes(number(max)?)?);
                Self::FastCdc { min, avg, max }
            }
            ("fastcdc", _) => return Err(ChunkerError::FastCdcForm),
            // Kubo reads nothing after the name.
            ("buzhash", _) => Self::Buzhash,
            _ => return Err(ChunkerError::Name),
        };
        chunker.check()?;
        Ok(chunker)
    }
}

fn rabin_around(avg: u32) -> Chunker {
    Chunker::Rabin { min: avg / 3, avg, max: avg + avg / 2 }
}

/// A third to either side of the mean.
fn mincdc_around(avg: u32) -> Chunker {
    Chunker::MinCdc { min: avg - avg / 3, max: avg + avg / 3 }
}

/// Half to twice AVG, which has to be divisible by 4 for its half to be even.
fn fastcdc_around(avg: u32) -> Result<Chunker, ChunkerError> {
    if !avg.is_multiple_of(4) {
        return Err(ChunkerError::FastCdcBounds);
    }
    Ok(Chunker::FastCdc { min: avg / 2, avg, max: avg * 2 })
}

fn are_for_fastcdc(min: u32, avg: u32, max: u32) -> bool {
    let is_even = [min, avg, max].iter().all(|n| n % 2 == 0);
    is_even && min >= fastcdc::MIN_BYTES_MIN && avg >= fastcdc::AVG_BYTES_MIN && max >= fastcdc::MAX_BYTES_MIN
}

impl fmt::Display for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(n) => write!(f, "size-{n}"),
            Self::Rabin { min, avg, max } => write!(f, "rabin-{min}-{avg}-{max}"),
            Self::Buzhash => f.write_str("buzhash"),
            Self::MinCdc { min, max } => write!(f, "mincdc-{min}-{max}"),
            Self::FastCdc { min, avg, max } => write!(f, "fastcdc-{min}-{avg}-{max}"),
        }
    }
}

/// Cuts one file, chunk after chunk.
#[derive(Debug, Clone)]
pub struct Cutter {
    chunker: Chunker,
    /// No chunk shorter than this many bytes begins the present window: what earlier, shorter windows showed.
    scanned: usize,
}

impl Cutter {
    /// Length of the first chunk of `window`, which begins where the last chunk ended. None asks for the same window with
    /// more bytes; never None when `at_end` (nothing follows the window) and the window is not empty, nor when the window has
    /// [`Chunker::chunk_bytes_max`] bytes.
    pub fn cut(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        let found = match self.chunker {
            Chunker::Size(n) => Some(n as usize),
            Chunker::Rabin { min, avg, max } => rabin::cut(window, min as usize, avg, max as usize, &mut self.scanned),
            Chunker::Buzhash => buzhash::cut(window, &mut self.scanned),
            Chunker::MinCdc { min, max } => mincdc::cut(window, min as usize, max as usize),
            Chunker::FastCdc { min, avg, max } => fastcdc::cut(window, min as usize, avg as usize, max as usize, &mut self.scanned),
        };
        // Parameters that fail `check` may give 0, which would never end.
        let cut = found.map(|n| n.max(1)).filter(|&n| n <= window.len()).or((at_end && !window.is_empty()).then_some(window.len()));
        if cut.is_some() {
            self.scanned = 0;
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_read_as_kubo_reads_them_and_written_in_full() {
        for (text, canonical) in [
            ("size-1", "size-1"),
            ("size-2096896", "size-2096896"),
            ("size-+5", "size-5"),
            ("", "size-262144"),
            ("default", "size-262144"),
            ("rabin", "rabin-87381-262144-393216"),
            ("rabin-48", "rabin-16-48-72"),
            ("rabin-16-17-18", "rabin-16-17-18"),
            ("rabin-min:16-avg:32-max:64", "rabin-16-32-64"),
            ("rabin-1397931", "rabin-465977-1397931-2096896"),
            ("buzhash", "buzhash"),
            ("buzhash-1", "buzhash"),
            ("mincdc", "mincdc-43691-87381"),
            ("mincdc-5", "mincdc-4-6"),
            ("mincdc-4-5", "mincdc-4-5"),
            ("mincdc-1572672", "mincdc-1048448-2096896"),
            ("fastcdc", "fastcdc-32768-65536-131072"),
            ("fastcdc-512", "fastcdc-256-512-1024"),
            ("fastcdc-64-256-1024", "fastcdc-64-256-1024"),
            ("fastcdc-1024-1024-1024", "fastcdc-1024-1024-1024"),
        ] {
            let chunker: Chunker = text.parse().unwrap();
            assert_eq!(chunker.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse(), Ok(chunker));
        }
    }

    #[test]
    fn bad_texts_are_refused_with_their_reason() {
        for (text, error) in [
            ("size", ChunkerError::SizeForm),
            ("size-", ChunkerError::Number),
            ("size-0", ChunkerError::Zero),
            ("size--5", ChunkerError::SizeForm),
            ("size-5-6", ChunkerError::SizeForm),
            ("size-2096897", ChunkerError::TooLarge),
            ("size-99999999999", ChunkerError::TooLarge),
            ("size-99999999999999999999", ChunkerError::Number),
            ("size-0x10", ChunkerError::Number),
            ("size-5 ", ChunkerError::Number),
            ("rabin-47", ChunkerError::RabinMin),
            ("rabin-1397932", ChunkerError::TooLarge),
            ("rabin-1-2", ChunkerError::RabinForm),
            ("rabin-1-2-3-4", ChunkerError::RabinForm),
            ("rabin-15-30-60", ChunkerError::RabinMin),
            ("rabin-16-16-60", ChunkerError::RabinOrder),
            ("rabin-16-60-60", ChunkerError::RabinOrder),
            ("rabin-16-60-2096897", ChunkerError::TooLarge),
            ("rabin-avg:16-avg:32-max:64", ChunkerError::RabinForm),
            ("Size-5", ChunkerError::Name),
            ("default-5", ChunkerError::Name),
            ("MinCDC", ChunkerError::Name),
            ("mincdc-4", ChunkerError::MinCdcMin),
            ("mincdc-3-9", ChunkerError::MinCdcMin),
            ("mincdc-9-9", ChunkerError::MinCdcOrder),
            ("mincdc-1-2-3", ChunkerError::MinCdcForm),
            ("mincdc-", ChunkerError::Number),
            ("mincdc-4-2096897", ChunkerError::TooLarge),
            ("mincdc-1572673", ChunkerError::TooLarge),
            ("fastcdc-62-256-1024", ChunkerError::FastCdcBounds),
            ("fastcdc-64-254-1024", ChunkerError::FastCdcBounds),
            ("fastcdc-64-256-1022", ChunkerError::FastCdcBounds),
            ("fastcdc-64-257-1024", ChunkerError::FastCdcBounds),
            ("fastcdc-510", ChunkerError::FastCdcBounds),
            ("fastcdc-512-256-1024", ChunkerError::FastCdcOrder),
            ("fastcdc-64-2048-1024", ChunkerError::FastCdcOrder),
            ("fastcdc-64-256", ChunkerError::FastCdcForm),
            ("fastcdc-64-256-2096898", ChunkerError::TooLarge),
        ] {
            assert_eq!(text.parse::<Chunker>(), Err(error), "{text}");
        }
    }

    /// Bytes that repeat nowhere and depend on their position.
    fn painted(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    }

    fn cuts(chunker: Chunker, mut data: &[u8]) -> Vec<usize> {
        let mut cutter = chunker.cutter();
        let mut lengths = Vec::new();
        while let Some(n) = cutter.cut(data, true) {
            lengths.push(n);
            data = &data[n..];
        }
        lengths
    }

    /// The same, but the window grows by `step` bytes at a time and never shows the end before it is reached.
    fn cuts_in_steps(chunker: Chunker, data: &[u8], step: usize) -> Vec<usize> {
        let mut cutter = chunker.cutter();
        let (mut start, mut end) = (0, 0);
        let mut lengths = Vec::new();
        while start < data.len() {
            match cutter.cut(&data[start..end], false) {
                Some(n) => {
                    lengths.push(n);
                    start += n;
                }
                None if end == data.len() => {
                    let n = cutter.cut(&data[start..], true).unwrap();
                    lengths.push(n);
                    start += n;
                }
                None => {
                    assert!(end - start < chunker.chunk_bytes_max());
                    end = data.len().min(end + step);
                }
            }
        }
        lengths
    }

    #[test]
    fn chunks_keep_to_their_bounds_and_make_up_the_file() {
        let data = painted(3_000_000);
        for text in
            ["size-1000", "rabin", "rabin-16-32-64", "rabin-1000-5000-6000", "rabin-16-100000-1000000", "buzhash", "mincdc", "fastcdc"]
        {
            let chunker: Chunker = text.parse().unwrap();
            let lengths = cuts(chunker, &data);
            assert_eq!(lengths.iter().sum::<usize>(), data.len());
            assert!(lengths.len() > 2, "{text}: {lengths:?}");
            let min = match chunker {
                Chunker::Size(n) => n as usize,
                Chunker::Rabin { min, .. } | Chunker::MinCdc { min, .. } | Chunker::FastCdc { min, .. } => min as usize,
                Chunker::Buzhash => 128 * 1024,
            };
            let (_, all_but_last) = lengths.split_last().unwrap();
            assert!(all_but_last.iter().all(|&n| (min..=chunker.chunk_bytes_max()).contains(&n)), "{text}: {lengths:?}");
        }
    }

    #[test]
    fn constant_data_is_cut_at_the_most() {
        // Zeros have the fingerprint zero, which cuts at once; ones do not.
        assert_eq!(cuts("rabin-100-200-300".parse().unwrap(), &[0; 250]), [100, 100, 50]);
        assert_eq!(cuts("rabin-100-200-300".parse().unwrap(), &[1; 650]), [300, 300, 50]);
        assert_eq!(cuts(Chunker::Buzhash, &[7; 1_100_000]), [524_288, 524_288, 51_424]);
        assert_eq!(cuts("fastcdc-64-256-1024".parse().unwrap(), &[7; 2500]), [1024, 1024, 452]);
    }

    #[test]
    fn impossible_parameters_still_come_to_an_end() {
        for chunker in [
            Chunker::Size(0),
            Chunker::Rabin { min: 0, avg: 0, max: 0 },
            Chunker::Rabin { min: 9, avg: 1, max: 3 },
            Chunker::Rabin { min: u32::MAX, avg: u32::MAX, max: u32::MAX },
            Chunker::MinCdc { min: 0, max: 0 },
            Chunker::MinCdc { min: 9, max: 8 },
            Chunker::MinCdc { min: 90, max: 8 },
            Chunker::MinCdc { min: u32::MAX, max: u32::MAX },
            Chunker::FastCdc { min: 0, avg: 0, max: 0 },
            Chunker::FastCdc { min: 900, avg: 3, max: 5 },
            Chunker::FastCdc { min: u32::MAX, avg: u32::MAX, max: u32::MAX },
        ] {
            assert!(chunker.check().is_err());
            assert_eq!(cuts(chunker, &[5; 1000]).iter().sum::<usize>(), 1000);
        }
    }

    #[test]
    fn nothing_has_no_chunk() {
        for text in ["size-5", "rabin", "buzhash", "mincdc", "fastcdc"] {
            assert_eq!(text.parse::<Chunker>().unwrap().cutter().cut(&[], true), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Cuts depend on the content only, not on how the windows grow.
        #[test]
        fn cuts_do_not_depend_on_windows(seed in 0..1000usize, len in 0..40_000usize, step in 1..9000usize, min in 16..300u32, avg in 1..4000u32, max in 1..9000u32) {
            let data = &painted(seed + len)[seed..];
            let chunker = Chunker::Rabin { min, avg: min + avg, max: min + avg + max };
            let whole = cuts(chunker, data);
            prop_assert_eq!(&whole, &cuts_in_steps(chunker, data, step));
            prop_assert_eq!(&whole, &rabin::tests::oracle(data, min as usize, min + avg, (min + avg + max) as usize));
        }

        #[test]
        fn buzhash_cuts_do_not_depend_on_windows(seed in 0..1000usize, len in 0..1_500_000usize, step in 1000..300_000usize) {
            let data = &painted(seed + len)[seed..];
            let whole = cuts(Chunker::Buzhash, data);
            prop_assert_eq!(&whole, &cuts_in_steps(Chunker::Buzhash, data, step));
            prop_assert_eq!(&whole, &buzhash::tests::oracle(data));
        }

        #[test]
        fn mincdc_cuts_do_not_depend_on_windows(seed in 0..1000usize, len in 0..40_000usize, step in 1..9000usize, min in 4..3000u32, more in 1..9000u32) {
            let data = &painted(seed + len)[seed..];
            let chunker = Chunker::MinCdc { min, max: min + more };
            let whole = cuts(chunker, data);
            prop_assert_eq!(&whole, &cuts_in_steps(chunker, data, step));
            prop_assert_eq!(&whole, &mincdc::tests::oracle(data, min as usize, (min + more) as usize));
        }

        #[test]
        fn fastcdc_cuts_do_not_depend_on_windows(seed in 0..1000usize, len in 0..40_000usize, step in 1..9000usize, min in 32..300u32, avg in 128..2000u32, max in 512..9000u32) {
            let data = &painted(seed + len)[seed..];
            let (min, avg, max) = (2 * min, 2 * avg.max(min), 2 * avg.max(min).max(max));
            let chunker = Chunker::FastCdc { min, avg, max };
            let whole = cuts(chunker, data);
            prop_assert_eq!(&whole, &cuts_in_steps(chunker, data, step));
            prop_assert_eq!(&whole, &fastcdc::tests::oracle(data, min as usize, avg as usize, max as usize));
        }
    }
}
