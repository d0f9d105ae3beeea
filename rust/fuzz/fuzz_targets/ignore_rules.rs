//! libFuzzer's way to the check `ignore_rules`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::import::ignore_rules(data));
