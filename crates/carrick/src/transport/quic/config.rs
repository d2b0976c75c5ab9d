//! What `quinn` is told: windows, streams, timers, limits.

use std::{sync::Arc, time::Duration};

use quinn::{
    EndpointConfig, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};

/// For connections in either direction whose packets may grow up to `payload_max`.
pub(super) fn transport(session: &carrick_session::Config, payload_max: u16) -> TransportConfig {
    // A peer that is silent is asked halfway, and again; it is given up when it has been silent for interval and timeout
    // together, as with the other muxers.
    let keep_alive = (session.keep_alive_interval / 2).max(KEEP_ALIVE_MIN);
    let idle = session.keep_alive_interval.max(KEEP_ALIVE_MIN) + session.keep_alive_timeout;
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(payload_max).minimum_change(MTU_STEP);
    // A stream that nobody reads may hold all of its window, and must leave some of the connection's to the others.
    let connection_window = connection_window(session);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(varint(streams_at_first(session)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(window(session.stream_window_max, connection_window / 2))
        .receive_window(WINDOW_AT_FIRST.into())
        .send_window(SEND_WINDOW)
        .max_idle_timeout(idle.try_into().ok())
        .keep_alive_interval(Some(keep_alive))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .mtu_discovery_config(Some(mtu));
    config
}

/// What a peer may send unread on one connection, once somebody uses it and if there is memory for it.
pub(crate) fn connection_window(session: &carrick_session::Config) -> u32 {
    session.window_budget.clamp(2 * WINDOW_MIN, WINDOW_MAX)
}

/// The same before: enough for what every node speaks.
pub(crate) const WINDOW_AT_FIRST: u32 = 2 * WINDOW_MIN;

/// Streams that a new connection allows the peer; all when it uses half of them. `quinn` keeps a place for each one that it
/// allows, which an idle connection would pay for: so many fit into a table of 64 places, of which it fills 56, beside a few
/// of our own.
pub(crate) fn streams_at_first(session: &carrick_session::Config) -> usize {
    session.inbound_streams_max.min(48)
}

/// For those who dial us.
pub(super) fn server(crypto: QuicServerConfig, transport: Arc<TransportConfig>) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(transport)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER * INCOMING_MAX as u64 / 8);
    config
}

/// For a socket.
pub(super) fn endpoint() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config
        .supported_versions(vec![QUIC_V1])
        .min_reset_interval(RESET_INTERVAL_MIN);
    // The constant is within the range that this takes.
    let _ = config.max_udp_payload_size(UDP_PAYLOAD_MAX);
    config
}

fn window(asked: u32, max: u32) -> VarInt {
    asked.clamp(WINDOW_MIN, max).into()
}

fn varint(number: usize) -> VarInt {
    VarInt::from_u32(u32::try_from(number).unwrap_or(u32::MAX))
}

const QUIC_V1: u32 = 1;
/// From one stateless reset to the next. Peers that we have forgotten may all come back at once, and each asks again only after
/// twice the time: with `quinn`'s 20 ms a few of twenty learned it ten seconds late. A reset goes only to ids that look like
/// ours, and is shorter than what it answers.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Bytes of a stream that are on their way at least, however small a window was asked for.
const WINDOW_MIN: u32 = 64 << 10;
/// The most that a peer may send unread on a connection, as it may do so from the beginning.
const WINDOW_MAX: u32 = 16 << 20;
/// Bytes of one connection that we hold until the peer has acknowledged them.
const SEND_WINDOW: u64 = 8 << 20;
/// Datagrams of one connection, in each direction, that wait for their reader or for the link.
const DATAGRAM_BUFFER: usize = 256 << 10;
/// Packets grow up to this between programs on one machine: there, large ones cost half. Ten of them, which `quinn` sends with
/// one call, must be fewer than 64 KiB.
pub(super) const UDP_PAYLOAD_MAX: u16 = 1200 + 8 * 252;
/// And up to this, what Ethernet takes, to anywhere else: whoever asks for more waits for each length to be lost three times,
/// and until it is known to be lost, it takes the place of two packets. With 5 % loss, where five are on their way at a time,
/// that was a seventh of what a quarter of a MiB takes.
pub(super) const UDP_PAYLOAD_AWAY: u16 = 1452;
/// The search halves the distance from 1200 until it is below this: two questions to anywhere else.
const MTU_STEP: u16 = 100;
/// Newcomers that wait to be looked at.
const INCOMING_MAX: usize = 256;
/// Bytes that one of them may send meanwhile, beyond its first packet.
const INCOMING_BUFFER: u64 = 16 << 10;
const KEEP_ALIVE_MIN: Duration = Duration::from_millis(10);
