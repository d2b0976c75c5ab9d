//! Limits and timings of a session. Every field's doc says what it costs. What decides about throughput and memory:
//! `stream_window_max` and `window_budget` on the way in, `send_buffer_max` on the way out.

use std::time::Duration;

/// Limits and timings of one connection's upgrade and muxer.
#[derive(Clone, Debug)]
pub struct Config {
    /// One deadline over negotiation, handshake and muxer negotiation together.
    pub upgrade_timeout: Duration,
    /// Streams that the peer may hold open at once; one more is reset. The peer may make us buffer
    /// 256 KiB on each of them, as much as yamux lets it send unasked (mplex: `mplex_buffer_max`); with a
    /// [`WindowPool`](crate::WindowPool) no more than that lends beyond a mebibyte, and then streams are reset.
    /// Over QUIC the peer knows the limit and waits.
    pub inbound_streams_max: usize,
    /// Streams that we hold open at once; further opens wait.
    pub outbound_streams_max: usize,
    /// Largest receive window of one stream, bytes. Windows start at 256 KiB (yamux spec) and double while
    /// the round-trip time holds them back, so only long and fast ways cost memory, and only where the reader stops reading:
    /// 64 MiB fill 5 Gbit/s at 80 ms. Those of QUIC are this large at once, at most 8 MiB.
    pub stream_window_max: u32,
    /// How far all windows of one connection together may grow beyond their initial 256 KiB, bytes; streams that carry much
    /// have equal shares. Over QUIC: what the
    /// peer may have sent on all streams together and nobody has read, at most 16 MiB.
    pub window_budget: u32,
    /// Unsent bytes at which writers wait and take turns, 64 KiB each. What leaves with one call to the pipe is at most
    /// this, one turn and a quarter of it, and a busy connection holds two such buffers, an idle one none. A short message (at most a
    /// 64th of this) that is written beside bulk data stands behind both at most: less costs more wake-ups for each byte, more
    /// keeps such messages waiting. Buffers of more than 672 KiB are not pooled.
    pub send_buffer_max: usize,
    /// mplex only: bytes that one stream may hold unread before reading from the connection pauses.
    pub mplex_buffer_max: usize,
    /// mplex only: how long a full stream may hold up the connection before it is reset.
    pub mplex_patience: Duration,
    /// Ping the peer after this long without a byte from it.
    pub keep_alive_interval: Duration,
    /// Give the connection up when such a ping is not answered within this time. By default the two together are less than
    /// half a minute.
    pub keep_alive_timeout: Duration,
    /// How long a stream that was finished and dropped waits for the peer's end before it is reset.
    pub linger: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            upgrade_timeout: Duration::from_secs(10),
            inbound_streams_max: 1024,
            outbound_streams_max: 1024,
            stream_window_max: 64 << 20,
            window_budget: 64 << 20,
            send_buffer_max: 256 << 10,
            mplex_buffer_max: 1 << 20,
            mplex_patience: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(18),
            keep_alive_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(30),
        }
    }
}
