//! libFuzzer's way to `tallyring_fuzz::journal`. Knows nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tallyring_fuzz::journal::check(data));
