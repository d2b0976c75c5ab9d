//! Any bytes into `carrick_fuzz::session::listener`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::session::listener(data));
