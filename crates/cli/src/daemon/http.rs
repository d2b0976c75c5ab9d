//! The daemon's door for HTTP and WebSocket: one request a connection, checked by the [`Gate`] before its body is read; a
//! WebSocket goes on as a conversation. Everything has a bound and a deadline.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue,
        SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE, VARY, WWW_AUTHENTICATE,
    },
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::core::server::Methods;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::{
    calls::{CALL_TIMEOUT, Caller, REQUEST_BYTES_MAX},
    gate::{Gate, Refusal, SUBPROTOCOL, Wish},
    talk::{self, Client, TEXT_TIMEOUT},
    web,
};
use crate::failure::Failure;

/// How long a request's head may take, its size, and its headers.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// From the connection to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(10 + 30 + 30).saturating_add(CALL_TIMEOUT);

/// A port of this machine, and who may call there.
#[derive(Debug)]
pub(crate) struct Http {
    listener: TcpListener,
    local: SocketAddr,
    gate: Arc<Gate>,
}

impl Http {
    /// Takes the port.
    pub(crate) async fn bind(address: SocketAddr, gate: Gate) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let remedy = "choose another address with --http, or port 0 for a free one";
            Failure::new(format!("cannot serve HTTP on {address}: {error}"), remedy)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            local,
            gate: Arc::new(gate),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.local)
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, Arc<Gate>)> {
        Ok((self.listener.accept().await?.0, self.gate.clone()))
    }
}

/// Serves a client to the end.
pub(crate) async fn serve(pipe: TcpStream, gate: &Gate, client: Arc<Client>, methods: Methods) {
    match timeout(DEADLINE, answer(pipe, gate, &client, &methods)).await {
        Ok(Ok(Some(upgrade))) => converse(upgrade, client, methods).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => debug!(%error, "a request failed"),
        Err(_) => debug!("a request took too long"),
    }
}

/// Answers one request; what it gives becomes a WebSocket.
async fn answer(
    pipe: TcpStream,
    gate: &Gate,
    client: &Arc<Client>,
    methods: &Methods,
) -> hyper::Result<Option<OnUpgrade>> {
    let upgrade = Mutex::new(None);
    let respond = |mut request: Request<Incoming>| {
        let upgrade = &upgrade;
        async move {
            let wish = gate.check(&request);
            let origin = gate.listed_origin(request.headers()).cloned();
            let response = match wish {
                Ok(Wish::Call) => call(request.into_body(), client, methods).await,
                Ok(Wish::WebSocket { key, named }) => {
                    client.admit();
                    let mut slot = upgrade.lock().unwrap_or_else(PoisonError::into_inner);
                    *slot = Some(hyper::upgrade::on(&mut request));
                    Ok(switch(&key, named))
                }
                Ok(Wish::Preflight) => Ok(preflight()),
                Err(refusal) => Err(refusal),
            };
            let mut response = response.unwrap_or_else(|refusal| refused(&refusal));
            let is_last = response.status() != StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            if is_last {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if let Some(origin) = origin {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(VARY, HeaderValue::from_static("Origin"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    };
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(pipe), service_fn(respond))
        .with_upgrades()
        .await?;
    Ok(upgrade.into_inner().unwrap_or_else(PoisonError::into_inner))
}

async fn call(
    body: Incoming,
    client: &Arc<Client>,
    methods: &Methods,
) -> Result<Response<String>, Refusal> {
    let _running = client.call();
    let text = timeout(TEXT_TIMEOUT, read(body)).await;
    let text = text.map_err(|_| {
        Refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the call took too long to arrive",
        )
    })??;
    let caller = Caller::new(methods.clone(), client.id, None);
    Ok(match caller.answer(&text).await {
        Some(answer) => with(
            Response::new(answer.get().to_owned()),
            [(CONTENT_TYPE, "application/json")],
        ),
        None => status(StatusCode::NO_CONTENT, String::new()),
    })
}

/// The whole body, if it is not too large.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = Refusal(StatusCode::PAYLOAD_TOO_LARGE, "a call has at most 2 MiB");
    if body.size_hint().lower() > REQUEST_BYTES_MAX as u64 {
        return Err(too_large);
    }
    let mut body = pin!(body);
    let mut text = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let broken = |_| Refusal(StatusCode::BAD_REQUEST, "the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if text.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(too_large);
        }
        text.extend_from_slice(&data);
    }
    Ok(text.freeze())
}

fn switch(key: &HeaderValue, named: bool) -> Response<String> {
    let accept = derive_accept_key(key.as_bytes());
    let response = status(StatusCode::SWITCHING_PROTOCOLS, String::new());
    let mut response = with(response, [(UPGRADE, "websocket"), (CONNECTION, "Upgrade")]);
    if let Ok(accept) = HeaderValue::try_from(accept) {
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if named {
        return with(response, [(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)]);
    }
    response
}

fn preflight() -> Response<String> {
    with(
        status(StatusCode::NO_CONTENT, String::new()),
        [
            (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        ],
    )
}

fn refused(Refusal(code, why): &Refusal) -> Response<String> {
    let response = status(*code, format!("{why}\n"));
    let response = with(response, [(CONTENT_TYPE, "text/plain")]);
    match *code {
        StatusCode::UNAUTHORIZED => with(response, [(WWW_AUTHENTICATE, "Bearer")]),
        StatusCode::METHOD_NOT_ALLOWED => with(response, [(ALLOW, "POST")]),
        _ => response,
    }
}

fn status(code: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = code;
    response
}

fn with<const N: usize>(
    mut response: Response<String>,
    headers: [(HeaderName, &'static str); N],
) -> Response<String> {
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn converse(upgrade: OnUpgrade, client: Arc<Client>, methods: Methods) {
    let upgraded = match timeout(HEAD_TIMEOUT, upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => return debug!(%error, "a WebSocket did not begin"),
        Err(_) => return debug!("a WebSocket did not begin in time"),
    };
    let (reader, writer) = web::open(TokioIo::new(upgraded)).await;
    talk::talk(methods, client, reader, writer).await;
}
