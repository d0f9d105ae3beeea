//! libFuzzer's way to the check `wire_yamux`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::wire::yamux(data));
