//! Any bytes into `carrick_fuzz::wire::p2pd`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::wire::p2pd(data));
