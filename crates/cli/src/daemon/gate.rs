//! Who may call over HTTP: a pure look at a request's head. A browser carries anybody's pages, so a request needs a host name
//! that stands for us (a page that has its own name resolve to this machine fails here), no origin but those that are listed,
//! and the token, which no page knows.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};

/// The subprotocol that a browser's WebSocket asks for, beside the one that carries the token.
pub(crate) const SUBPROTOCOL: &str = "carrick";
/// How a browser's WebSocket, which has no say in headers, gives the token.
const TOKEN_SUBPROTOCOL: &str = "token.";

/// The rules of one daemon.
#[derive(Debug)]
pub(crate) struct Gate {
    token: String,
    /// In lower case, without ports.
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// What a request that may come in wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To make a call, which is the body.
    Call,
    /// To speak WebSocket. `named`: it wants to hear the subprotocol.
    WebSocket { key: HeaderValue, named: bool },
    /// A browser asks what it may do for a page of a listed origin.
    Preflight,
}

/// Why a request may not come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) &'static str);

impl Gate {
    /// `hosts`: the names by which we are called, beside those of loopback.
    pub(crate) fn new(token: String, hosts: &[String], origins: &[String]) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(ToOwned::to_owned);
        let given = hosts.iter().map(|host| host.to_ascii_lowercase());
        Self {
            token,
            hosts: own.into_iter().chain(given).collect(),
            origins: origins.to_vec(),
        }
    }

    /// What the request wants, if it may.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<Wish, Refusal> {
        let headers = request.headers();
        if !self.is_own_name(request) {
            return Err(Refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "Host: that is not our name; see --http-host",
            ));
        }
        let is_from_page = headers.contains_key(ORIGIN);
        if is_from_page && self.listed_origin(headers).is_none() {
            return Err(Refusal(
                StatusCode::FORBIDDEN,
                "Origin: not listed; see --http-origin",
            ));
        }
        if request.uri().path() != "/" {
            return Err(Refusal(StatusCode::NOT_FOUND, "the only path is /"));
        }
        match *request.method() {
            Method::OPTIONS if is_from_page => Ok(Wish::Preflight),
            Method::POST => self.check_call(headers),
            Method::GET if headers.contains_key(UPGRADE) => self.check_upgrade(headers),
            _ => Err(Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "calls are POST requests, or WebSocket",
            )),
        }
    }

    /// The request's origin, if it is one that may call.
    pub(crate) fn listed_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = only(headers, &ORIGIN)?;
        let is_listed = |listed: &String| listed.as_bytes() == origin.as_bytes();
        self.origins.iter().any(is_listed).then_some(origin)
    }

    fn is_own_name<B>(&self, request: &Request<B>) -> bool {
        let is_own = |name: &str| {
            self.hosts
                .contains(&without_port(name).to_ascii_lowercase())
        };
        let host = only(request.headers(), &HOST).and_then(|host| host.to_str().ok());
        // A request may name its host a second time, in its first line.
        host.is_some_and(is_own)
            && request
                .uri()
                .authority()
                .is_none_or(|named| is_own(named.as_str()))
    }

    fn check_call(&self, headers: &HeaderMap) -> Result<Wish, Refusal> {
        // Forms of pages cannot say that.
        let content = only(headers, &CONTENT_TYPE).and_then(|content| content.to_str().ok());
        let content = content
            .and_then(|content| content.split(';').next())
            .unwrap_or_default();
        if !content.trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type: application/json alone",
            ));
        }
        self.check_token(bearer(headers))?;
        Ok(Wish::Call)
    }

    fn check_upgrade(&self, headers: &HeaderMap) -> Result<Wish, Refusal> {
        let has = |name: &HeaderName, wanted: &str| {
            words(headers, name).any(|word| word.eq_ignore_ascii_case(wanted))
        };
        let key = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
        let (true, true, true, Some(key)) = (
            has(&UPGRADE, "websocket"),
            has(&CONNECTION, "upgrade"),
            has(&SEC_WEBSOCKET_VERSION, "13"),
            key,
        ) else {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "that is no handshake of WebSocket, version 13",
            ));
        };
        let named = words(headers, &SEC_WEBSOCKET_PROTOCOL)
            .find_map(|word| word.strip_prefix(TOKEN_SUBPROTOCOL));
        self.check_token(bearer(headers).or(named))?;
        Ok(Wish::WebSocket {
            key: key.clone(),
            named: has(&SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
        })
    }

    fn check_token(&self, given: Option<&str>) -> Result<(), Refusal> {
        let is_right =
            |given: &str| verify_slices_are_equal(given.as_bytes(), self.token.as_bytes()).is_ok();
        if given.is_some_and(is_right) {
            Ok(())
        } else {
            Err(Refusal(
                StatusCode::UNAUTHORIZED,
                "Authorization: Bearer and the token, which `carrick daemon` says where to find",
            ))
        }
    }
}

/// The value of a header that must be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, &AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The elements of a header that is a list.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lists = headers
        .get_all(name)
        .iter()
        .filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn gate() -> Gate {
        Gate::new(
            TOKEN.to_owned(),
            &["node.example".to_owned()],
            &["https://app.example".to_owned()],
        )
    }

    /// A request's first word, then its headers.
    fn status(method: &str, headers: &[(&str, &str)]) -> Result<Wish, u16> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("it is a request");
        gate().check(&request).map_err(|refusal| refusal.0.as_u16())
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");
    const WS: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn a_name_that_is_not_ours_is_refused_whatever_else_is_right() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:5000",
            "[::1]",
            "[::1]:80",
            "node.example:443",
        ] {
            assert_eq!(
                status("POST", &[("host", host), JSON, BEARER]),
                Ok(Wish::Call),
                "{host}"
            );
        }
        for host in [
            "evil.com",
            "evil.com:80",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "",
            "[::2]",
            "localhost:x",
        ] {
            assert_eq!(
                status("POST", &[("host", host), JSON, BEARER]),
                Err(421),
                "{host}"
            );
        }
        assert_eq!(status("POST", &[JSON, BEARER]), Err(421), "none");
        assert_eq!(
            status(
                "POST",
                &[("host", "localhost"), ("host", "evil.com"), JSON, BEARER]
            ),
            Err(421),
            "two"
        );
    }

    #[test]
    fn a_page_is_refused_unless_its_origin_is_listed() {
        let host = ("host", "localhost");
        for origin in [
            "null",
            "https://evil.com",
            "https://app.example.evil.com",
            "http://app.example",
            "http://localhost",
        ] {
            assert_eq!(
                status("POST", &[host, ("origin", origin), JSON, BEARER]),
                Err(403),
                "{origin}"
            );
            assert_eq!(
                status("OPTIONS", &[host, ("origin", origin)]),
                Err(403),
                "{origin}"
            );
            let upgrade = [&WS[..], &[host, ("origin", origin), BEARER]].concat();
            assert_eq!(status("GET", &upgrade), Err(403), "{origin}");
        }
        let listed = ("origin", "https://app.example");
        assert_eq!(
            status("POST", &[host, listed, JSON, BEARER]),
            Ok(Wish::Call)
        );
        assert_eq!(
            status("POST", &[host, listed, JSON]),
            Err(401),
            "a listed page needs the token, too"
        );
        assert_eq!(status("OPTIONS", &[host, listed]), Ok(Wish::Preflight));
    }

    #[test]
    fn forms_and_links_do_nothing() {
        let host = ("host", "localhost");
        for content in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ] {
            assert_eq!(
                status("POST", &[host, ("content-type", content), BEARER]),
                Err(415),
                "{content}"
            );
        }
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            assert_eq!(status(method, &[host, JSON, BEARER]), Err(405), "{method}");
        }
    }

    #[test]
    fn the_token_must_be_the_token() {
        let host = ("host", "localhost");
        for given in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
        ] {
            assert_eq!(
                status("POST", &[host, JSON, ("authorization", given)]),
                Err(401),
                "{given}"
            );
        }
        assert_eq!(
            status("POST", &[host, JSON, BEARER, BEARER]),
            Err(401),
            "two"
        );
        assert_eq!(
            status(
                "POST",
                &[host, JSON, ("authorization", "bearer  0123456789abcdef")]
            ),
            Ok(Wish::Call)
        );
    }

    #[test]
    fn a_websocket_gives_the_token_in_either_way() {
        let host = ("host", "localhost");
        let upgrade = |more: &[(&'static str, &'static str)]| {
            status("GET", &[&WS[..], &[host], more].concat())
        };
        let is_open = |named| {
            Ok(Wish::WebSocket {
                key: HeaderValue::from_static(WS[3].1),
                named,
            })
        };
        assert_eq!(upgrade(&[BEARER]), is_open(false));
        assert_eq!(
            upgrade(&[("sec-websocket-protocol", "carrick, token.0123456789abcdef")]),
            is_open(true)
        );
        assert_eq!(
            upgrade(&[("sec-websocket-protocol", "carrick, token.wrong")]),
            Err(401)
        );
        assert_eq!(upgrade(&[]), Err(401));
        assert_eq!(
            status("GET", &[host, ("upgrade", "websocket"), BEARER]),
            Err(400)
        );
    }
}
