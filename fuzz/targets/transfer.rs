//! Any bytes into `carrick_fuzz::wire::transfer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::wire::transfer(data));
