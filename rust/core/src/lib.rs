//! The pure core of Shoal: bytes in, values out.
//!
//! Deterministic; no files, sockets, clock, threads or randomness, and no Python.
//! Everything that comes from outside is bounded by [`limits`] before it is used.
#![deny(unsafe_code)]

pub mod bao;
pub mod car;
pub mod chunk;
pub mod cid;
pub mod dag;
pub mod hash;
pub mod limits;
pub mod unixfs;
pub mod varint;

pub use cid::Cid;
