//! Who wants a stream of a connection, and may have to wait for it.

use carrick_session::{Key, OpenError};
use carrick_wire::ProtocolId;

use super::{
    connection::{Connection, OWN_MAX, Wish},
    place::{Kind, Place},
    strand::{NEGOTIATION, Strand},
};
use crate::{
    conversation::{Conversation, Desk, Failure, Talk},
    ground::Ground,
};

impl Connection {
    /// Somebody wants a stream.
    pub(crate) fn wish(
        &mut self,
        protocol: ProtocolId,
        conversation: Box<dyn Conversation>,
        kind: Kind,
        now: u64,
    ) {
        if kind == Kind::User {
            self.carried = true;
        }
        self.wishes.push_back(Wish {
            protocol,
            conversation,
            kind,
            by: now + NEGOTIATION,
        });
        self.wishes_blocked = false;
    }

    /// Opens the streams that are wanted, as far as the muxer lets us.
    pub(crate) fn open_wishes(&mut self, ground: &mut Ground, place: &mut Place) -> bool {
        let mut moved = false;
        while !self.wishes_blocked
            && let Some(wish) = self.wishes.pop_front()
        {
            let own = if wish.kind == Kind::User { 0 } else { OWN_MAX };
            let failure = match self.mux.open_beyond(own) {
                Ok(key) => {
                    moved = true;
                    self.begin(key, wish, ground, place);
                    continue;
                }
                Err(OpenError::Blocked) if wish.by <= ground.nanos() => {
                    Failure::Open("too many are open")
                }
                Err(OpenError::Blocked) => {
                    self.wishes_blocked = true;
                    self.wishes.push_front(wish);
                    break;
                }
                Err(OpenError::Closing) => Failure::Open("the connection is closing"),
                Err(OpenError::Exhausted) => Failure::Open("all stream ids are used up"),
            };
            moved = true;
            refuse(wish, &failure, self, ground, place);
        }
        moved
    }

    pub(crate) fn begin(&mut self, key: Key, wish: Wish, ground: &mut Ground, place: &Place) {
        let optimistic = self.spoken.contains(&wish.protocol);
        let numbers = [self.id.0, key.index() as u64, u64::from(optimistic)];
        ground.step(place.host, "c{} s{}: opened (optimistic: {})", &numbers);
        let mut strand = Strand::outbound(
            key,
            wish.protocol,
            wish.conversation,
            Desk::default(),
            optimistic,
            ground.nanos(),
        );
        strand.kind = wish.kind;
        strand.held = wish.kind == Kind::User;
        if !strand.held && self.users == 0 {
            self.idle_since = Some(ground.now());
        }
        if optimistic && matches!(wish.kind, Kind::User | Kind::Ping) {
            strand.deadline = None;
        }
        self.count(wish.kind, true);
        self.keep(strand);
    }

    /// All that waits is told why it waits in vain.
    pub(crate) fn forsake(&mut self, failure: &Failure, ground: &mut Ground, place: &mut Place) {
        while let Some(wish) = self.wishes.pop_front() {
            refuse(wish, failure, self, ground, place);
        }
        let strands = std::mem::take(&mut self.strands);
        for (_, mut strand) in strands {
            self.tell(&mut strand, ground, place, |conversation, talk| {
                conversation.handle_error(talk, failure);
            });
            // Who reads slowly has not noticed yet that there is nothing more to read.
            self.mux.release(ground.now(), strand.key);
        }
    }
}

fn refuse(
    wish: Wish,
    failure: &Failure,
    connection: &Connection,
    ground: &mut Ground,
    place: &mut Place,
) {
    let mut conversation = wish.conversation;
    let mut desk = Desk::default();
    let mut talk = Talk {
        ground,
        desk: &mut desk,
        host: place.host,
        peer: connection.peer,
        peer_host: Some(connection.peer_host),
    };
    conversation.handle_error(&mut talk, failure);
}
