//! The real binary, as processes that talk to each other and to nodes of this one.

mod demo;
mod help;
mod keys;
mod peers;
mod perf;
mod process;
mod refusals;
mod swarm;
