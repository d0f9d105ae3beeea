//! Codecs of linked blocks.

pub mod pb;
