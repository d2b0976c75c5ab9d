//! What happens to a world from outside, as its scenario has it.

use std::time::Duration;

use carrick_swarm::{Event, Subject};
use carrick_wire::Protocol;

use super::{Disk, Host, World};
use crate::{
    agenda::{Due, Over},
    ground::{GRACE, SECOND, address_of},
    scenario::What,
};

impl World {
    pub(crate) fn operate(&mut self, at: usize) {
        let what = self.operations[at].what.clone();
        self.ground.say(None, format!("{what:?}"));
        let now = self.ground.nanos();
        match what {
            What::Call {
                from,
                to,
                seed,
                known,
            } => {
                if self.hosts[from].node.is_some() {
                    let call = self.caller(seed);
                    self.call_at(from, to, known, call);
                }
            }
            What::Cut { a, b, seconds } => {
                self.ground.cut(a, b);
                let over = Due::Over(Over::Cut(a, b));
                self.ground.schedule(now + seconds * SECOND, over);
            }
            What::Crash {
                host,
                seconds,
                keeps_disk,
                silent,
            } => self.crash(host, seconds, keeps_disk, silent),
            What::Suspend { host, seconds } => {
                self.hosts[host].suspensions += 1;
                self.hosts[host].suspended.get_or_insert(now);
                self.ground.taint_of(host);
                let over = Due::Over(Over::Suspension(host));
                self.ground.schedule(now + seconds * SECOND, over);
            }
            What::SetClock { host, seconds } => {
                let by = Duration::from_secs(seconds.unsigned_abs());
                let Host { wall, node, .. } = &mut self.hosts[host];
                *wall = if seconds < 0 { *wall - by } else { *wall + by };
                if let Some(node) = node {
                    node.wall = *wall;
                }
            }
            What::Slow {
                a,
                b,
                times,
                seconds,
            } => {
                self.ground.slow_down(a, b, times);
                let over = Due::Over(Over::Slow(a, b));
                self.ground.schedule(now + seconds * SECOND, over);
            }
            What::Reset { a, b } => {
                for pipe in self.ground.pipes_between(a, b) {
                    self.ground.reset(pipe);
                }
            }
            What::Hole { a, b, to_dialer } => self.ground.dig(a, b, to_dialer),
            What::Corrupt { a, b, bit } => self.ground.corrupt(a, b, bit),
            What::Disconnect { .. }
            | What::Ban { .. }
            | What::Trim { .. }
            | What::Announce { .. } => self.quarrel(&what),
        }
    }

    pub(crate) fn quarrel(&mut self, what: &What) {
        let (host, to) = match *what {
            What::Disconnect { from, to } | What::Ban { from, to, .. } => (from, to),
            What::Trim { host } | What::Announce { host, .. } => (host, host),
            _ => return,
        };
        let (ground, peer) = (&mut self.ground, self.hosts[to].peer());
        let Some(node) = &mut self.hosts[host].node else {
            return;
        };
        let now = ground.now();
        match *what {
            What::Ban { seconds, .. } => {
                node.tell_time(ground);
                let time = Duration::from_secs(seconds);
                let reason = "quarrel".to_owned();
                node.swarm.ban(now, Subject::Peer(peer), Some(time), reason);
            }
            What::Trim { .. } => node.swarm.trim(now),
            What::Announce { port, .. } => {
                let mut address = address_of(host);
                address.pop();
                let address = address.with(Protocol::Tcp(port));
                node.swarm.announce(now, address);
            }
            _ => node.event(Event::Disconnect { peer }, ground),
        }
        node.settle(ground);
    }

    pub(crate) fn crash(&mut self, host: usize, seconds: u64, keeps_disk: bool, silent: bool) {
        let machine = &mut self.hosts[host];
        machine.down += 1;
        machine.suspended = None;
        let deferred = std::mem::take(&mut machine.deferred);
        if let Some(node) = machine.node.take() {
            let (disk, handlers) = node.kill(silent, &mut self.ground);
            machine.disk = if keeps_disk { disk } else { Disk::default() };
            machine.handlers = handlers;
        }
        if silent {
            self.ground.dark.insert(host);
        }
        self.ground.taint_of(host);
        for due in deferred {
            // Alarms end with their process; what others have sent still comes.
            if !matches!(due, Due::Alarm { .. }) {
                self.ground.schedule(self.ground.nanos(), due);
            }
        }
        let at = self.ground.nanos() + seconds * SECOND;
        self.ground.schedule(at, Due::Over(Over::Crash(host)));
    }

    pub(crate) fn over(&mut self, over: &Over) {
        match *over {
            Over::Cut(a, b) => self.ground.mend(a, b),
            Over::Slow(a, b) => self.ground.link(a, b).slowness = 1,
            Over::Crash(host) => {
                self.hosts[host].down -= 1;
                if self.hosts[host].down == 0 {
                    self.ground.dark.remove(&host);
                    self.ground.say(Some(host), "starts again".to_owned());
                    self.hosts[host].start(host, &mut self.ground);
                    self.ground.resend(|a, b| a == host || b == host);
                }
            }
            Over::Suspension(host) => {
                self.hosts[host].suspensions -= 1;
                if self.hosts[host].suspensions == 0 {
                    self.resume(host);
                }
            }
        }
    }

    pub(crate) fn resume(&mut self, host: usize) {
        let now = self.ground.nanos();
        let Some(since) = self.hosts[host].suspended.take() else {
            return;
        };
        self.ground.say(Some(host), "goes on".to_owned());
        self.ground.disturbed_hosts.insert(host, now);
        let slept = Duration::from_nanos(now - since);
        if let Some(node) = &mut self.hosts[host].node {
            node.slept(slept, &mut self.ground);
        }
        // What has come meanwhile is read before anybody is given up.
        for due in std::mem::take(&mut self.hosts[host].deferred) {
            let at = match due {
                Due::Alarm { .. } => now + GRACE,
                _ => now,
            };
            self.ground.schedule(at, due);
        }
    }
}
