//! Tests of `multistream`.
