//! Tests of `yamux`.
