//! `--metrics`: the node's figures on a page for Prometheus. One request a connection, GET alone, with bounds and a deadline:
//! whoever reaches the port may be anybody.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use carrick::Node;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tracing::debug;

use crate::failure::Failure;

/// Requests that are answered at once; for one more, the oldest gives way.
const REQUESTS_MAX: usize = 16;
/// From the connection to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Of a request's head: its size, and its headers.
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// How long nobody is taken after the system had no socket to give.
const PAUSE: Duration = Duration::from_millis(200);
const PATH: &str = "/metrics";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An IP address and a port, or a port alone, which is then one of this machine only.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse()
        .map_err(|_| "an address looks like 127.0.0.1:9184, [::1]:9184, or 9184 alone".to_owned())
}

/// The page, before anybody is answered.
pub(crate) struct Page {
    listener: TcpListener,
    local: SocketAddr,
}

impl Page {
    /// Takes the port.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => "choose another port, or 0 for a free one",
                io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
                io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
                _ => "choose another address",
            };
            Failure::new(
                format!("cannot serve metrics on {address}: {error}"),
                remedy,
            )
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local })
    }

    /// Where a browser finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.local)
    }

    /// Answers until the task is dropped.
    pub(crate) async fn serve(self, node: Node) {
        let mut requests = VecDeque::<AbortHandle>::new();
        loop {
            let pipe = match self.listener.accept().await {
                Ok((pipe, _)) => pipe,
                Err(error) => {
                    debug!(%error, "nobody was taken for the metrics");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            requests.retain(|request| !request.is_finished());
            if requests.len() == REQUESTS_MAX {
                // It has had its time: an answer takes a millisecond.
                requests.pop_front().inspect(AbortHandle::abort);
            }
            let node = node.clone();
            let request = tokio::spawn(async move {
                match timeout(DEADLINE, converse(pipe, &node)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(%error, "a request for the metrics failed"),
                    Err(_) => debug!("a request for the metrics took too long"),
                }
            });
            requests.push_back(request.abort_handle());
        }
    }
}

async fn converse(pipe: TcpStream, node: &Node) -> hyper::Result<()> {
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(
            TokioIo::new(pipe),
            service_fn(|request| answer(node, request)),
        )
        .await
}

async fn answer(
    node: &Node,
    request: Request<Incoming>,
) -> Result<Response<String>, hyper::http::Error> {
    let response = Response::builder();
    if request.uri().path() != PATH {
        let told = response.status(StatusCode::NOT_FOUND);
        return told.body(format!("the metrics are at {PATH}\n"));
    }
    if request.method() != Method::GET {
        let told = response.status(StatusCode::METHOD_NOT_ALLOWED);
        return told.header(ALLOW, "GET").body("GET alone\n".to_owned());
    }
    let figures = node.metrics().await;
    response.header(CONTENT_TYPE, OPEN_METRICS).body(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        for text in ["9184", ":9184", "127.0.0.1:9184"] {
            assert_eq!(address(text).unwrap().to_string(), "127.0.0.1:9184");
        }
        assert_eq!(address("[::]:1").unwrap().to_string(), "[::]:1");
        assert!(address("metrics").unwrap_err().contains("127.0.0.1:9184"));
    }
}
