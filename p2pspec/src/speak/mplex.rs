//! mplex as the initiator: messages as they are wanted, and enough of a session around them to hold honest conversations.

use std::{collections::BTreeMap, io};

use bytes::{Buf, BytesMut};

use super::{
    channel::{Channel, Talk},
    guest::{GUESTS_MAX, Guest},
    pb,
};
use crate::case::{Step, fail};

pub(crate) const NEW: u64 = 0;
pub(crate) const MESSAGE_RECEIVER: u64 = 1;
pub(crate) const MESSAGE_INITIATOR: u64 = 2;
pub(crate) const CLOSE_RECEIVER: u64 = 3;
pub(crate) const CLOSE_INITIATOR: u64 = 4;
pub(crate) const RESET_RECEIVER: u64 = 5;
pub(crate) const RESET_INITIATOR: u64 = 6;

/// A message, right or wrong.
pub(crate) fn message(id: u64, flag: u64, body: &[u8]) -> Vec<u8> {
    [pb::varint(id << 3 | flag), pb::delimited(body)].concat()
}

/// What is known of one of our streams.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) input: BytesMut,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
}

/// A session.
pub(crate) struct Mplex {
    pub(crate) channel: Channel,
    next: u32,
    pub(crate) streams: BTreeMap<u32, Inbox>,
    guests: BTreeMap<u64, Guest>,
}

impl Mplex {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            next: 0,
            streams: BTreeMap::new(),
            guests: BTreeMap::new(),
        }
    }

    pub(crate) async fn send_message(&mut self, id: u64, flag: u64, body: &[u8]) -> io::Result<()> {
        self.channel.send(&message(id, flag, body)).await
    }

    /// An id that was not used yet.
    pub(crate) fn fresh(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        self.streams.insert(id, Inbox::default());
        id
    }

    pub(crate) async fn open(&mut self) -> io::Result<u32> {
        let id = self.fresh();
        self.send_message(u64::from(id), NEW, id.to_string().as_bytes())
            .await?;
        Ok(id)
    }

    pub(crate) async fn write(&mut self, id: u32, bytes: &[u8]) -> io::Result<()> {
        self.send_message(u64::from(id), MESSAGE_INITIATOR, bytes)
            .await
    }

    async fn varint(&mut self) -> io::Result<u64> {
        let mut bytes = Vec::new();
        loop {
            bytes.push(self.channel.take(1).await?[0]);
            if bytes.last().is_some_and(|last| last & 0x80 == 0) {
                break;
            }
            if bytes.len() == 9 {
                return Err(io::Error::other("a varint of more than 9 bytes"));
            }
        }
        pb::take_varint(&mut &bytes[..]).map_err(|_| io::Error::other("a wrong varint"))
    }

    /// Takes the next message, and notes what it means.
    pub(crate) async fn step(&mut self) -> io::Result<()> {
        let header = self.varint().await?;
        let length = self.varint().await?;
        if length > BODY_MAX {
            return Err(io::Error::other(format!("a message of {length} bytes")));
        }
        let body = self.channel.take(length as usize).await?;
        let (id, flag) = (header >> 3, header & 7);
        let ours = u32::try_from(id)
            .ok()
            .and_then(|id| self.streams.get_mut(&id));
        match (flag, ours) {
            (NEW, _) if self.guests.len() < GUESTS_MAX => {
                self.guests.insert(id, Guest::default());
            }
            (NEW, _) => {
                // A peer that has closed need not be answered.
                let _ = self.send_message(id, RESET_RECEIVER, &[]).await;
            }
            (MESSAGE_INITIATOR, _) => {
                let answer = self.guests.get_mut(&id).map(|guest| guest.recv(&body));
                if let Some(answer) = answer.filter(|answer| !answer.is_empty()) {
                    let _ = self.send_message(id, MESSAGE_RECEIVER, &answer).await;
                }
            }
            (CLOSE_INITIATOR, _) if self.guests.remove(&id).is_some() => {
                let _ = self.send_message(id, CLOSE_RECEIVER, &[]).await;
            }
            (RESET_INITIATOR, _) => {
                self.guests.remove(&id);
            }
            (MESSAGE_RECEIVER, Some(inbox)) => inbox.input.extend_from_slice(&body),
            (CLOSE_RECEIVER, Some(inbox)) => inbox.ended = true,
            (RESET_RECEIVER, Some(inbox)) => inbox.reset = true,
            (7, _) => return Err(io::Error::other("a message with flag 7")),
            _ => {}
        }
        Ok(())
    }

    /// Reads to a stream's end: the bytes, and whether it ended cleanly.
    pub(crate) async fn read_to_end(&mut self, id: u32) -> Step<(Vec<u8>, bool)> {
        loop {
            let Some(inbox) = self.streams.get(&id) else {
                return fail("no such stream");
            };
            if inbox.ended || inbox.reset {
                return Ok((inbox.input.to_vec(), inbox.ended && !inbox.reset));
            }
            self.step().await?;
        }
    }

    pub(crate) async fn take(&mut self, id: u32, count: usize) -> io::Result<Vec<u8>> {
        loop {
            let Some(inbox) = self.streams.get_mut(&id) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            if inbox.input.len() >= count {
                let taken = inbox.input[..count].to_vec();
                inbox.input.advance(count);
                return Ok(taken);
            }
            if inbox.reset {
                return Err(io::Error::other("the peer reset the stream"));
            }
            if inbox.ended {
                return Err(io::Error::other("the peer ended the stream"));
            }
            self.step().await?;
        }
    }
}

const BODY_MAX: u64 = 1024 * 1024;
