//! The raw speaker: every layer's right words, and the means to say wrong ones. Nothing here decides what conforms.

pub(crate) mod certificate;
pub(crate) mod channel;
pub(crate) mod connection;
pub(crate) mod der;
mod guest;
pub(crate) mod mplex;
pub(crate) mod multistream;
pub(crate) mod noise;
pub(crate) mod pb;
pub(crate) mod quic;
mod symmetric;
pub(crate) mod tls;
pub(crate) mod websocket;
pub(crate) mod yamux;
