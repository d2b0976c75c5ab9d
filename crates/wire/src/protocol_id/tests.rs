//! Tests of `protocol_id`.
