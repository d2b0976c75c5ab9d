//! A deterministic world for nodes: the same `swarm`, `session` and `protocols` as in a real node, on virtual time, over
//! links that are slow, broken or cut, on hosts that crash and stand still. One thread, no clock, no entropy: all of it
//! comes from one seed, so whatever fails can be seen again.
//!
//! In reading order: [`World`] is what happens, [`Config`] what it is like, [`scenario`] what is done to it, [`Law`] what
//! must hold, [`Trial`] runs a seed and shrinks what fails. To test a protocol of one's own, write its two ends as
//! [`Conversation`]s.

mod agenda;
mod book;
mod chance;
mod config;
mod conversation;
mod ground;
mod laws;
mod load;
mod node;
mod pipe;
pub mod scenario;
mod trace;
mod trial;
mod world;

pub use book::Book;
pub use chance::Chance;
pub use config::{Config, Faults, Muxers, Plant};
pub use conversation::{Conversation, Failure as StreamFailure, Talk};
pub use laws::{Breach, Law, Tally};
pub use trial::{Failure, Outcome, Trial};
pub use world::World;
