//! libFuzzer's way to the check `groups`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::groups(data));
