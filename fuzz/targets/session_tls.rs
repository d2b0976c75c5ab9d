//! Any bytes into `carrick_fuzz::session::tls`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::session::tls(data));
