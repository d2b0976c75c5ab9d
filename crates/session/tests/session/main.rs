//! Sessions end to end, without a socket or a clock: scenarios on pairs of machines.

mod flow;
mod mux;
mod pair;
