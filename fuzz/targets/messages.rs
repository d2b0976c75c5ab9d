//! Any bytes into `carrick_fuzz::wire::messages`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::wire::messages(data));
