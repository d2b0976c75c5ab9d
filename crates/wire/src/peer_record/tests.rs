//! Tests of `peer_record`.
