//! Sessions end to end, without a socket or a clock: scenarios on pairs of machines.

#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

mod boundaries;
mod flow;
mod long_fat;
mod model;
mod mux;
mod pair;
mod properties;
mod sessions;
mod upgrade;
