//! The real binary, as processes that talk to each other and to nodes of this one.

mod bans;
mod call;
#[path = "../../../carrick/tests/common/certificates.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part"
)]
mod certificates;
mod daemon;
mod daemon_http;
mod daemon_streams;
mod demo;
mod forward;
mod help;
mod keys;
#[cfg(all(unix, feature = "fault-points"))]
mod kills;
mod limits;
mod metrics;
mod open;
mod p2pd;
mod packets;
mod peers;
mod perf;
mod process;
mod refusals;
mod roads;
mod store;
mod swarm;
mod transfer;
