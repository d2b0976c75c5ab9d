//! The messages as they are written: p2pd.proto of go-libp2p-daemon, with hivemind's and JavaScript's additions.
//! What the daemon does not read is left out.

pub(super) const IDENTIFY: i32 = 0;
pub(super) const CONNECT: i32 = 1;
pub(super) const STREAM_OPEN: i32 = 2;
pub(super) const STREAM_HANDLER: i32 = 3;
pub(super) const DHT: i32 = 4;
pub(super) const LIST_PEERS: i32 = 5;
pub(super) const CONNMANAGER: i32 = 6;
pub(super) const DISCONNECT: i32 = 7;
pub(super) const PUBSUB: i32 = 8;
/// Hivemind's `PERSISTENT_CONN_UPGRADE`, JavaScript's `PEERSTORE`.
pub(super) const NINE: i32 = 9;
pub(super) const REMOVE_STREAM_HANDLER: i32 = 10;

pub(super) const OK: i32 = 0;
pub(super) const ERROR: i32 = 1;

pub(super) const TAG_PEER: i32 = 0;
pub(super) const UNTAG_PEER: i32 = 1;
pub(super) const TRIM: i32 = 2;

pub(super) const GET_PROTOCOLS: i32 = 1;
pub(super) const GET_PEER_INFO: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(int32, optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) connect: Option<Connect>,
    #[prost(message, optional, tag = "3")]
    pub(super) stream_open: Option<StreamOpen>,
    #[prost(message, optional, tag = "4")]
    pub(super) stream_handler: Option<StreamHandler>,
    #[prost(message, optional, tag = "6")]
    pub(super) conn_manager: Option<ConnManager>,
    #[prost(message, optional, tag = "7")]
    pub(super) disconnect: Option<Disconnect>,
    /// A [`StreamHandler`] of hivemind's, or a [`Peerstore`] of JavaScript's.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) nine: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Connect {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) peer: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) addrs: Vec<Vec<u8>>,
    #[prost(int64, optional, tag = "3")]
    pub(super) timeout: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StreamOpen {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) peer: Vec<u8>,
    #[prost(string, repeated, tag = "2")]
    pub(super) proto: Vec<String>,
    #[prost(int64, optional, tag = "3")]
    pub(super) timeout: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StreamHandler {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) addr: Vec<u8>,
    #[prost(string, repeated, tag = "2")]
    pub(super) proto: Vec<String>,
    #[prost(bool, optional, tag = "3")]
    pub(super) balanced: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ConnManager {
    #[prost(int32, optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) peer: Option<Vec<u8>>,
    #[prost(string, optional, tag = "3")]
    pub(super) tag: Option<String>,
    #[prost(int64, optional, tag = "4")]
    pub(super) weight: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Disconnect {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) peer: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Peerstore {
    #[prost(int32, optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) id: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Response {
    /// Always written: go's programs insist on it.
    #[prost(int32, required, tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<Error>,
    #[prost(message, optional, tag = "3")]
    pub(super) stream_info: Option<StreamInfo>,
    #[prost(message, optional, tag = "4")]
    pub(super) identify: Option<PeerInfo>,
    #[prost(message, repeated, tag = "6")]
    pub(super) peers: Vec<PeerInfo>,
    #[prost(message, optional, tag = "8")]
    pub(super) peer_store: Option<PeerstoreResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Error {
    #[prost(string, required, tag = "1")]
    pub(super) msg: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StreamInfo {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) peer: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    pub(super) addr: Vec<u8>,
    #[prost(string, required, tag = "3")]
    pub(super) proto: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PeerInfo {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) addrs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PeerstoreResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) peer: Option<PeerInfo>,
    #[prost(string, repeated, tag = "2")]
    pub(super) protos: Vec<String>,
}

/// `PersistentConnectionRequest`: a program's word to its daemon, and a daemon's to another.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UnaryRequest {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) call_id: Vec<u8>,
    #[prost(oneof = "UnaryAsk", tags = "2, 3, 4, 5, 6")]
    pub(super) ask: Option<UnaryAsk>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum UnaryAsk {
    #[prost(message, tag = "2")]
    AddHandler(UnaryHandler),
    #[prost(message, tag = "3")]
    Call(Call),
    #[prost(message, tag = "4")]
    Reply(Reply),
    #[prost(message, tag = "5")]
    Cancel(Empty),
    #[prost(message, tag = "6")]
    RemoveHandler(UnaryHandler),
}

/// `PersistentConnectionResponse`: a daemon's word to its program.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UnaryResponse {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) call_id: Vec<u8>,
    #[prost(oneof = "UnaryTold", tags = "2, 3, 4, 5")]
    pub(super) told: Option<UnaryTold>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum UnaryTold {
    #[prost(message, tag = "2")]
    Reply(Reply),
    #[prost(message, tag = "3")]
    Call(Call),
    #[prost(message, tag = "4")]
    Failed(DaemonError),
    #[prost(message, tag = "5")]
    Cancel(Empty),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UnaryHandler {
    #[prost(string, required, tag = "1")]
    pub(super) proto: String,
    #[prost(bool, required, tag = "2")]
    pub(super) balanced: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Call {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) peer: Vec<u8>,
    #[prost(string, required, tag = "2")]
    pub(super) proto: String,
    #[prost(bytes = "vec", required, tag = "3")]
    pub(super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Reply {
    #[prost(oneof = "ReplyResult", tags = "1, 2")]
    pub(super) result: Option<ReplyResult>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ReplyResult {
    #[prost(bytes = "vec", tag = "1")]
    Response(Vec<u8>),
    #[prost(bytes = "vec", tag = "2")]
    Error(Vec<u8>),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DaemonError {
    #[prost(string, optional, tag = "1")]
    pub(super) message: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}
