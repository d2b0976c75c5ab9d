//! From a pipe to a connection: dials, what knocks, and upgrades on their way.

use std::sync::Arc;

use carrick_session::{Role, SecureError, Upgrade, UpgradeError, Upgraded};
use carrick_swarm::{AttemptError, AttemptId, ConnectionId, Direction, Event, Origin};
use carrick_wire::{Multiaddr, PeerId};

use super::{
    Dial, Node, attempt_of,
    connection::{self, Connection},
};
use crate::{
    agenda::{AlarmOf, Due},
    ground::{Ground, SECOND, address_of, host_at, leaves_from},
    laws::Law,
    pipe::{Got, PipeId, Side, User},
};

/// A pipe on its way to become a connection.
#[derive(Debug)]
pub(crate) struct Upgrading {
    upgrade: Upgrade,
    pub(crate) pipe: PipeId,
    pub(crate) side: Side,
    origin: Origin,
    address: Multiaddr,
    peer_host: usize,
    expected: Option<PeerId>,
    out: Vec<u8>,
    failed: Option<UpgradeError>,
    done: Option<Box<Upgraded>>,
    pub(crate) begun: u64,
}

impl Node {
    pub(super) fn dial(
        &mut self,
        attempt: AttemptId,
        address: &Multiaddr,
        expected: Option<PeerId>,
        ground: &mut Ground,
    ) {
        let is_new = attempt.0 >= self.next_attempt;
        self.next_attempt = attempt.0 + 1;
        ground.hold(Law::DialIsNew, is_new, || format!("{attempt}"));
        ground.hold(Law::NothingAfterClose, !self.is_closed, || {
            format!("h{} dials {address}", self.host)
        });
        let wanted = !self.waiters.is_empty() || ground.config.kept_peers > 0;
        ground.hold(Law::DialIsWanted, wanted, || {
            format!("h{} dials {address}", self.host)
        });
        let limits = &ground.config.swarm;
        let (count, max) = (
            self.dials.len(),
            limits.dials_max * limits.attempts_per_peer_max,
        );
        ground.hold(Law::DialsAreBounded, count < max, || {
            format!("h{}: {count}", self.host)
        });
        let begun = ground.nanos();
        let mut dial = Dial {
            expected,
            pipe: None,
            upgrade: None,
            begun,
        };
        match host_at(address) {
            Some(target) if target < ground.peers.len() => {
                let numbers = [target as u64, attempt.0];
                ground.step(self.host, "dials h{} (attempt {})", &numbers);
                let dialer = (self.host, self.life);
                let pipe = ground.make_pipe(dialer, attempt.0, target);
                dial.pipe = Some(pipe);
            }
            _ => self.later.push_back(Event::AttemptFailed {
                attempt,
                error: AttemptError::Transport("no route to host".to_owned()),
            }),
        }
        self.dials.insert(attempt, dial);
    }

    pub(super) fn abort(&mut self, attempt: AttemptId, ground: &mut Ground) {
        let dial = self.dials.remove(&attempt);
        ground.hold(Law::AbortIsKnown, dial.is_some(), || {
            format!("h{}: attempt {attempt}", self.host)
        });
        ground.step(self.host, "aborts attempt {}", &[attempt.0]);
        let Some(dial) = dial else { return };
        // The other end may have taken it for a connection already.
        if let Some(pipe) = dial.pipe {
            ground.taint(pipe);
        }
        match (dial.upgrade, dial.pipe) {
            (Some(upgrade), _) => {
                if let Some(upgrading) = self.upgrades.remove(&upgrade) {
                    ground.close(upgrading.pipe, upgrading.side);
                }
            }
            (None, Some(pipe)) => ground.close(pipe, Side::DIALER),
            (None, None) => {}
        }
    }

    /// The dialer hears how its knock was answered.
    pub(crate) fn answered(&mut self, pipe: PipeId, refused: bool, ground: &mut Ground) {
        let Some(User::Attempt(attempt)) = ground.pipes.get(&pipe).map(|pipe| pipe.ends[0].user)
        else {
            return;
        };
        let attempt = AttemptId(attempt);
        let Some(expected) = self.dials.get(&attempt).map(|dial| dial.expected) else {
            return;
        };
        let target = ground.pipes.get(&pipe).map_or(0, |pipe| pipe.ends[1].host);
        if refused {
            self.dials.remove(&attempt);
            ground.close(pipe, Side::DIALER);
            let error = AttemptError::Transport("connection refused".to_owned());
            return self.event(Event::AttemptFailed { attempt, error }, ground);
        }
        let origin = Origin::Attempt(attempt);
        let id = self.begin(pipe, Side::DIALER, origin, target, expected, ground);
        if let Some(dial) = self.dials.get_mut(&attempt) {
            dial.upgrade = id;
        }
        self.event(Event::AttemptProgress { attempt }, ground);
        if let Some(id) = id {
            self.upgrade_moved(id, ground);
        }
        self.settle(ground);
    }

    /// Somebody knocks.
    pub(crate) fn knocked(&mut self, pipe: PipeId, from: usize, ground: &mut Ground) {
        let remote = leaves_from(from, pipe);
        if let Some(entry) = ground.pipes.get_mut(&pipe) {
            entry.end_mut(Side::LISTENER).life = self.life;
        }
        let at = ground.nanos() + ground.delay(self.host, from);
        let refused = false;
        ground.schedule(at, Due::Answered { pipe, refused });
        let admitted = self.swarm.admit(ground.now(), &remote, true);
        let closed = self.is_closed;
        ground.hold(Law::NothingAfterClose, !closed || admitted.is_err(), || {
            format!("h{} admits h{from}", self.host)
        });
        match admitted {
            Ok(pending) => {
                ground.step(
                    self.host,
                    "lets h{} in (pending {})",
                    &[from as u64, pending.0],
                );
                let origin = Origin::Pending(pending);
                self.begin(pipe, Side::LISTENER, origin, from, None, ground);
            }
            Err(refused) => {
                ground.say(
                    Some(self.host),
                    format!("does not let h{from} in: {refused}"),
                );
                ground.taint(pipe);
                ground.close(pipe, Side::LISTENER);
            }
        }
        self.settle(ground);
    }

    fn begin(
        &mut self,
        pipe: PipeId,
        side: Side,
        origin: Origin,
        peer_host: usize,
        expected: Option<PeerId>,
        ground: &mut Ground,
    ) -> Option<u64> {
        let (role, address) = match side {
            Side::DIALER => (Role::Dialer, address_of(peer_host)),
            _ => (Role::Listener, leaves_from(peer_host, pipe)),
        };
        let config = Arc::new(ground.config.session.clone());
        let upgrade = Upgrade::new(
            role,
            config,
            self.securities.clone(),
            self.muxers.clone(),
            expected,
            ground.now(),
            ground.chance.bytes(),
        );
        let Ok(upgrade) = upgrade else {
            ground.hold(Law::CalmUpgrade, false, || "it cannot begin".to_owned());
            return None;
        };
        let id = self.next_upgrade;
        self.next_upgrade += 1;
        let late = ground.nanos_of(upgrade.poll_timeout());
        ground.schedule_alarm(late, self.host, self.life, AlarmOf::Upgrade(id));
        if let Some(entry) = ground.pipes.get_mut(&pipe) {
            entry.end_mut(side).user = User::Upgrade(id);
        }
        let upgrading = Upgrading {
            upgrade,
            pipe,
            side,
            origin,
            address,
            peer_host,
            expected,
            out: Vec::new(),
            failed: None,
            done: None,
            begun: ground.nanos(),
        };
        self.upgrades.insert(id, upgrading);
        Some(id)
    }

    /// As much of an upgrade as can be done now.
    pub(super) fn upgrade_moved(&mut self, id: u64, ground: &mut Ground) {
        let Some(mut upgrading) = self.upgrades.remove(&id) else {
            return;
        };
        match upgrading.drive(ground) {
            Outcome::Waits => {
                self.upgrades.insert(id, upgrading);
            }
            Outcome::Failed(error) => self.upgrade_failed(upgrading, error, ground),
            Outcome::Done(upgraded) => self.establish(upgrading, *upgraded, ground),
        }
    }

    pub(super) fn upgrade_late(&mut self, id: u64, ground: &mut Ground) {
        let Some(upgrading) = self.upgrades.get(&id) else {
            return;
        };
        let error = upgrading.upgrade.handle_timeout(ground.now()).err();
        ground.hold(Law::UpgradeInTime, error.is_some(), || {
            "its deadline is over and it is not late".to_owned()
        });
        if let (Some(error), Some(upgrading)) = (error, self.upgrades.remove(&id)) {
            self.upgrade_failed(upgrading, error, ground);
        }
    }

    /// Whoever has not come in yet does not come in any more; the swarm stops what we dial.
    pub(super) fn drop_pending(&mut self, ground: &mut Ground) {
        let inbound = |upgrading: &mut Upgrading| attempt_of(upgrading.origin).is_none();
        for (_, upgrading) in self
            .upgrades
            .extract_if(.., |_, each| inbound(each))
            .collect::<Vec<_>>()
        {
            let error = UpgradeError::Closed("shutting down");
            self.upgrade_failed(upgrading, error, ground);
        }
    }

    fn upgrade_failed(&mut self, upgrading: Upgrading, error: UpgradeError, ground: &mut Ground) {
        let calm = ground.config.faults.is_calm() && !ground.is_over;
        let expected = ground.is_tainted(upgrading.pipe) || !calm;
        let text = format!("the upgrade with h{} failed: {error}", upgrading.peer_host);
        ground.hold(Law::CalmUpgrade, expected, || {
            format!("h{}: {text}", self.host)
        });
        ground.say(Some(self.host), text);
        ground.taint(upgrading.pipe);
        ground.close(upgrading.pipe, upgrading.side);
        let event = match upgrading.origin {
            Origin::Pending(pending) => Event::PendingFailed { pending },
            Origin::Attempt(attempt) => {
                self.dials.remove(&attempt);
                let error = match error {
                    UpgradeError::Secure(SecureError::WrongPeer { expected, found }) => {
                        AttemptError::WrongPeer { expected, found }
                    }
                    error => AttemptError::Upgrade(error.to_string()),
                };
                Event::AttemptFailed { attempt, error }
            }
        };
        self.later.push_back(event);
    }

    fn establish(&mut self, upgrading: Upgrading, upgraded: Upgraded, ground: &mut Ground) {
        self.check_upgraded(&upgrading, &upgraded, ground);
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let direction = match upgrading.origin {
            Origin::Attempt(_) => Direction::Outbound,
            Origin::Pending(_) => Direction::Inbound,
        };
        if let Some(attempt) = attempt_of(upgrading.origin) {
            self.dials.remove(&attempt);
        }
        let peer = upgraded.peer;
        let numbers = [id.0, upgrading.peer_host as u64, upgrading.pipe.0];
        ground.step(self.host, "c{} to h{} is up (pipe {})", &numbers);
        if let Some(entry) = ground.pipes.get_mut(&upgrading.pipe) {
            entry.end_mut(upgrading.side).user = User::Connection(id.0);
        }
        let origin = connection::Origin {
            id,
            peer_host: upgrading.peer_host,
            address: upgrading.address.clone(),
            direction,
            pipe: upgrading.pipe,
            side: upgrading.side,
        };
        let connection = Connection::new(origin, upgraded, ground, &self.place);
        self.connections.insert(id, connection);
        let established = Event::Established {
            connection: id,
            peer,
            address: upgrading.address,
            origin: upgrading.origin,
        };
        self.swarm.handle_event(ground.now(), established);
        while let Some(action) = self.swarm.poll_action() {
            self.act(action, ground);
        }
        if !self.swarm.holds(id)
            && let Some(connection) = self.connections.get_mut(&id)
        {
            ground.taint(connection.pipe);
            connection.lose("it was not let in");
        }
        self.touched.insert(id);
        self.watch_duplicates(peer);
        self.settle(ground);
    }

    fn check_upgraded(&self, upgrading: &Upgrading, upgraded: &Upgraded, ground: &mut Ground) {
        let there = ground.peers.get(upgrading.peer_host).copied();
        let found = upgraded.peer;
        let expected = upgrading.expected.is_none_or(|expected| expected == found);
        ground.hold(Law::UpgradeFinds, Some(found) == there && expected, || {
            format!("{found}, and {there:?} is there")
        });
        let took = ground.nanos() - upgrading.begun;
        let max = ground.config.session.upgrade_timeout.as_nanos() as u64 + SECOND;
        ground.hold(Law::UpgradeInTime, took <= max, || format!("{took} ns"));
        let summary = &upgraded.summary;
        let agreed = (summary.security.clone(), summary.muxer.clone());
        if let Some(entry) = ground.pipes.get_mut(&upgrading.pipe) {
            let first = entry.agreed.get_or_insert_with(|| agreed.clone()).clone();
            ground.hold(Law::UpgradeAgrees, first == agreed, || {
                format!("{first:?} and {agreed:?}")
            });
        }
    }
}

enum Outcome {
    Waits,
    Failed(UpgradeError),
    Done(Box<Upgraded>),
}

impl Upgrading {
    fn drive(&mut self, ground: &mut Ground) -> Outcome {
        loop {
            self.upgrade.poll_transmit(&mut self.out);
            while !self.out.is_empty() {
                match ground.write(self.pipe, self.side, &self.out) {
                    Some(0) => return Outcome::Waits,
                    Some(taken) => drop(self.out.drain(..taken)),
                    None => return Outcome::Failed(self.upgrade.closed()),
                }
            }
            if let Some(error) = self.failed.take() {
                return Outcome::Failed(error);
            }
            if let Some(done) = self.done.take() {
                return Outcome::Done(done);
            }
            match ground.read(self.pipe, self.side) {
                Got::Bytes(bytes) => {
                    self.failed = self.upgrade.recv(ground.now(), &bytes).err();
                    self.done = self.upgrade.finish().map(Box::new);
                }
                Got::Nothing => return Outcome::Waits,
                Got::End | Got::Broken => return Outcome::Failed(self.upgrade.closed()),
            }
        }
    }
}
