//! libFuzzer's way to the check `wire_bitswap_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::pair::bitswap_pair(data));
