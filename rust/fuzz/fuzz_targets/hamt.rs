//! libFuzzer's way to the check `hamt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::hamt(data));
