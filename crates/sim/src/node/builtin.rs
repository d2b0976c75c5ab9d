//! The protocols that every node speaks, as conversations: what they say is decided in `carrick-protocols`.

use std::{fmt, time::Duration};

use carrick_protocols::{
    identify::Collector,
    ping::{PAYLOAD_LEN, PingError, Pinger, Responder},
};
use carrick_wire::PeerId;

use crate::{
    conversation::{Conversation, Talk, Told},
    laws::Law,
};

/// Tells who we are, then waits for the end.
#[derive(Debug)]
pub(crate) struct Tell(Vec<u8>);

impl Tell {
    pub(crate) const fn new(message: Vec<u8>) -> Self {
        Self(message)
    }
}

impl Conversation for Tell {
    fn handle_opened(&mut self, talk: &mut Talk<'_>) {
        talk.write(&self.0);
        talk.finish();
    }

    fn recv(&mut self, talk: &mut Talk<'_>, _: &[u8]) {
        // Nothing is said to who tells.
        talk.reset(0);
    }
}

/// Learns who the peer is: asks, or is told unasked.
pub(crate) struct Learn {
    collector: Option<Collector>,
    is_push: bool,
}

impl fmt::Debug for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learn").finish_non_exhaustive()
    }
}

impl Learn {
    pub(crate) fn asked(peer: PeerId) -> Self {
        Self {
            collector: Some(Collector::new(peer)),
            is_push: false,
        }
    }

    pub(crate) fn pushed(peer: PeerId) -> Self {
        Self {
            is_push: true,
            ..Self::asked(peer)
        }
    }
}

impl Conversation for Learn {
    fn handle_opened(&mut self, talk: &mut Talk<'_>) {
        talk.finish();
    }

    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
        let taken = self
            .collector
            .as_mut()
            .map(|collector| collector.recv(bytes));
        talk.ground
            .hold(Law::IdentifyIsTrue, !matches!(taken, Some(Err(_))), || {
                format!("{taken:?}")
            });
    }

    fn handle_end(&mut self, talk: &mut Talk<'_>) {
        let Some(collector) = self.collector.take() else {
            return;
        };
        match collector.finish() {
            Ok(info) => {
                let info = Box::new(info);
                let told = if self.is_push {
                    Told::Pushed(info)
                } else {
                    Told::Identified(info)
                };
                talk.desk.told.push(told);
            }
            Err(error) => {
                talk.ground
                    .hold(Law::IdentifyIsTrue, false, || error.to_string());
            }
        }
    }
}

/// Pings the peer again and again, on one stream.
#[derive(Debug)]
pub(crate) struct Ping {
    pinger: Pinger,
    interval: Duration,
    waits: bool,
    sent: Duration,
}

impl Ping {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            pinger: Pinger::default(),
            interval,
            waits: false,
            sent: Duration::ZERO,
        }
    }

    fn start(&mut self, talk: &mut Talk<'_>) {
        let payload: [u8; PAYLOAD_LEN] = talk.chance().bytes();
        let payload = self.pinger.start(talk.ground.now(), payload);
        (self.waits, self.sent) = (true, talk.now());
        talk.write(&payload);
        talk.set_timeout(carrick_protocols::ping::TIMEOUT);
    }
}

impl Conversation for Ping {
    fn handle_opened(&mut self, talk: &mut Talk<'_>) {
        self.start(talk);
    }

    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
        let answered = self.pinger.recv(talk.ground.now(), bytes);
        let wrong = matches!(answered, Err(PingError::Mismatch | PingError::Unsolicited));
        talk.ground
            .hold(Law::PingEcho, !wrong, || format!("{answered:?}"));
        if let Ok(Some(rtt)) = answered {
            self.waits = false;
            let least = talk.peer_host.map_or(0, |peer| {
                let host = talk.host;
                2 * talk.ground.link(host, peer).latency
            });
            let least = Duration::from_nanos(least);
            let since = talk.now() - self.sent;
            talk.ground
                .hold(Law::PingIsPossible, rtt >= least && rtt == since, || {
                    format!("{rtt:?} over a way of {least:?}, after {since:?}")
                });
            talk.desk.told.push(Told::Pinged(rtt));
            talk.set_timeout(self.interval);
        }
    }

    fn handle_timeout(&mut self, talk: &mut Talk<'_>) {
        if self.waits {
            talk.reset(0);
        } else {
            self.start(talk);
        }
    }
}

/// Echoes pings.
#[derive(Debug, Default)]
pub(crate) struct Echo(Responder);

impl Conversation for Echo {
    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
        let mut echo = Vec::new();
        self.0.recv(bytes, &mut echo);
        talk.write(&echo);
    }
}
