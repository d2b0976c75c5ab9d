//! From an accepted socket or a finished upgrade to a connection with its tasks, and which connections are superfluous.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use carrick_swarm::{ConnectionId, Direction, Event, Origin};
use carrick_wire::{Multiaddr, PeerId};
use futures::FutureExt;
use tracing::{Instrument, Span, debug, debug_span};

use super::{Control, caught};
use crate::{
    AttemptError, ConnectionError,
    carried::Carried,
    connection::{
        self, Channel, Link, Shared,
        muxed::{Muxed, duo, reader::Reader, writer},
        quic::{self, Quic},
    },
    dial::{self, FirstWords},
    identify, inbound,
    message::{Carrier, Halves, Message, Newcomer, Session},
    metrics::Tally,
    quotas::{ConnectionPermit, Share},
    steps::{self, Step},
};

impl Control {
    /// Admission comes before the first byte is read, and before QUIC's handshake.
    pub(super) fn accepted(&mut self, newcomer: Newcomer) {
        let Newcomer {
            arrival,
            remote,
            permit,
        } = newcomer;
        self.make_room(&remote);
        let validated = arrival.is_validated();
        let pending = match self.swarm.admit(Instant::now(), &remote, validated) {
            Ok(pending) => pending,
            Err(refused) => {
                debug!(%remote, %refused, "an inbound connection was refused");
                arrival.refuse(&refused);
                return self.act();
            }
        };
        let (node, begun) = (self.node.clone(), Instant::now());
        let mut arrival = dial::protect(&node, arrival);
        let task = self.tasks.spawn(async move {
            let first = caught(FirstWords::hear(&node, &mut arrival, begun)).await;
            // What follows has a place of its own: who says nothing does not hold it.
            let upgrade = async move {
                let result = match first {
                    Some(first) => {
                        let upgrade = dial::upgrade_inbound(&node, arrival, first, permit, begun);
                        let upgraded = caught(upgrade).await;
                        upgraded.unwrap_or(Err(AttemptError::Aborted)).map(Box::new)
                    }
                    None => Err(AttemptError::Aborted),
                };
                if let Ok(session) = &result {
                    node.metrics.upgraded(&remote, &session.summary, begun);
                }
                node.send(Message::Upgraded {
                    pending,
                    remote,
                    result,
                })
                .await;
            };
            Box::pin(upgrade).await;
        });
        self.upgrades.insert(pending, (begun, task));
    }

    /// When all places for handshakes are taken, the oldest one that has had its time makes room for a newcomer: else a few
    /// who say nothing would keep everybody out.
    fn make_room(&mut self, newcomer: &Multiaddr) {
        if self.upgrades.len() < self.node.config.swarm.pending_inbound_max {
            return;
        }
        let Some(oldest) = self.upgrades.first_entry() else {
            return;
        };
        if oldest.get().0.elapsed() < FAIR_TIME {
            return;
        }
        let (pending, (_, upgrade)) = oldest.remove_entry();
        upgrade.abort();
        debug!(%newcomer, "the oldest handshake makes room");
        self.event(Event::PendingFailed { pending });
    }

    pub(super) fn establish(&mut self, session: Session, address: Multiaddr, origin: Origin) {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let direction = match origin {
            Origin::Attempt(_) => Direction::Outbound,
            Origin::Pending(_) => Direction::Inbound,
        };
        let peer = session.peer;
        let outbound_max = self.node.config.session.outbound_streams_max;
        let another = self.swarm.connections(&peer).next();
        let another = another.and_then(|(id, _)| self.connections.get(&id));
        let share = another.map(|shared| shared.share.clone());
        let share = share.unwrap_or_else(|| Share::new(self.node.quotas.clone()));
        let details = connection::Origin {
            id,
            peer,
            key: session.key,
            summary: session.summary,
            address: address.clone(),
            direction,
            outbound_max,
            hurry: self.hurry.clone(),
            negotiation_timeout: self.node.config.negotiation_timeout,
            share: share.clone(),
            tally: Tally::new(&self.node.metrics, &address),
        };
        let (link, halves) = self.link(session.carrier, share);
        let shared = Arc::new(Shared::new(details, link));
        shared.set_outbound_max(outbound_max.min(identify::FOREIGN_STREAMS_MAX));
        self.connections.insert(id, shared.clone());
        self.event(Event::Established {
            connection: id,
            peer,
            address,
            origin,
        });
        let admitted = self.swarm.holds(id);
        if !admitted {
            // No limit counts a connection that was not taken in: it must not live until the peer closes its side.
            shared.lose(ConnectionError::Closed);
        }
        steps::passed(Step::ConnectionAdmitted);
        // Only now: no stream of a peer is served before the peer is let in.
        self.start(&shared, halves, admitted, session.permit);
        steps::passed(Step::ConnectionStarted);
        self.watch_duplicates(peer);
    }

    /// What will carry the connection's streams, and what a muxer leaves to its reader and writer.
    fn link(&self, carrier: Carrier, share: Arc<Share>) -> (Link, Option<Halves>) {
        match carrier {
            Carrier::Pipe(upgraded) => {
                let (mut mux, halves) = upgraded.split();
                mux.set_window_pool(share);
                let muxed = Muxed::new(mux, halves.pipe.reader.local_ip());
                (Link::Muxed(muxed), Some(halves))
            }
            Carrier::Quic(secured) => {
                let config = &self.node.config.session;
                let quic = Quic::new(secured, config.outbound_streams_max, config);
                (Link::Quic(quic), None)
            }
        }
    }

    /// Starts the connection's tasks.
    fn start(
        &self,
        shared: &Arc<Shared>,
        halves: Option<Halves>,
        lingers: bool,
        permit: ConnectionPermit,
    ) {
        let span = span(shared);
        let idle_timeout = self.node.config.idle_timeout;
        let incoming = self.server(shared);
        let Some(halves) = halves else {
            let run = quic::run(shared.clone(), idle_timeout, incoming);
            return self.spawn_last(shared, run, permit, span);
        };
        let write = writer::run(shared.clone(), halves.pipe.writer, halves.sealer);
        let write = caught_or_lost(shared.clone(), write).instrument(span.clone());
        let reader = Reader {
            shared: shared.clone(),
            pipe: halves.pipe.reader,
            opener: halves.opener,
            leftover: halves.leftover,
            idle_timeout,
            lingers,
            incoming,
        };
        let of = shared.clone();
        let is_busy = move || of.muxed().is_busy();
        let run = duo::run(is_busy, Box::pin(reader.run()), Box::pin(write));
        self.spawn_last(shared, run, permit, span);
    }

    /// Serves every stream that the peer opens.
    fn server(&self, shared: &Arc<Shared>) -> impl FnMut(Channel) + use<> {
        let (node, shared) = (self.node.clone(), shared.clone());
        move |channel| inbound::arrive(&node, &shared, channel)
    }

    /// Runs the task with which the connection ends, and then tells us so.
    fn spawn_last(
        &self,
        shared: &Arc<Shared>,
        run: impl Future<Output = ()> + Send + 'static,
        permit: ConnectionPermit,
        span: Span,
    ) {
        let (node, connection) = (self.node.clone(), shared.id);
        let run = caught_or_lost(shared.clone(), run);
        let run = run.map(move |()| {
            // What it ran with is gone by now.
            drop(permit);
            steps::passed(Step::ConnectionEnded);
            node.post(Message::Ended { connection });
        });
        tokio::spawn(run.instrument(span));
    }

    /// Whoever shares its peer with another connection is asked from time to time whether it is idle.
    pub(super) fn watch_duplicates(&mut self, peer: PeerId) {
        let all: Vec<_> = self.swarm.connections(&peer).map(|(id, _)| id).collect();
        for id in &all {
            if all.len() > 1 {
                self.duplicates.entry(*id).or_insert(false);
            } else {
                self.duplicates.remove(id);
            }
        }
    }

    /// Only connections that share their peer are asked: the others' streams come and go without a word to us.
    pub(super) fn check_duplicates(&mut self) {
        let mut changed = Vec::new();
        for (id, was_idle) in &mut self.duplicates {
            let idle = self
                .connections
                .get(id)
                .is_some_and(|shared| shared.idle_since().is_some());
            if idle != *was_idle {
                *was_idle = idle;
                changed.push(Event::Idle {
                    connection: *id,
                    idle,
                });
            }
        }
        changed.into_iter().for_each(|event| self.event(event));
    }
}

/// What each of the connection's log lines says of it; nothing in it is the peer's own word.
fn span(shared: &Shared) -> Span {
    debug_span!(
        "connection",
        peer = %shared.peer,
        id = shared.id.0,
        transport = Carried::by(&shared.address).name(),
        direction = ?shared.direction,
        security = %shared.summary.security,
        muxer = %shared.summary.muxer,
    )
}

fn caught_or_lost(shared: Arc<Shared>, run: impl Future<Output = ()>) -> impl Future<Output = ()> {
    caught(run).map(move |finished| {
        if finished.is_none() {
            shared.lose(ConnectionError::Io(io::ErrorKind::Other));
        }
    })
}

/// What a handshake takes on a long way: some round trips.
const FAIR_TIME: Duration = Duration::from_secs(1);
