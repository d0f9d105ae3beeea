//! The checks that libFuzzer runs, and that the tests of core and store replay over the corpus by including these files.
//!
//! A check is a function of any bytes that panics where a law is broken. It knows no fuzzer.

pub mod blob;
pub mod core;
pub mod edits;
pub mod import;
pub mod memory;
pub mod pair;
pub mod reference;
pub mod replay;
pub mod store;
pub mod wire;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
