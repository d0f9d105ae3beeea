//! Codecs of linked blocks.
