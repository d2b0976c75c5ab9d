//! What is done to pipes and links on purpose.

use carrick_wire::ProtocolId;

use super::{Ground, RESEND, SECOND};
use crate::{
    agenda::Due,
    pipe::{Pipe, PipeId, Side},
};

/// As TCP's is set, nanoseconds.
const KEEP_ALIVE: u64 = 60 * SECOND;

impl Ground {
    /// The system's own keep-alive: it breaks pipes whose ends have not reached each other for a minute. It is what ends those
    /// with mplex, which has no word for it; yamux must find out by itself, and sooner.
    pub(crate) fn keep_alive(&mut self) {
        let now = self.nanos();
        let cut: Vec<_> = self
            .pipes
            .iter()
            .map(|(id, pipe)| {
                let hole = pipe.lanes.iter().any(|lane| lane.is_hole);
                (
                    *id,
                    hole || self.is_cut(pipe.ends[0].host, pipe.ends[1].host),
                )
            })
            .collect();
        for (id, is_cut) in cut {
            let Some(pipe) = self.pipes.get_mut(&id) else {
                continue;
            };
            let is_yamux = |(_, muxer): &(_, ProtocolId)| muxer.as_str().starts_with("/yamux");
            if !is_cut {
                pipe.reached_at = now;
            } else if now - pipe.reached_at > KEEP_ALIVE
                && !pipe.agreed.as_ref().is_some_and(is_yamux)
            {
                self.break_end(id, Side::DIALER);
                self.break_end(id, Side::LISTENER);
            }
        }
    }

    /// A link becomes so many times slower.
    pub(crate) fn slow_down(&mut self, a: usize, b: usize, times: u64) {
        self.link(a, b).slowness = times;
        self.taint_between(a, b);
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        *self.cuts.entry((a.min(b), a.max(b))).or_default() += 1;
        self.taint_between(a, b);
        self.disturbed = self.now;
    }

    pub(crate) fn mend(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if let Some(cuts) = self.cuts.get_mut(&pair) {
            *cuts -= 1;
            if *cuts == 0 {
                self.cuts.remove(&pair);
            }
        }
        self.resend(|x, y| (x.min(y), x.max(y)) == pair);
    }

    pub(crate) fn pipes_between(&self, a: usize, b: usize) -> Vec<PipeId> {
        let pair = (a.min(b), a.max(b));
        let ends = |pipe: &Pipe| (pipe.ends[0].host, pipe.ends[1].host);
        let between = |pipe: &&Pipe| {
            let (x, y) = ends(pipe);
            (x.min(y), x.max(y)) == pair
        };
        let all = self.pipes.iter().filter(|(_, pipe)| between(pipe));
        all.map(|(id, _)| *id).collect()
    }

    /// What goes wrong on these pipes is nobody's fault.
    pub(crate) fn taint_between(&mut self, a: usize, b: usize) {
        for id in self.pipes_between(a, b) {
            self.taint(id);
        }
    }

    pub(crate) fn taint_of(&mut self, host: usize) {
        for pipe in self.pipes.values_mut() {
            pipe.tainted |= pipe.ends.iter().any(|end| end.host == host);
        }
    }

    /// One direction of a pipe goes nowhere from now on.
    pub(crate) fn dig(&mut self, a: usize, b: usize, to_dialer: bool) {
        let side = if to_dialer {
            Side::DIALER
        } else {
            Side::LISTENER
        };
        for id in self.pipes_between(a, b) {
            self.taint(id);
            if let Some(pipe) = self.pipes.get_mut(&id) {
                let lane = pipe.lane_to(side);
                lane.is_hole = true;
                lane.queue.clear();
                lane.end_at = None;
            }
        }
    }

    /// A bit is turned of what is on its way between two hosts.
    pub(crate) fn corrupt(&mut self, a: usize, b: usize, bit: u64) {
        for id in self.pipes_between(a, b) {
            let Some(pipe) = self.pipes.get_mut(&id) else {
                continue;
            };
            let mut all = pipe.lanes.iter_mut().flat_map(|lane| &mut lane.queue);
            if let Some((_, bytes)) = all.find(|(_, bytes)| !bytes.is_empty()) {
                let mut changed = bytes.to_vec();
                let at = (bit >> 3) as usize % changed.len();
                changed[at] ^= 1 << (bit & 7);
                *bytes = changed.into();
                pipe.tainted = true;
                return;
            }
        }
    }

    /// Both sides are reset.
    pub(crate) fn reset(&mut self, id: PipeId) {
        self.taint(id);
        self.break_end(id, Side::DIALER);
        self.break_end(id, Side::LISTENER);
    }

    /// What waits on pipes between such hosts is sent again.
    pub(crate) fn resend(&mut self, between: impl Fn(usize, usize) -> bool) {
        self.disturbed = self.now;
        let now = self.now;
        let mut arrivals = Vec::new();
        for (id, pipe) in &mut self.pipes {
            if !between(pipe.ends[0].host, pipe.ends[1].host) {
                continue;
            }
            for side in [Side::DIALER, Side::LISTENER] {
                let lane = pipe.lane_to(side);
                if lane.armed.is_none() && lane.next_at().is_some() {
                    let at = now + RESEND + self.chance.below(SECOND);
                    lane.armed = Some(at);
                    arrivals.push((at, Due::Arrive(*id, side)));
                }
            }
        }
        for (at, due) in arrivals {
            self.schedule(at, due);
        }
    }

    /// The last time that something was done to a host.
    pub(crate) fn disturbed_of(&self, host: usize) -> u64 {
        self.disturbed_hosts.get(&host).copied().unwrap_or(0)
    }

    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        let dark = self.dark.contains(&a) || self.dark.contains(&b);
        dark || self.cuts.contains_key(&(a.min(b), a.max(b)))
    }

    pub(crate) fn taint(&mut self, id: PipeId) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.tainted = true;
        }
    }

    pub(crate) fn is_tainted(&self, id: PipeId) -> bool {
        self.pipes.get(&id).is_none_or(|pipe| pipe.tainted)
    }
}
