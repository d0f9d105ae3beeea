//! libFuzzer's way to the check `chunker_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::chunker_text(data));
