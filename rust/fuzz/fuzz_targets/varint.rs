//! libFuzzer's way to the check `varint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::varint(data));
