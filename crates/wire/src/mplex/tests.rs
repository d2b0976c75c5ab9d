//! Tests of `mplex`.
