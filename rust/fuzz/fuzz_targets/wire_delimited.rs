//! libFuzzer's way to the check `wire_delimited`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::wire::delimited(data));
