//! libFuzzer's way to `tallyring_fuzz::rdb`. Knows nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tallyring_fuzz::rdb::check(data));
