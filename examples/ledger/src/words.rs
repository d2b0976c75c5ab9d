//! What nodes and programs say to a node, and what its actors say to each other. On the wire it is JSON in the frames of
//! messages; a code says which message it is.

use bytes::Bytes;
use carrick::{
    RequestError,
    actors::{Call, Client, Inbound},
    codec::{Codec, Json},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What programs speak, on a node's socket.
pub(crate) const RPC: &str = "/ledger/rpc/1";
/// What nodes speak among each other.
pub(crate) const PEERS: &str = "/ledger/peers/1";

/// The codes of messages to a node's socket.
pub(crate) mod rpc {
    /// A text to be entered; the reply, a `Receipt`, comes once a majority of the nodes has it.
    pub(crate) const SUBMIT: u16 = 1;
    /// Nothing; the reply is a `Status`.
    pub(crate) const STATUS: u16 = 2;
    /// A place in the ledger; the reply is the entries from there on, as many as fit.
    pub(crate) const PAGE: u16 = 3;
    /// A line of chat.
    pub(crate) const SAY: u16 = 16;
    /// Nothing; the reply is the last lines of chat.
    pub(crate) const HEARD: u16 = 17;
}

/// The codes of messages between nodes.
pub(crate) mod peers {
    /// A new `Entry` of the sender's; the reply says that it is stored.
    pub(crate) const ENTRY: u16 = 1;
    /// What the sender `Has`; the reply is entries that it has not.
    pub(crate) const SYNC: u16 = 2;
    /// A line of chat, which nobody answers.
    pub(crate) const CHAT: u16 = 16;
}

/// An entry of the ledger. Its place is given by its time and, of two with one time, its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Lamport's: later than all that its node had seen.
    pub(crate) time: u64,
    /// Who took it in, by its place among the members.
    pub(crate) node: usize,
    /// Its number among those of its node: 1, 2, 3…
    pub(crate) number: u64,
    /// What was submitted.
    pub(crate) text: String,
}

/// By node, the number up to which all its entries are there.
pub(crate) type Has = Vec<u64>;

/// An entry is stored by a majority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) time: u64,
    pub(crate) node: usize,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) entries: usize,
    /// SHA-256 of all entries in their order, in hexadecimal.
    pub(crate) hash: String,
}

/// To the chain.
#[derive(Debug)]
pub(crate) enum ToChain {
    /// A text that a program submits.
    Submit(String, Inbound),
    /// An entry that its own node pushes.
    Push(Entry, Inbound),
    /// Entries that were asked for.
    Store(Vec<Entry>),
    /// A node asks for what it does not have.
    Sync(usize, Has, Inbound),
    /// A node has stored our entry of this number.
    Stored(usize, u64),
    /// What there is.
    Has(Call<(), Has>),
    Status(Inbound),
    Page(usize, Inbound),
}

impl From<Call<(), Has>> for ToChain {
    fn from(call: Call<(), Has>) -> Self {
        Self::Has(call)
    }
}

/// To the peer network.
#[derive(Debug)]
pub(crate) enum ToNet {
    /// From a program, for the chain.
    Submit(String, Inbound),
    /// From the chain, for all.
    Spread(Entry),
    /// From social, for all.
    Chat(String),
}

/// To social.
#[derive(Debug)]
pub(crate) enum ToSocial {
    /// Said here.
    Say(String),
    /// Said by another node.
    Heard(usize, String),
    /// What was said last.
    Last(Inbound),
}

/// What a message says.
pub(crate) fn read<T: Serialize + DeserializeOwned>(inbound: &Inbound) -> Result<T, RequestError> {
    Json::decode(inbound.payload().clone())
        .map_err(|error| RequestError::Malformed(error.to_string()))
}

/// Answers with a value.
pub(crate) fn reply<T: Serialize + DeserializeOwned>(inbound: Inbound, value: &T) {
    inbound.reply(payload(value));
}

/// Asks, and waits for the answer.
pub(crate) async fn ask<A, R>(client: &Client, code: u16, value: &A) -> Result<R, RequestError>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    let reply = client.request(code, payload(value)?).await?;
    Json::decode(reply).map_err(|error| RequestError::Malformed(error.to_string()))
}

/// A value's encoding.
pub(crate) fn payload<T: Serialize + DeserializeOwned>(value: &T) -> Result<Bytes, RequestError> {
    Json::encode(value).map_err(|error| RequestError::Failed(error.to_string()))
}

/// Most bytes of a text.
pub(crate) const TEXT_MAX: usize = 1024;
