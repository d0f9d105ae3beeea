//! libFuzzer's way to the check `unixfs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::unixfs(data));
