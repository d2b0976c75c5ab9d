//! A stream and a socket made one: bytes both ways, each only as fast as the other side takes them. A clean end is passed on
//! and the other direction goes on; a reset, or a lost side, resets the other.

use std::io;

use carrick::{Code, Stream};
use tokio::io::copy_bidirectional_with_sizes;

use crate::socket::Socket;

/// Runs until both directions have ended; then how many bytes went to the socket and from it.
pub(crate) async fn relay(mut stream: Stream, mut socket: Socket) -> io::Result<(u64, u64)> {
    let copied = copy_bidirectional_with_sizes(&mut stream, &mut socket, CHUNK, CHUNK).await;
    if copied.is_err() {
        stream.reset(Code::NONE);
        socket.reset();
    }
    copied
}

/// What is under way of each direction, in bytes.
const CHUNK: usize = 16 << 10;
