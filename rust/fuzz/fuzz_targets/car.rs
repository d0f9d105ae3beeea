//! libFuzzer's way to the check `car`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::car(data));
