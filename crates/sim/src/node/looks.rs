//! What must hold of a connection: after each turn, and when nothing happens.

use std::time::Duration;

use carrick_session::Code;

use super::{
    connection::{Connection, OWN_MAX, Phase, outbound_max},
    place::{Kind, Place},
    strand::Strand,
};
use crate::{
    conversation::Failure,
    ground::{GRACE, Ground, SECOND},
    laws::Law,
};

/// A dead peer is found out by now: two intervals of the muxer's keep-alive, and of the audits that measure it.
const DEAD: u64 = 80 * SECOND;

impl Connection {
    /// In a calm world no stream of a user's fails, but for slow readers of a muxer without flow control.
    pub(crate) fn check_failure(
        &self,
        strand: &Strand,
        failure: &Failure,
        ground: &mut Ground,
        place: &Place,
    ) {
        let slow = !self.has_keep_alive && *failure == Failure::Reset(Code::RATE_LIMITED);
        let calm = ground.config.faults.is_calm() && !ground.is_over;
        let excused = !calm || ground.is_tainted(self.pipe) || strand.kind != Kind::User || slow;
        ground.hold(Law::CalmStream, excused, || {
            format!("h{} c{}: {failure}", place.host, self.id)
        });
        // Whatever ends a connection in use was done to it, or wanted by one of its ends.
        let explained = !matches!(failure, Failure::Lost(_)) || ground.is_tainted(self.pipe);
        ground.hold(Law::StreamFails, explained || ground.is_over, || {
            format!("h{} c{}: {failure}", place.host, self.id)
        });
    }

    pub(crate) fn check(&self, ground: &mut Ground, place: &Place) {
        let (known, counted) = (self.strands.len(), self.mux.streams());
        let here = || {
            format!(
                "h{} c{}: {known} known, {counted} counted",
                place.host, self.id
            )
        };
        ground.hold(Law::StreamsMatch, known <= counted, here);
        let max = outbound_max(ground) + OWN_MAX + ground.config.session.inbound_streams_max;
        // Those that linger were the user's before.
        ground.hold(Law::StreamsLimit, counted <= max, here);
        let used = place.windows.used();
        ground.hold(Law::WindowsLent, used <= place.windows.max(), || {
            format!("{used} bytes")
        });
        if let Some(rtt) = self.mux.rtt() {
            let least = 2 * ground.link(place.host, self.peer_host).latency;
            ground.hold(
                Law::RttIsPossible,
                rtt >= Duration::from_nanos(least),
                || format!("{rtt:?} over a way of {least} ns"),
            );
        }
    }

    /// Looks at what only shows when nothing happens.
    pub(crate) fn audit(&mut self, ground: &mut Ground, place: &Place) {
        let now = ground.nanos();
        let here = format!("h{} c{}", place.host, self.id);
        self.audit_times(&here, ground, place);
        for strand in self.strands.values() {
            let by = strand.deadline.unwrap_or(now);
            ground.hold(Law::NegotiatesInTime, by >= now, || {
                format!("{here} s{}", strand.index())
            });
            if strand.writes_blocked && strand.is_writing() {
                let written = self.mux.write(strand.key, &strand.head, &strand.desk.out);
                ground.hold(Law::NoLostRoom, !matches!(written, Ok(Some(_))), || {
                    format!("{here} s{}: {written:?}", strand.index())
                });
            }
            if strand.reads_blocked && strand.is_reading() {
                let read = self.mux.read(ground.now(), strand.key);
                let blocked = matches!(read, Ok(carrick_session::Read::Blocked));
                ground.hold(Law::NoLostWakeup, blocked, || {
                    format!("{here} s{}: {read:?}", strand.index())
                });
            }
            let since = now - strand.progress.max(ground.disturbed_of(place.host));
            let excused = !self.has_keep_alive && ground.is_tainted(self.pipe);
            let patient = since <= 60 * SECOND || !strand.is_waiting() || excused;
            ground.hold(Law::NobodyStuck, patient, || {
                format!(
                    "{here} s{} ({}) since {} s",
                    strand.index(),
                    strand.protocol,
                    since / SECOND
                )
            });
        }
        if self.wishes_blocked && !self.wishes.is_empty() {
            let by = self.wishes.front().map_or(now, |wish| wish.by);
            ground.hold(Law::NoLostOpen, by >= now, || here.clone());
        }
    }

    /// What a connection has a time for, it has done in that time.
    fn audit_times(&self, here: &str, ground: &mut Ground, place: &Place) {
        let now = ground.nanos();
        let by = match self.phase {
            Phase::Closing { by } => by,
            Phase::Open | Phase::Lost(_) => now,
        };
        ground.hold(Law::CloseInTime, by >= now, || here.to_owned());
        let idle = ground.config.idle_timeout.filter(|_| !self.kept);
        let idle_by = self.idle_since.zip(idle).map(|(since, idle)| since + idle);
        let goes = !self.is_open() || idle_by.is_none_or(|by| by >= ground.now());
        // Whoever was suspended does what was due a moment after it goes on (seed 763).
        let is_late = ground.disturbed_of(place.host) + GRACE >= now;
        ground.hold(Law::IdleGoes, goes || is_late, || here.to_owned());
        let reached = ground
            .pipes
            .get(&self.pipe)
            .map_or(now, |pipe| pipe.reached_at);
        let silent = now - reached.max(ground.disturbed_of(place.host));
        let found = silent <= DEAD || !self.has_keep_alive;
        ground.hold(Law::DeadIsFound, found, || {
            format!("{here}: silent for {} s", silent / SECOND)
        });
    }
}
