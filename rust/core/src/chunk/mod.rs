//! Chunkers: where to cut a file. One file per algorithm; all are bytes in, cut lengths out.

/// A chunker and its parameters, as written on the command line (`size-1048576`, `rabin-16-32-64`, `buzhash`).
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
}

impl Chunker {
    /// No chunk is longer than this many bytes.
    #[must_use]
    pub fn chunk_bytes_max(&self) -> usize {
        match *self {
            Self::Size(n) => n as usize,
            Self::Rabin { max, .. } => max as usize,
            Self::Buzhash => 512 * 1024,
        }
    }
}
