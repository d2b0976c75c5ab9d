//! The HTTP upgrade that opens a WebSocket, RFC 6455 §4, from both ends, over any stream of bytes.
//!
//! Heads are bounded in bytes and lines. No extension and no subprotocol is offered or accepted, so nothing is compressed,
//! and redirects are not followed: an address says where its peer is.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::{
    Error,
    error::ProtocolError,
    handshake::{
        client::{Response, generate_key},
        derive_accept_key,
        machine::TryParse,
        server::{Request, create_response, write_response},
    },
    http::{HeaderMap, StatusCode, header},
};

/// Longest HTTP head. Its lines are bounded by the parser, to 124.
const HEAD_MAX: usize = 8 << 10;
/// Of a peer that was refused, this much more is read, so that it gets to see why.
const LINGER_MAX: u64 = 64 << 10;

/// Asks for a WebSocket; gives the bytes that followed the answer.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    path: &str,
) -> io::Result<BytesMut> {
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = BytesMut::new();
    let response: Response = match read_head(stream, b"HTTP/1.1 ", &mut head).await? {
        Ok(response) => response,
        Err(status) => return Err(invalid(format!("the HTTP answer is not one ({status})"))),
    };
    let status = response.status();
    if status.is_redirection() {
        let to = text(response.headers(), header::LOCATION).unwrap_or("somewhere");
        return Err(refused(format!(
            "the server redirects to {to:?} ({status}); dial that address instead, redirects are not followed"
        )));
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(format!(
            "the server answered {status} to the WebSocket upgrade of {path}"
        )));
    }
    check_answer(response.headers(), &derive_accept_key(key.as_bytes()))?;
    Ok(head)
}

/// RFC 6455 §4.1, what a client must check.
fn check_answer(headers: &HeaderMap, accept: &str) -> io::Result<()> {
    let has = |name, value: &str| {
        let mut values = text(headers, name)
            .into_iter()
            .flat_map(|all| all.split(','));
        values.any(|found| found.trim().eq_ignore_ascii_case(value))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(invalid("the HTTP answer upgrades to something else"));
    }
    if text(headers, header::SEC_WEBSOCKET_ACCEPT) != Some(accept) {
        return Err(invalid("the HTTP answer belongs to another request"));
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
        || headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)
    {
        return Err(invalid("the HTTP answer agrees to what was not offered"));
    }
    Ok(())
}

/// Answers a client that asks for a WebSocket at `path`, or anywhere; gives the bytes that followed the request.
pub(super) async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: Option<&str>,
) -> io::Result<BytesMut> {
    let mut head = BytesMut::new();
    let parsed = read_head::<Request>(stream, b"GET ", &mut head).await?;
    let answer = parsed.and_then(|request| {
        let asked = decode_path(request.uri().path());
        if path.is_some_and(|path| decode_path(path) != asked) {
            return Err(StatusCode::NOT_FOUND);
        }
        create_response(&request).map_err(|error| status_of(&error))
    });
    let mut out = Vec::new();
    match answer {
        Ok(response) => {
            write_response(&mut out, &response).map_err(io::Error::other)?;
            stream.write_all(&out).await?;
            stream.flush().await?;
            Ok(head)
        }
        Err(status) => {
            let version = match status {
                StatusCode::UPGRADE_REQUIRED => {
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                }
                _ => "",
            };
            let refusal = format!(
                "HTTP/1.1 {status}\r\n{version}Connection: close\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(refusal.as_bytes()).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(LINGER_MAX), &mut tokio::io::sink()).await?;
            Err(invalid(format!("refused with {status}")))
        }
    }
}

/// Reads a head that begins with `start`, and leaves in `head` what came behind it. What cannot become one is given up at
/// its first wrong byte.
async fn read_head<T: TryParse>(
    stream: &mut (impl AsyncRead + Unpin),
    start: &[u8],
    head: &mut BytesMut,
) -> io::Result<Result<T, StatusCode>> {
    let mut searched = 0;
    loop {
        let room = HEAD_MAX - head.len();
        if room == 0 {
            return Ok(Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        if stream.take(room as u64).read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let known = head.len().min(start.len());
        if head[..known] != start[..known] {
            return Ok(Err(StatusCode::BAD_REQUEST));
        }
        // The parser is asked once, not at every byte of a slow head.
        let from = searched;
        searched = head.len().saturating_sub(END.len() - 1);
        if !head[from..].windows(END.len()).any(|end| end == END) {
            continue;
        }
        return Ok(match T::try_parse(head) {
            Ok(Some((length, parsed))) => {
                drop(head.split_to(length));
                if head.is_empty() {
                    *head = BytesMut::new();
                }
                Ok(parsed)
            }
            Ok(None) => Err(StatusCode::BAD_REQUEST),
            Err(error) => Err(status_of(&error)),
        });
    }
}

const END: &[u8] = b"\r\n\r\n";

fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            StatusCode::UPGRADE_REQUIRED
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, what)
}

/// Writes a path so that it can stand in a request.
pub(super) fn encode_path(path: &str) -> String {
    let mut encoded = String::from("/");
    for byte in path.strip_prefix('/').unwrap_or(path).bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The bytes that a path of a request stands for; what is not an escape stands for itself.
fn decode_path(path: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = escape
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

#[cfg(test)]
mod tests;
