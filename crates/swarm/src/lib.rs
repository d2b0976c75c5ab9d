//! The control plane: whom we know, whom we are connected to, what happens next. Sans-IO: events and
//! the time go in, actions come out; one owner, no lock, the same input gives the same output.
//! After any input, drain [`Swarm::poll_action`], then wait until [`Swarm::poll_timeout`].

mod event;
mod swarm;

mod admission;
mod reputation;
mod subject;
mod verdict;

mod connections;
mod dial;
mod dialer;
mod hearsay;
mod kept;
mod listeners;
mod peer_store;
mod tags;
mod trimming;

mod backoff;
mod black_holes;
mod names;
mod plan;
mod ranking;

mod addresses;
mod config;
mod error;
mod figures;
mod limits;
mod rates;
mod timers;

pub use addresses::{Scope, scope};
pub use admission::Stage;
pub use config::{Config, Counters, Watermarks};
pub use connections::Connection;
pub use error::{AttemptError, DialError, NameError, Refused, Skip};
pub use event::{
    Action, Answer, AttemptId, CloseReason, ConnectionId, DialOptions, Direction, Event, Family,
    LookupId, Notice, Origin, PendingId, Query, WaiterId,
};
pub use figures::{BlackHoleFigures, DialFigures, Spread};
pub use kept::KeepError;
pub use limits::{Ledger, Level, Limit, LimitReached, Limits, Unit, Usage};
pub use peer_store::{KnownAddress, PeerMetadata, PeerStore, Source};
pub use reputation::{Ban, Behaviour, PeerClass, Reputation};
pub use subject::{Network, Subject, SubjectError};
pub use swarm::{Change, Swarm};
pub use tags::{NAME_BYTES_MAX as TAG_NAME_BYTES_MAX, Tag, TagError};
pub use verdict::Verdict;
