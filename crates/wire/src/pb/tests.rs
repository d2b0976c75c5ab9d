//! Tests of `pb`.
