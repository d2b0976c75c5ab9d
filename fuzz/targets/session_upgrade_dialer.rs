//! Any bytes into `carrick_fuzz::session::upgrade_dialer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::session::upgrade_dialer(data));
