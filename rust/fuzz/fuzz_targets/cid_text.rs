//! libFuzzer's way to the check `cid_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::cid_text(data));
