//! Long fat pipes: TCP's slow start on a link of 60 ms, with the muxer in it and without. The muxer must not be what is
//! waited for.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use carrick_session::{Config, Event, Key, Layout, Mux, Read, Records, Role};

use crate::pair::{YAMUX, epoch};

const ROUND_TRIP: Duration = Duration::from_millis(60);
const TICK: Duration = Duration::from_micros(500);
/// TCP's initial congestion window (RFC 6928).
const INITIAL_WINDOW: usize = 10 * 1448;

const GIGABIT: usize = 1_000_000_000 / 8;

/// A TCP connection without loss: the congestion window doubles with each round trip until the link is full.
struct Tcp {
    /// Bytes per second.
    rate: usize,
    congestion_window: usize,
    in_flight: usize,
    /// What was sent and is not acknowledged, with the time when the acknowledgement comes.
    acks: VecDeque<(Instant, usize)>,
    /// What is on its way, with the time when it arrives.
    arrivals: VecDeque<(Instant, Bytes)>,
    /// What the sender's socket holds and the link has not taken.
    buffer: VecDeque<Bytes>,
    buffered: usize,
}

impl Tcp {
    fn new(rate: usize) -> Self {
        Self {
            rate,
            congestion_window: INITIAL_WINDOW,
            in_flight: 0,
            acks: VecDeque::new(),
            arrivals: VecDeque::new(),
            buffer: VecDeque::new(),
            buffered: 0,
        }
    }

    /// Linux lets a socket's buffer hold twice the congestion window.
    fn has_room(&self) -> bool {
        self.buffered + self.in_flight < 2 * self.congestion_window
    }

    fn write(&mut self, bytes: Bytes) {
        self.buffered += bytes.len();
        self.buffer.push_back(bytes);
    }

    /// One tick of the link; what arrives in it.
    fn tick(&mut self, now: Instant) -> Vec<Bytes> {
        while let Some((_, len)) = self.acks.pop_front_if(|(at, _)| *at <= now) {
            self.in_flight -= len;
            self.congestion_window += len;
        }
        let capacity = self.rate * TICK.as_micros() as usize / 1_000_000;
        let mut room = capacity.min(self.congestion_window.saturating_sub(self.in_flight));
        while room > 0
            && let Some(bytes) = self.buffer.front_mut()
        {
            let sent = bytes.split_to(bytes.len().min(room));
            if bytes.is_empty() {
                self.buffer.pop_front();
            }
            room -= sent.len();
            self.buffered -= sent.len();
            self.in_flight += sent.len();
            self.acks.push_back((now + ROUND_TRIP, sent.len()));
            self.arrivals.push_back((now + ROUND_TRIP / 2, sent));
        }
        let due = self.arrivals.partition_point(|(at, _)| *at <= now);
        self.arrivals.drain(..due).map(|(_, bytes)| bytes).collect()
    }
}

/// What arrived by the end of each tick.
struct Course(Vec<usize>);

impl Course {
    /// Ticks until a whole round trip ran at nine tenths of `rate`.
    fn ramp_up(&self, rate: usize) -> usize {
        let span = (ROUND_TRIP.as_micros() / TICK.as_micros()) as usize;
        let full = rate / 1000 * ROUND_TRIP.as_millis() as usize * 9 / 10;
        let fast = |ticks: &[usize]| ticks[span] - ticks[0] >= full;
        self.0
            .windows(span + 1)
            .position(fast)
            .expect("the link is filled")
    }

    fn total(&self) -> usize {
        *self.0.last().expect("time has passed")
    }
}

fn ticks(time: Duration) -> u128 {
    time.as_micros() / TICK.as_micros()
}

/// The link alone, fed as fast as it takes.
fn plain(rate: usize, time: Duration) -> Course {
    let (mut tcp, mut now, mut arrived) = (Tcp::new(rate), epoch(), 0);
    let chunk = Bytes::from(vec![0; 64 << 10]);
    let course = (0..ticks(time)).map(|_| {
        while tcp.has_room() {
            tcp.write(chunk.clone());
        }
        arrived += tcp.tick(now).iter().map(Bytes::len).sum::<usize>();
        now += TICK;
        arrived
    });
    Course(course.collect())
}

const RECORDS: Layout = Layout {
    head: 0,
    body_max: 65519,
    tail: 0,
};

/// One stream over the same link; window updates and pings come back on a link that is never full.
struct Muxed {
    tcp: Tcp,
    back: VecDeque<(Instant, Bytes)>,
    sender: Mux,
    receiver: Mux,
    ours: Key,
    theirs: Option<Key>,
    spare: Records,
}

impl Muxed {
    fn new(rate: usize, config: &Config, now: Instant) -> Self {
        let mux = |role| Mux::new(&YAMUX, role, config, RECORDS, now, None).unwrap();
        let mut sender = mux(Role::Dialer);
        Self {
            tcp: Tcp::new(rate),
            back: VecDeque::new(),
            ours: sender.open().unwrap(),
            sender,
            receiver: mux(Role::Listener),
            theirs: None,
            spare: Records::new(RECORDS),
        }
    }

    fn send(&mut self, data: &[u8]) {
        while self.tcp.has_room() {
            while self.sender.write(self.ours, b"", data).unwrap().is_some() {}
            if !self.sender.poll_transmit(&mut self.spare) {
                return;
            }
            self.tcp
                .write(Bytes::copy_from_slice(self.spare.as_slice()));
            self.spare.clear();
        }
    }

    /// One tick; how many bytes the reader got.
    fn tick(&mut self, now: Instant) -> usize {
        let due = self.back.partition_point(|(at, _)| *at <= now);
        for (_, bytes) in self.back.drain(..due) {
            self.sender.recv(now, bytes).unwrap();
        }
        let mut read = 0;
        for bytes in self.tcp.tick(now) {
            self.receiver.recv(now, bytes).unwrap();
            while let Some(event) = self.receiver.poll_event() {
                if let Event::Incoming(key) = event {
                    self.theirs = Some(key);
                }
            }
            let Some(theirs) = self.theirs else { continue };
            while let Ok(Read::Data(data)) = self.receiver.read(now, theirs) {
                read += data.len();
            }
        }
        if self.receiver.poll_transmit(&mut self.spare) {
            let bytes = Bytes::copy_from_slice(self.spare.as_slice());
            self.back.push_back((now + ROUND_TRIP / 2, bytes));
            self.spare.clear();
        }
        while self.sender.poll_event().is_some() {}
        read
    }
}

fn muxed(rate: usize, time: Duration, config: &Config) -> Course {
    let mut now = epoch();
    let (mut muxed, mut arrived) = (Muxed::new(rate, config, now), 0);
    let data = vec![0; 64 << 10];
    let course = (0..ticks(time)).map(|_| {
        muxed.send(&data);
        arrived += muxed.tick(now);
        now += TICK;
        arrived
    });
    Course(course.collect())
}

/// What the muxer reaches of what TCP alone reaches, and how much longer its way there is.
fn compare(rate: usize, time: Duration) -> (f64, f64) {
    let (plain, muxed) = (plain(rate, time), muxed(rate, time, &Config::default()));
    let share = muxed.total() as f64 / plain.total() as f64;
    let ramp_up = muxed.ramp_up(rate) as f64 / plain.ramp_up(rate) as f64;
    println!("{rate} bytes/s: {share:.3} of plain TCP, ramp-up {ramp_up:.3} times as long");
    (share, ramp_up)
}

#[test]
fn one_stream_fills_a_gigabit_of_60_ms_as_plain_tcp_does() {
    let (share, ramp_up) = compare(GIGABIT, Duration::from_secs(5));
    assert!(share >= 0.95 && ramp_up <= 1.2, "{share} {ramp_up}");
}

#[test]
fn one_stream_fills_five_gigabits_of_60_ms_as_plain_tcp_does() {
    let (share, ramp_up) = compare(5 * GIGABIT, Duration::from_secs(3));
    assert!(share >= 0.95 && ramp_up <= 1.2, "{share} {ramp_up}");
}
