//! Sessions end to end, without a socket or a clock: scenarios on pairs of machines.

mod flow;
mod model;
mod mux;
mod pair;
mod properties;
mod sessions;
mod upgrade;
