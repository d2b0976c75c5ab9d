//! A bare WebSocket client over TCP, which sends what it is told.

use carrick::Multiaddr;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{raw::socket, soon};

pub const BINARY: u8 = 0x82;
pub const TEXT: u8 = 0x81;
pub const PING: u8 = 0x89;
pub const CLOSE: u8 = 0x88;

/// A request that is answered with a WebSocket.
pub const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// A socket behind the upgrade.
pub async fn web(address: &Multiaddr) -> TcpStream {
    let mut socket = socket(address).await;
    socket.write_all(REQUEST.as_bytes()).await.expect("write");
    let head = read_head(&mut socket).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.to_lowercase().contains("deflate"), "{head}");
    socket
}

/// An HTTP head, and not a byte more.
pub async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(socket.read_u8()).await.expect("read"));
    }
    String::from_utf8(head).expect("text")
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// The next frame of a server: its first byte and its payload.
pub async fn read_frame(socket: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = socket.read_u8().await.ok()?;
    let length = match socket.read_u8().await.ok()? {
        126 => u64::from(socket.read_u16().await.ok()?),
        127 => socket.read_u64().await.ok()?,
        length => u64::from(length),
    };
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload).await.ok()?;
    Some((first, payload))
}

/// A plain socket whose bytes go to a WebSocket in frames of one byte each.
pub async fn byte_by_byte(web: TcpStream) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (near, (mut far_read, mut far_write)) =
        (near.expect("connect"), far.expect("accept").0.into_split());
    let (mut web_read, mut web_write) = web.into_split();
    tokio::spawn(async move {
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = far_read.read(&mut part).await {
            let frames: Vec<u8> = part[..n]
                .iter()
                .flat_map(|byte| frame(BINARY, &[*byte]))
                .collect();
            if web_write.write_all(&frames).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((BINARY, payload)) = read_frame(&mut web_read).await {
            if far_write.write_all(&payload).await.is_err() {
                return;
            }
        }
    });
    near
}
