//! Tests of `identify`.
