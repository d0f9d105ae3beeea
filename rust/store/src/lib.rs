//! Packs of blocks on disk.
