//! Does what the swarm wants.

use carrick_protocols::identify;
use carrick_session::Code;
use carrick_swarm::{Action, CloseReason, ConnectionId, DialError, Event, Notice, WaiterId};
use carrick_wire::PeerId;

use super::{ASK_AFTER, Node, builtin, place::Kind};
use crate::{config::Plant, conversation::Failure, ground::Ground, laws::Law};

/// Records that are saved at once.
const CHANGES_MAX: usize = 4096 + 1024;

impl Node {
    pub(super) fn act(&mut self, action: Action, ground: &mut Ground) {
        match action {
            Action::Dial {
                attempt,
                address,
                expected,
            } => self.dial(attempt, &address, expected, ground),
            Action::Abort { attempt } => self.abort(attempt, ground),
            Action::LookUp { lookup, .. } => {
                let result = Err("no names here".to_owned());
                self.later.push_back(Event::LookedUp { lookup, result });
            }
            Action::AbortLookUp { .. } => {}
            Action::Resolve { waiter, result } => self.resolve(waiter, result, ground),
            Action::Close { connection, reason } => self.close(connection, reason, ground),
            Action::CloseIdle { connection, reason } => {
                self.close_idle(connection, reason, ground);
            }
            Action::Keep { connection, keep } => {
                if self.lives(connection, "keep", ground)
                    && let Some(connection) = self.connections.get_mut(&connection)
                {
                    connection.kept = keep;
                }
                self.touched.insert(connection);
            }
            Action::Identify { connection } => {
                if self.lives(connection, "identify", ground) {
                    let due = ground.nanos() + ASK_AFTER;
                    self.to_identify.push_back((due, connection));
                }
            }
            Action::PushIdentify { connection } => self.push(connection, ground),
            Action::Prefer { peer, connection } => self.prefer(peer, connection, ground),
            Action::Save => self.save(ground),
            Action::Notice(notice) => self.notice(notice, ground),
        }
    }

    fn lives(&self, id: ConnectionId, what: &str, ground: &mut Ground) -> bool {
        let lives = self.connections.contains_key(&id);
        ground.hold(Law::ActionHitsLife, lives, || {
            format!("h{}: {what} c{id}", self.host)
        })
    }

    fn resolve(
        &mut self,
        id: WaiterId,
        result: Result<ConnectionId, DialError>,
        ground: &mut Ground,
    ) {
        // The swarm dials for kept peers under ids of its own.
        let is_own = id.0 > u64::MAX / 2;
        let asked = id.0 < self.next_waiter;
        let waiter = self.waiters.remove(&id);
        let here = || format!("h{}: waiter {id}", self.host);
        ground.hold(Law::AnswerIsKnown, is_own || asked, here);
        ground.hold(Law::AnswerOnce, !asked || waiter.is_some(), here);
        let Some(waiter) = waiter else { return };
        if ground.config.plant == Some(Plant::ForgetAnswer) {
            self.waiters.insert(id, waiter);
            return;
        }
        let took = ground.nanos().saturating_sub(waiter.asked);
        let max = ground.config.swarm.dial_timeout.as_nanos() as u64;
        ground.hold(Law::AnswerInTime, took <= max, || {
            format!("h{}: waiter {id} after {took} ns", self.host)
        });
        match result {
            Ok(connection) => {
                ground.step(self.host, "waiter {} gets c{}", &[id.0, connection.0]);
                let Some(found) = self.connections.get_mut(&connection) else {
                    ground.hold(Law::AnswerLives, false, || format!("c{connection}"));
                    return;
                };
                let right = found.peer == waiter.peer;
                ground.hold(Law::AnswerLives, right, || format!("c{connection}"));
                if let Some((protocol, conversation)) = waiter.call {
                    found.wish(protocol, conversation, Kind::User, ground.nanos());
                }
                self.touched.insert(connection);
            }
            Err(error) => {
                let calm = ground.config.faults.is_calm() && !ground.is_over;
                ground.hold(Law::CalmDial, !calm, || format!("h{}: {error}", self.host));
                ground.say(Some(self.host), format!("waiter {id} in vain: {error}"));
                let failure = Failure::Dial(error.to_string());
                self.answer_call(waiter, &failure, ground);
            }
        }
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason, ground: &mut Ground) {
        if !self.lives(id, "close", ground) {
            return;
        }
        ground.say(Some(self.host), format!("closes c{id}: {reason}"));
        if let Some(connection) = self.connections.get_mut(&id) {
            ground.taint(connection.pipe);
            match reason {
                CloseReason::Trimmed => connection.drain(ground.nanos()),
                CloseReason::Banned | CloseReason::Rejected | CloseReason::Misbehaved => {
                    connection.close(code_of(reason), reason, ground.nanos());
                    connection.expelled = true;
                    connection.lose("expelled");
                }
                _ => connection.close(code_of(reason), reason, ground.nanos()),
            }
        }
        self.touched.insert(id);
    }

    fn close_idle(&mut self, id: ConnectionId, reason: CloseReason, ground: &mut Ground) {
        if !self.lives(id, "close if idle", ground) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.is_used() {
            if reason == CloseReason::Duplicate {
                self.duplicates.insert(id, false);
            }
            self.later.push_back(Event::Spared {
                connection: id,
                held: false,
            });
        } else {
            ground.say(
                Some(self.host),
                format!("closes c{id}, which is idle: {reason}"),
            );
            ground.taint(connection.pipe);
            connection.close(code_of(reason), reason, ground.nanos());
            self.touched.insert(id);
        }
    }

    fn push(&mut self, id: ConnectionId, ground: &mut Ground) {
        if !self.lives(id, "push", ground) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            let told = self.place.identify(&connection.address.clone());
            let tell = Box::new(builtin::Tell::new(told));
            connection.wish(identify::PUSH_PROTOCOL, tell, Kind::Push, ground.nanos());
            self.touched.insert(id);
        }
    }

    fn prefer(&mut self, peer: PeerId, id: Option<ConnectionId>, ground: &mut Ground) {
        let right = id.is_none_or(|id| {
            let connection = self.connections.get(&id);
            connection.is_some_and(|connection| connection.peer == peer)
        });
        ground.hold(Law::PreferIsOpen, right, || {
            format!("h{}: {id:?} for {peer}", self.host)
        });
    }

    fn save(&mut self, ground: &mut Ground) {
        let unix = self.unix(ground);
        let changes = self.swarm.take_changes(ground.now(), unix);
        let count = changes.len();
        ground.hold(Law::SavedIsSmall, count <= CHANGES_MAX, || {
            format!("h{}: {count} records", self.host)
        });
        ground.step(self.host, "saves {} records", &[count as u64]);
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.disk.records.insert(key, value)),
                None => drop(self.disk.records.remove(&key)),
            }
        }
    }

    fn notice(&mut self, notice: Notice, ground: &mut Ground) {
        self.ledger.check(self.host, &notice, ground);
        match &notice {
            Notice::AddressesChanged => {
                let told = self.swarm.told_addresses();
                let wall = self.unix(ground);
                self.place.set_addresses(told, wall);
            }
            Notice::Banned {
                subject, reason, ..
            } => {
                let meant = reason.starts_with("quarrel");
                ground.hold(Law::HonestNotBanned, meant, || {
                    format!("h{}: {subject:?}: {reason}", self.host)
                });
                ground.say(Some(self.host), format!("bans {subject:?}: {reason}"));
            }
            Notice::LimitReached { limit } => {
                ground.say(Some(self.host), format!("reaches its limit {limit}"));
            }
            Notice::Identified { connection, .. } => {
                ground.step(self.host, "c{}: identified", &[connection.0]);
            }
            _ => {}
        }
    }
}

fn code_of(reason: CloseReason) -> Code {
    match reason {
        CloseReason::Duplicate => Code::SUPPLANTED,
        CloseReason::LimitExceeded => Code::LIMIT,
        CloseReason::Unwanted | CloseReason::Idle | CloseReason::Trimmed => Code::TRIMMED,
        CloseReason::Banned | CloseReason::Rejected => Code::GATED,
        CloseReason::Misbehaved => Code::VIOLATION,
        CloseReason::Shutdown => Code::SHUTDOWN,
        CloseReason::LocalPeer | CloseReason::WrongPeer | CloseReason::Requested => Code::NONE,
    }
}
