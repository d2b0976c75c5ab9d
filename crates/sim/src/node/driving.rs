//! What a connection does for one of its streams: lets it write and read, negotiates for it, and tells its conversation.

use bytes::Bytes;
use carrick_session::{Code, NegotiateError, Read, StreamError, negotiate::Request};
use carrick_wire::ProtocolId;

use super::{
    connection::Connection,
    place::{Guest, Kind, Place},
    strand::{Fate, NEGOTIATION, Stage, Strand},
};
use crate::{
    config::Plant,
    conversation::{Conversation, Failure, Talk},
    ground::Ground,
    laws::Law,
};

/// What is offered to the muxer at once.
const WRITE_MAX: usize = 64 << 10;
/// What every stream of yamux may be sent unasked.
const WINDOW: usize = 256 << 10;

impl Connection {
    /// Does with a stream all that can be done now; true when it is over.
    pub(crate) fn drive(
        &mut self,
        strand: &mut Strand,
        ground: &mut Ground,
        place: &mut Place,
    ) -> Fate {
        self.check_times(strand, ground, place)?;
        if strand.conversation.is_some()
            && matches!(strand.stage, Stage::Talking(_))
            && !strand.opened
        {
            strand.opened = true;
            self.tell(strand, ground, place, |conversation, talk| {
                conversation.handle_opened(talk);
            });
        }
        loop {
            if let Some(code) = strand.desk.reset.take() {
                self.mux.reset(strand.key, code);
                return Ok(true);
            }
            let wrote = self.write_strand(strand, ground, place)?;
            let read = self.read_strand(strand, ground, place)?;
            if strand.is_over() {
                return Ok(true);
            }
            if !wrote && !read && strand.desk.reset.is_none() {
                return Ok(false);
            }
            strand.progress = ground.nanos();
        }
    }

    fn check_times(
        &mut self,
        strand: &mut Strand,
        ground: &mut Ground,
        place: &mut Place,
    ) -> Result<(), Failure> {
        let now = ground.nanos();
        if strand.deadline.is_some_and(|at| at <= now) {
            strand.deadline = None;
            if !matches!(strand.stage, Stage::Talking(_)) {
                self.mux.reset(strand.key, Code::NEGOTIATION_FAILED);
                return Err(Failure::Open("the negotiation took too long"));
            } else if strand.kind != Kind::User {
                self.mux.reset(strand.key, Code::NONE);
                return Err(Failure::Open("no answer in time"));
            }
        }
        if strand.desk.paused.is_some_and(|at| at <= now) {
            strand.desk.paused = None;
            strand.reads_blocked = false;
            strand.progress = now;
        }
        if strand.desk.timeout.is_some_and(|at| at <= now) {
            strand.desk.timeout = None;
            self.tell(strand, ground, place, |conversation, talk| {
                conversation.handle_timeout(talk);
            });
        }
        Ok(())
    }

    /// Lets the conversation hear something.
    pub(crate) fn tell(
        &self,
        strand: &mut Strand,
        ground: &mut Ground,
        place: &mut Place,
        what: impl FnOnce(&mut dyn Conversation, &mut Talk<'_>),
    ) {
        if let Some(mut conversation) = strand.conversation.take() {
            let mut talk = Talk {
                ground,
                desk: &mut strand.desk,
                host: place.host,
                peer: self.peer,
                peer_host: Some(self.peer_host),
            };
            what(&mut *conversation, &mut talk);
            strand.conversation = Some(conversation);
            let told = strand.desk.told.drain(..);
            place.told.extend(told.map(|told| (self.id, told)));
        }
    }

    fn write_strand(
        &mut self,
        strand: &mut Strand,
        ground: &mut Ground,
        place: &mut Place,
    ) -> Fate {
        let mut moved = false;
        while strand.is_writing() && !strand.writes_blocked {
            let offered = strand.desk.out.len().min(WRITE_MAX);
            let written = self
                .mux
                .write(strand.key, &strand.head, &strand.desk.out[..offered]);
            match written {
                Ok(Some(count)) => {
                    ground.hold(Law::WriteIsBounded, count <= offered, || {
                        format!("{count} of {offered} bytes were taken")
                    });
                    let went_on = count > 0 || !strand.head.is_empty();
                    ground.hold(Law::WriteProgress, went_on, || {
                        format!("h{} {}: nothing of {offered}", place.host, self.id)
                    });
                    strand.head.clear();
                    drop(strand.desk.out.split_to(count));
                    moved = true;
                }
                Ok(None) => strand.writes_blocked = true,
                Err(error) => return Err(self.failure(strand, error, ground)),
            }
            if strand.opened && strand.desk.out.is_empty() && !strand.desk.finish {
                self.tell(strand, ground, place, |conversation, talk| {
                    conversation.handle_drained(talk);
                });
            }
        }
        if strand.desk.finish && !strand.finished && !strand.is_writing() {
            let finished = self.mux.finish(strand.key);
            ground.hold(
                Law::FinishOnce,
                finished != Err(StreamError::Finished),
                || format!("h{} {}", place.host, self.id),
            );
            if let Err(error) = finished {
                return Err(self.failure(strand, error, ground));
            }
            strand.finished = true;
            moved = true;
        }
        Ok(moved)
    }

    fn read_strand(&mut self, strand: &mut Strand, ground: &mut Ground, place: &mut Place) -> Fate {
        let mut moved = false;
        while strand.is_reading() && !strand.reads_blocked && strand.desk.reset.is_none() {
            match self.mux.read(ground.now(), strand.key) {
                Ok(Read::Data(bytes)) => {
                    ground.hold(Law::ReadIsData, !bytes.is_empty(), || {
                        format!("h{} {}", place.host, self.id)
                    });
                    ground.hold(Law::EndAfterData, !strand.ended, || {
                        format!("h{} {}", place.host, self.id)
                    });
                    let (len, max) = (bytes.len(), window_max(ground));
                    ground.hold(
                        Law::ReadIsBounded,
                        len <= max || !self.has_keep_alive,
                        || format!("h{} {}: {len} of {max}", place.host, self.id),
                    );
                    moved = true;
                    self.take(strand, bytes, ground, place)?;
                }
                Ok(Read::Blocked) => strand.reads_blocked = true,
                Ok(Read::End) => {
                    strand.ended = true;
                    moved = true;
                    self.end(strand, ground, place)?;
                }
                Err(error) => return Err(self.failure(strand, error, ground)),
            }
        }
        Ok(moved)
    }

    /// The peer's side has ended.
    fn end(
        &mut self,
        strand: &mut Strand,
        ground: &mut Ground,
        place: &mut Place,
    ) -> Result<(), Failure> {
        match &strand.stage {
            Stage::Talking(None) => {
                self.tell(strand, ground, place, |conversation, talk| {
                    conversation.handle_end(talk);
                });
                Ok(())
            }
            // It went away before it had chosen.
            Stage::Hearing(_) => {
                strand.desk.reset = Some(Code::NONE);
                Ok(())
            }
            Stage::Asking(_) | Stage::Talking(Some(_)) => {
                Err(Failure::Negotiation("ended early".to_owned()))
            }
        }
    }

    /// Bytes have come: for the negotiation, then for the conversation.
    fn take(
        &mut self,
        strand: &mut Strand,
        mut bytes: Bytes,
        ground: &mut Ground,
        place: &mut Place,
    ) -> Result<(), Failure> {
        match &mut strand.stage {
            Stage::Asking(dialer) | Stage::Talking(Some(dialer)) => {
                let used = match dialer.recv(&bytes) {
                    Ok(used) => used,
                    Err(error) => return Err(self.refused(strand, &error, ground, place)),
                };
                dialer.poll_transmit(&mut strand.head);
                bytes = bytes.slice(used..);
                let Some(agreed) = dialer.outcome().cloned() else {
                    return Ok(());
                };
                let proposed = agreed == strand.protocol;
                ground.hold(Law::NegotiatesProtocol, proposed, || {
                    format!("{agreed} instead of {}", strand.protocol)
                });
                self.spoken.insert(agreed);
                let was_asking = matches!(strand.stage, Stage::Asking(_));
                strand.stage = Stage::Talking(None);
                if matches!(strand.kind, Kind::User | Kind::Ping) {
                    strand.deadline = None;
                }
                if was_asking {
                    strand.opened = true;
                    self.tell(strand, ground, place, |conversation, talk| {
                        conversation.handle_opened(talk);
                    });
                }
            }
            Stage::Hearing(_) => bytes = self.hear(strand, bytes, ground, place)?,
            Stage::Talking(None) => {}
        }
        if !bytes.is_empty() && matches!(strand.stage, Stage::Talking(_)) {
            let bytes = planted(ground, bytes);
            self.hand_over(strand, bytes, ground, place);
        }
        Ok(())
    }

    /// In a world that cuts what is sent, a conversation gets it in pieces: no protocol may count on a frame's borders.
    fn hand_over(
        &self,
        strand: &mut Strand,
        mut bytes: Bytes,
        ground: &mut Ground,
        place: &mut Place,
    ) {
        while !bytes.is_empty() {
            let cuts = ground.config.faults.piece_max > 0 && ground.chance.odds(300);
            let size = match bytes.len() {
                len if cuts => ground.chance.between(1, len as u64) as usize,
                len => len,
            };
            let piece = bytes.split_to(size);
            self.tell(strand, ground, place, |conversation, talk| {
                conversation.recv(talk, &piece);
            });
        }
    }

    fn refused(
        &mut self,
        strand: &Strand,
        error: &NegotiateError,
        ground: &mut Ground,
        place: &Place,
    ) -> Failure {
        let numbers = [self.id.0, strand.index() as u64];
        ground.step(place.host, "c{} s{}: the peer refuses", &numbers);
        self.spoken.remove(&strand.protocol);
        Failure::Negotiation(error.to_string())
    }

    /// What the peer proposes.
    fn hear(
        &mut self,
        strand: &mut Strand,
        mut bytes: Bytes,
        ground: &mut Ground,
        place: &mut Place,
    ) -> Result<Bytes, Failure> {
        let Stage::Hearing(listener) = &mut strand.stage else {
            return Ok(bytes);
        };
        let mut out = Vec::new();
        let mut agreed = None;
        while !bytes.is_empty() && agreed.is_none() {
            let (used, request) = match listener.recv(&bytes) {
                Ok(received) => received,
                Err(error) => {
                    listener.poll_transmit(&mut out);
                    strand.head.extend_from_slice(&out);
                    let _ = self.mux.write(strand.key, &strand.head, &[]);
                    self.mux.reset(strand.key, Code::NEGOTIATION_FAILED);
                    return Err(Failure::Negotiation(error.to_string()));
                }
            };
            bytes = bytes.slice(used..);
            match request {
                Some(Request::Protocol(protocol)) => {
                    let guest = Guest {
                        peer: self.peer,
                        address: &self.address,
                        identifies: self.count_of(Kind::Identify),
                        pings: self.count_of(Kind::Ping),
                        may_push: self.allows_push(ground.now()),
                    };
                    if let Some(accepted) = place.accept(&protocol, &guest) {
                        listener.accept();
                        agreed = Some((protocol, accepted));
                    } else {
                        listener.refuse();
                    }
                }
                Some(Request::List) => listener.list(place.protocols()),
                None => {}
            }
        }
        listener.poll_transmit(&mut out);
        strand.desk.out.extend_from_slice(&out);
        let Some((protocol, accepted)) = agreed else {
            return Ok(Bytes::new());
        };
        let Some((kind, conversation)) = accepted else {
            self.mux.reset(strand.key, Code::LIMIT);
            return Err(Failure::Open("one too many"));
        };
        let numbers = [self.id.0, strand.index() as u64];
        ground.step(place.host, "c{} s{}: agreed on a protocol", &numbers);
        self.settle_in(strand, protocol, kind, conversation, ground);
        strand.opened = true;
        self.tell(strand, ground, place, |conversation, talk| {
            conversation.handle_opened(talk);
        });
        Ok(bytes)
    }

    fn settle_in(
        &mut self,
        strand: &mut Strand,
        protocol: ProtocolId,
        kind: Kind,
        conversation: Box<dyn Conversation>,
        ground: &Ground,
    ) {
        strand.protocol = protocol;
        strand.kind = kind;
        strand.stage = Stage::Talking(None);
        strand.conversation = Some(conversation);
        strand.deadline = match kind {
            Kind::Identify | Kind::Push => Some(ground.nanos() + NEGOTIATION),
            Kind::User | Kind::Ping => None,
        };
        self.count(kind, true);
        if kind == Kind::User {
            self.carried = true;
        } else {
            self.unhold(strand, ground.now());
        }
    }

    fn failure(&self, strand: &Strand, error: StreamError, ground: &mut Ground) -> Failure {
        ground.hold(
            Law::ErrorIsFinal,
            !matches!(error, StreamError::Finished),
            || format!("{strand:?}"),
        );
        match error {
            StreamError::Reset(code) => Failure::Reset(code),
            StreamError::ResetLocally(_) => Failure::Open("reset by ourselves"),
            StreamError::Finished => Failure::Open("finished"),
            StreamError::ConnectionLost => Failure::Lost(self.lost().unwrap_or("closed")),
        }
    }
}

/// What a planted bug makes of bytes on their way to a conversation.
fn planted(ground: &mut Ground, bytes: Bytes) -> Bytes {
    let before = ground.planted;
    ground.planted += bytes.len() as u64;
    let (Plant::LoseByte(at) | Plant::RepeatByte(at)) = (match ground.config.plant {
        Some(plant) => plant,
        None => return bytes,
    }) else {
        return bytes;
    };
    let Some(place) = at.checked_sub(before).map(|place| place as usize) else {
        return bytes;
    };
    if place >= bytes.len() {
        return bytes;
    }
    let lost = matches!(ground.config.plant, Some(Plant::LoseByte(_)));
    let (head, behind) = if lost {
        (&bytes[..place], &bytes[place + 1..])
    } else {
        (&bytes[..=place], &bytes[place..])
    };
    ground.say(None, "a planted bug changes a byte".to_owned());
    [head, behind].concat().into()
}

/// The largest window that a stream of yamux may have.
fn window_max(ground: &Ground) -> usize {
    (ground.config.session.stream_window_max as usize).max(WINDOW)
}
