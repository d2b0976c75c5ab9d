//! Any bytes into `carrick_fuzz::wire::stored_peer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrick_fuzz::wire::stored_peer(data));
