//! libFuzzer's way to the check `wire_yamux_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::pair::yamux_pair(data));
