//! Conformance cases for libp2p nodes: a table of cases per specification, a speaker that can say anything, right or wrong, at
//! every layer, and the runner that dials a node and judges what it answers. Shares no code with any libp2p stack.

pub mod case;
pub mod cases;
pub mod listener;
pub mod report;
pub mod run;
pub mod select;
pub mod target;

mod bench;
mod probe;
mod speak;
