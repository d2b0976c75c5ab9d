//! Our negotiation and our yamux beside rust-libp2p's: both are told the same, and take it or not. What differs on purpose is in
//! `DIFFERENCES.md`, by the numbers used here.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use carrick_session::{
    Config, Event, Mux, Read, Records, Role, StreamError,
    negotiate::{Dialer, Listener, Request},
};
use carrick_wire::{
    ProtocolId,
    yamux::{HEADER_LEN, Header, INITIAL_WINDOW, Kind},
};
use futures::{AsyncRead, AsyncWrite, FutureExt, task::noop_waker_ref};

use crate::{
    frames,
    pair::{PLAIN, YAMUX},
    source::Source,
    target::{EPOCH, Target},
};

/// Every target of this file.
pub const TARGETS: [Target; 3] = [
    ("versus_listener", listener),
    ("versus_dialer", dialer),
    ("versus_yamux", yamux),
];

/// A pipe of theirs: what it reads is here already, what it writes is kept.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    /// After the input there is an end; otherwise more may come.
    ends: bool,
}

impl Pipe {
    fn with<T>(&self, look: impl FnOnce(&mut Ends) -> T) -> T {
        look(&mut self.0.lock().expect("one thread"))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|ends| {
            let rest = &ends.input[ends.at..];
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            ends.at += len;
            if len == 0 && !ends.ends && !buf.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(Ok(len))
        })
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|ends| ends.output.extend_from_slice(buf));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a negotiation came to: the protocol, and the bytes that followed.
type Agreed = Option<(String, Vec<u8>)>;

/// What they make of an input that ends.
fn theirs<F, N: AsRef<str>, R: AsyncRead + Unpin, E>(mut future: F) -> Agreed
where
    F: Future<Output = Result<(N, R), E>> + Unpin,
{
    let mut context = Context::from_waker(noop_waker_ref());
    let Poll::Ready(Ok((name, mut rest))) = future.poll_unpin(&mut context) else {
        return None;
    };
    let (mut all, mut buffer) = (Vec::new(), [0; 256]);
    while let Poll::Ready(Ok(len @ 1..)) = Pin::new(&mut rest).poll_read(&mut context, &mut buffer)
    {
        all.extend_from_slice(&buffer[..len]);
    }
    Some((name.as_ref().to_owned(), all))
}

fn pipe(input: &[u8]) -> Pipe {
    let pipe = Pipe::default();
    pipe.with(|ends| (ends.input, ends.ends) = (input.to_vec(), true));
    pipe
}

/// multistream-select, listening.
pub fn listener(data: &[u8]) {
    let input = spoken(data);
    let theirs = theirs(Box::pin(multistream_select::listener_select_proto(
        pipe(&input),
        NAMES,
    )));
    let (mut listener, mut at, mut error) = (Listener::new(), 0, None);
    let mut slashless = false;
    while at < input.len() && listener.outcome().is_none() && error.is_none() {
        match listener.recv(&input[at..]) {
            Ok((used, request)) => {
                at += used;
                if let Some(Request::Protocol(id)) = &request {
                    slashless |= !id.as_str().starts_with('/');
                }
                match request {
                    Some(Request::Protocol(id)) if NAMES.contains(&id.as_str()) => {
                        listener.accept()
                    }
                    Some(Request::Protocol(_)) => listener.refuse(),
                    Some(Request::List) => listener.list(NAMES.map(ProtocolId::from_static).into()),
                    None => {}
                }
            }
            Err(why) => error = Some(why.to_string()),
        }
    }
    let ours = listener
        .outcome()
        .map(|id| (id.to_string(), input[at..].to_vec()));
    if ours != theirs {
        // D20: what cannot be a protocol's name ends our negotiation at once; theirs refuses it and goes on. D21: so does a
        // message above 1024 bytes, and the 65th proposal. D22: a name without a slash is one for us, and refused.
        let strict = ours.is_none() && error.is_some();
        let known = strict || theirs.is_none() && slashless;
        assert!(known, "ours: {ours:?}, {error:?}, theirs: {theirs:?}");
    }
}

/// multistream-select, dialing.
pub fn dialer(data: &[u8]) {
    let input = spoken(data);
    let version = multistream_select::Version::V1;
    let theirs = theirs(Box::pin(multistream_select::dialer_select_proto(
        pipe(&input),
        NAMES,
        version,
    )));
    let mut dialer = Dialer::new(NAMES.map(ProtocolId::from_static).into());
    let result = dialer.recv(&input);
    let ours = dialer.outcome().map(|id| {
        let used = *result.as_ref().expect("it agreed");
        (id.to_string(), input[used..].to_vec())
    });
    if ours != theirs {
        assert!(
            ours.is_none() && result.is_err(),
            "ours: {ours:?}, theirs: {theirs:?}"
        );
    }
}

/// An input as messages: words that are understood, others, and bytes as they are.
fn spoken(data: &[u8]) -> Vec<u8> {
    let (mut source, mut out) = (Source::new(data), Vec::new());
    while !source.is_empty() {
        let words = [
            "/multistream/1.0.0",
            "/a",
            "/b/1.0.0",
            "/c",
            "na",
            "ls",
            "/other",
        ];
        let choice = source.u8();
        let len = source.index(64);
        match (words.get(usize::from(choice)), choice) {
            (Some(word), _) => {
                out.push(word.len() as u8 + 1);
                out.extend_from_slice(word.as_bytes());
                out.push(b'\n');
            }
            (None, 7..16) => {
                let text = source.bytes(len);
                out.push(text.len() as u8 + 1);
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            _ => out.extend_from_slice(source.bytes(len)),
        }
    }
    out
}

/// What became of one inbound stream: its bytes, and how it ends.
type Fate = (usize, &'static str);

/// Yamux, listening: frame by frame, until one of the two ends the connection.
pub fn yamux(data: &[u8]) {
    let mut source = Source::new(data);
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    let mut known: BTreeMap<u32, Known> = BTreeMap::new();
    let mut left: i64 = 4 << 20;
    for _ in 0..FRAMES_MAX {
        if source.is_empty() || left <= 0 {
            break;
        }
        let bytes = frames::header(&mut source);
        if differs(&bytes, &mut known) {
            continue;
        }
        let body = match Header::decode(&bytes) {
            Ok(header) if header.kind == Kind::Data => header.length as usize,
            _ => 0,
        };
        left -= body as i64 + 1000;
        let mut frame = bytes.to_vec();
        frame.resize(HEADER_LEN + body, 5);
        let verdicts = (ours.recv(&frame), theirs.recv(&frame));
        assert_eq!(verdicts.0, verdicts.1, "ours, theirs on {bytes:?}");
        if !verdicts.0 {
            return;
        }
    }
    assert_eq!(ours.fates(), theirs.fates());
}

/// A stream as both know it.
#[derive(Default)]
struct Known {
    fin: bool,
    reset: bool,
    credit: u64,
}

/// Whether a frame is one of those on which the two differ on purpose; such a one is left out.
fn differs(bytes: &[u8; HEADER_LEN], known: &mut BTreeMap<u32, Known>) -> bool {
    let [version, kind, f0, f1, ..] = *bytes;
    let flags = u16::from_be_bytes([f0, f1]);
    let id = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let length = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if version != 0 || kind > 3 {
        return false;
    }
    let (syn, ack, fin, rst) = (
        flags & 1 != 0,
        flags & 2 != 0,
        flags & 4 != 0,
        flags & 8 != 0,
    );
    match kind {
        // D30: flags that the spec does not have, and frames of a stream on the session's id.
        _ if flags > 15 => return true,
        0 | 1 if id == 0 => return true,
        // D31: pings that nobody asked for, or that name a stream.
        2 => return ack || !syn || id != 0,
        // D32: a go-away ends their connection; ours lets streams finish when it says no fault.
        3 => return true,
        // D33: a body of more than 1 MiB is too long for them whatever the windows; for us, if no window is so large.
        0 if length > 1 << 20 => return true,
        _ => {}
    }
    // D34: they look at RST first, so that with it no stream begins and no body counts.
    if rst && (syn || length > 0) {
        return true;
    }
    let stream = known.get(&id);
    let open = stream.is_some_and(|stream| !stream.fin && !stream.reset);
    // D35: what comes on a stream after its end: we reset it, they keep the bytes.
    if !syn && stream.is_some() && !open {
        return true;
    }
    // D36: an ACK on a stream of the peer's, which is ours to give; theirs takes it as a change of state.
    if ack {
        return true;
    }
    if syn && (id % 2 == 0 || stream.is_some()) {
        // Both refuse.
        return false;
    }
    // D37: a SYN's window update is added to the first window: they overflow.
    let base = u64::from(INITIAL_WINDOW);
    let credit = stream.map_or(base, |stream| stream.credit);
    if kind == 1 && credit + u64::from(length) > u64::from(u32::MAX) {
        return syn;
    }
    if syn || stream.is_some() {
        let stream = known.entry(id).or_insert_with(|| Known {
            credit: base,
            ..Known::default()
        });
        stream.fin |= fin;
        stream.reset |= rst;
        if kind == 1 {
            stream.credit += u64::from(length);
        }
    }
    false
}

struct Ours {
    mux: Mux,
    keys: BTreeMap<u32, carrick_session::Key>,
}

impl Ours {
    fn new() -> Self {
        let config = Config::default();
        let mux = Mux::new(&YAMUX, Role::Listener, &config, PLAIN, *EPOCH, None).expect("yamux");
        Self {
            mux,
            keys: BTreeMap::new(),
        }
    }

    fn recv(&mut self, frame: &[u8]) -> bool {
        let taken = self.mux.recv(*EPOCH, Bytes::copy_from_slice(frame)).is_ok();
        while let Some(event) = self.mux.poll_event() {
            if let Event::Incoming(key) = event {
                self.keys.insert(
                    u32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]),
                    key,
                );
            }
        }
        self.mux.poll_transmit(&mut Records::new(PLAIN));
        taken
    }

    fn fates(&mut self) -> BTreeMap<u32, Fate> {
        let mux = &mut self.mux;
        let mut fate = |key| {
            let mut len = 0;
            loop {
                match mux.read(*EPOCH, key) {
                    Ok(Read::Data(data)) => len += data.len(),
                    Ok(Read::End) => return (len, "end"),
                    Ok(Read::Blocked) => return (len, "more"),
                    // Theirs reads an end where a stream was reset.
                    Err(StreamError::Reset(_)) => return (len, "end"),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let keys = std::mem::take(&mut self.keys).into_iter();
        keys.map(|(id, key)| (id, fate(key))).collect()
    }
}

struct Theirs {
    pipe: Pipe,
    connection: yamux::Connection<Pipe>,
    streams: BTreeMap<u32, yamux::Stream>,
}

impl Theirs {
    fn new() -> Self {
        let pipe = Pipe::default();
        let connection =
            yamux::Connection::new(pipe.clone(), yamux::Config::default(), yamux::Mode::Server);
        Self {
            pipe,
            connection,
            streams: BTreeMap::new(),
        }
    }

    fn recv(&mut self, frame: &[u8]) -> bool {
        self.pipe
            .with(|ends| (ends.input, ends.at) = (frame.to_vec(), 0));
        let mut context = Context::from_waker(noop_waker_ref());
        loop {
            match self.connection.poll_next_inbound(&mut context) {
                Poll::Ready(Some(Ok(stream))) => {
                    let id = stream.id().to_string();
                    self.streams.insert(id.parse().expect("a number"), stream);
                }
                Poll::Ready(Some(Err(_)) | None) => return false,
                Poll::Pending => break,
            }
        }
        // Where it ends a connection it says so and goes on; a go-away is the verdict.
        let output = self.pipe.with(|ends| std::mem::take(&mut ends.output));
        let mut rest = &output[..];
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() {
            let Ok(header) = Header::decode(header) else {
                break;
            };
            if header.kind == Kind::GoAway {
                return false;
            }
            let body = if header.kind == Kind::Data {
                header.length
            } else {
                0
            };
            rest = after.get(body as usize..).unwrap_or_default();
        }
        true
    }

    fn fates(&mut self) -> BTreeMap<u32, Fate> {
        let mut context = Context::from_waker(noop_waker_ref());
        let mut buffer = vec![0; 4096];
        let mut fates = BTreeMap::new();
        for (id, mut stream) in std::mem::take(&mut self.streams) {
            let mut len = 0;
            let how = loop {
                match Pin::new(&mut stream).poll_read(&mut context, &mut buffer) {
                    Poll::Ready(Ok(0)) => break "end",
                    Poll::Ready(Ok(read)) => len += read,
                    Poll::Ready(Err(_)) => break "end",
                    Poll::Pending => break "more",
                }
            };
            fates.insert(id, (len, how));
        }
        fates
    }
}

const NAMES: [&str; 3] = ["/a", "/b/1.0.0", "/c"];
const FRAMES_MAX: usize = 200;
