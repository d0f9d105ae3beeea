//! libFuzzer's way to the check `bao_claim`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::bao_claim(data));
