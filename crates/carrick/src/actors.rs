//! Actors: tasks that own their state and are spoken to through bounded mailboxes. A toolkit, not a framework: an actor is
//! any task that reads a [`Mailbox`], and nothing here spawns one.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() {
//! use carrick::actors::{Call, MailboxOptions, Policy, mailbox};
//!
//! struct Double(u64);
//!
//! let (sender, mut inbox) = mailbox::<Call<Double, u64>>(MailboxOptions::new(64, Policy::Wait));
//! tokio::spawn(async move {
//!     while let Some(call) = inbox.recv().await {
//!         let doubled = call.message().0 * 2;
//!         call.reply(doubled);
//!     }
//! });
//! assert_eq!(sender.call(Double(21)).await, Ok(42));
//! # }
//! ```
//!
//! What always holds: no mailbox grows; a message that is not taken goes back to its sender; messages of one sender and one
//! [`Priority`] arrive in their order; a lane that has messages gets its turn however full the others are.

pub use carrick_wire::messages::Priority;

pub use self::{
    budget::{Budget, Share, Weighed},
    call::{Answer, Call, CallError, Replier},
    client::{Client, ClientOptions},
    connections::Connections,
    frames::ServerError,
    inbound::{Inbound, Origin, Outcome},
    mailbox::{Mailbox, MailboxOptions, Policy, Sent, mailbox, spsc},
    options::ServerOptions,
    sender::{Sender, SoleSender},
    server::Server,
    service::Service,
};

mod budget;
mod call;
mod client;
mod connections;
mod conversation;
mod door;
mod frames;
mod inbound;
mod mailbox;
mod options;
mod rings;
mod sender;
mod server;
mod service;
#[cfg(test)]
mod tests;
