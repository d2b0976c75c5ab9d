//! Negotiations as they should be, and what is not available.

use super::{
    CONNECTIONS, Place, SPEC, altered, apart, beside_silence, bytewise, ended, interleaved, list,
    noise_at_once, not_available, ping_at_once, together, tries, yamux_at_once,
};
use crate::{
    bench::{NOISE, PING, YAMUX},
    case::{Case, Document, Need, Rule, case},
};

const HEADER_FIRST: Rule = CONNECTIONS.must(
    "multistream-select",
    "both peers send the multistream protocol id first, in any order or at once",
);
const ECHO: Rule = CONNECTIONS.must(
    "multistream-select",
    "a supported protocol is agreed to by echoing its id",
);
const NA: Rule = CONNECTIONS.must(
    "multistream-select",
    "a protocol that is not supported is answered with \"na\"",
);
const RETRY: Rule = CONNECTIONS.must(
    "multistream-select",
    "after \"na\" the initiator may propose another protocol",
);
const EXACT: Rule = CONNECTIONS.practice(
    "Protocol Negotiation",
    "ids are matched literally unless a handler asks for more",
);
const ONE_PACKET: Rule = SPEC.should(
    "Implementation Recommendations",
    "the initiator sends header and proposal in one packet, and the responder answers so",
);
const SECURITY_FIRST: Rule = CONNECTIONS.must(
    "Upgrading Connections",
    "security is always established first, then the muxer over the encrypted channel",
);
const LISTING: Rule = SPEC.practice(
    "Listing",
    "ls is optional: a list, or \"na\" as for anything unknown",
);
const STREAMS: Rule = CONNECTIONS.must(
    "Opening New Streams Over a Connection",
    "each new stream is negotiated by multistream-select; without a handler the answer is \"na\"",
);

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "multistream/connection/header",
        "the header is the first thing that the responder says",
        HEADER_FIRST,
        Need::Pipe,
        ["header and proposal", "the header, then the echo"],
        |bench| Box::pin(together(bench, Place::Connection)),
    ),
    case(
        "multistream/connection/header-alone",
        "the header is answered before anything is proposed",
        SPEC.practice(
            "Protocol",
            "both sides may send the header without waiting for the other",
        ),
        Need::Pipe,
        [
            "the header, and the proposal only after the answer",
            "the header at once",
        ],
        |bench| Box::pin(apart(bench, Place::Connection)),
    ),
    case(
        "multistream/connection/byte-by-byte",
        "messages may come in any pieces",
        ECHO,
        Need::Pipe,
        ["header and proposal, a byte a time", "header and echo"],
        |bench| Box::pin(bytewise(bench, Place::Connection)),
    ),
    case(
        "multistream/connection/unknown",
        "an unknown protocol is not available",
        NA,
        Need::Pipe,
        ["a protocol that nobody has", "na"],
        |bench| {
            Box::pin(not_available(
                bench,
                Place::Connection,
                "/p2pspec/nobody/1.0.0",
            ))
        },
    ),
    case(
        "multistream/connection/second-try",
        "another protocol may be proposed after na",
        RETRY,
        Need::Pipe,
        ["an unknown protocol, then a security", "na, then the echo"],
        |bench| Box::pin(tries(bench, Place::Connection, 1, false)),
    ),
    case(
        "multistream/connection/ten-tries",
        "ten unknown protocols do not end the negotiation",
        RETRY,
        Need::Pipe,
        [
            "ten unknown protocols, one after another, then a security",
            "ten times na, then the echo",
        ],
        |bench| Box::pin(tries(bench, Place::Connection, 10, false)),
    ),
    case(
        "multistream/connection/pipelined-tries",
        "proposals that come together are answered one by one",
        SPEC.practice(
            "Protocol",
            "messages are length-prefixed; where packets end means nothing",
        ),
        Need::Pipe,
        [
            "header, an unknown protocol and a security in one packet",
            "header, na, echo",
        ],
        |bench| Box::pin(tries(bench, Place::Connection, 1, true)),
    ),
    case(
        "multistream/connection/muxer-before-security",
        "a muxer is not to be had before security",
        SECURITY_FIRST,
        Need::Pipe,
        ["/yamux/1.0.0 on a new connection", "na"],
        |bench| Box::pin(not_available(bench, Place::Connection, YAMUX)),
    ),
    case(
        "multistream/connection/application-before-security",
        "an application's protocol is not to be had before security",
        SECURITY_FIRST,
        Need::Pipe,
        ["/ipfs/ping/1.0.0 on a new connection", "na"],
        |bench| Box::pin(not_available(bench, Place::Connection, PING)),
    ),
    case(
        "multistream/connection/plaintext",
        "a connection is not to be had without security",
        SECURITY_FIRST,
        Need::Pipe,
        ["/plaintext/2.0.0", "na"],
        |bench| Box::pin(not_available(bench, Place::Connection, "/plaintext/2.0.0")),
    ),
    case(
        "multistream/connection/secio",
        "the abandoned SECIO is not offered",
        Document("libp2p/specs secio/README.md").practice("Status", "secio is deprecated for good"),
        Need::Pipe,
        ["/secio/1.0.0", "na"],
        |bench| Box::pin(not_available(bench, Place::Connection, "/secio/1.0.0")),
    ),
    case(
        "multistream/connection/upper-case",
        "ids are matched with their case",
        EXACT,
        Need::Pipe,
        ["the security's id in capitals", "na"],
        |bench| Box::pin(altered(bench, Place::Connection, str::to_uppercase)),
    ),
    case(
        "multistream/connection/trailing-slash",
        "an id with something behind it is another id",
        EXACT,
        Need::Pipe,
        ["the security's id and a slash", "na"],
        |bench| Box::pin(altered(bench, Place::Connection, |id| format!("{id}/"))),
    ),
    case(
        "multistream/connection/leading-space",
        "an id with a space before it is another id",
        EXACT,
        Need::Pipe,
        ["a space and the security's id", "na"],
        |bench| Box::pin(altered(bench, Place::Connection, |id| format!(" {id}"))),
    ),
    case(
        "multistream/connection/shorter",
        "the beginning of an id is another id",
        EXACT,
        Need::Pipe,
        ["the security's id without its last letter", "na"],
        |bench| {
            Box::pin(altered(bench, Place::Connection, |id| {
                id[..id.len() - 1].to_owned()
            }))
        },
    ),
    case(
        "multistream/connection/ls",
        "ls does not end the negotiation",
        LISTING,
        Need::Pipe,
        ["ls, then a security", "a list or na, then the echo"],
        |bench| Box::pin(list(bench, Place::Connection)),
    ),
    case(
        "multistream/connection/with-data",
        "what follows the proposal at once belongs to the protocol",
        ONE_PACKET,
        Need::Noise,
        [
            "header, /noise and message 1 of the handshake in one packet",
            "message 2",
        ],
        |bench| Box::pin(noise_at_once(bench)),
    ),
    case(
        "multistream/connection/end",
        "an end before the header ends the connection",
        HEADER_FIRST,
        Need::Pipe,
        ["nothing, and the end of our side", "the connection closed"],
        |bench| Box::pin(ended(bench, Place::Connection)),
    ),
    case(
        "multistream/muxer/byte-by-byte",
        "messages may come in any pieces, each in a record of its own",
        ECHO,
        Need::Yamux,
        [
            "header and /yamux/1.0.0, a byte a record",
            "header and echo",
        ],
        |bench| Box::pin(bytewise(bench, Place::Muxer)),
    ),
    case(
        "multistream/muxer/unknown",
        "an unknown muxer is not available",
        NA,
        Need::Yamux,
        ["a muxer that nobody has", "na"],
        |bench| Box::pin(not_available(bench, Place::Muxer, "/p2pspec/nobody/1.0.0")),
    ),
    case(
        "multistream/muxer/second-try",
        "another muxer may be proposed after na",
        RETRY,
        Need::Yamux,
        ["an unknown muxer, then /yamux/1.0.0", "na, then the echo"],
        |bench| Box::pin(tries(bench, Place::Muxer, 1, false)),
    ),
    case(
        "multistream/muxer/application",
        "an application's protocol is not a muxer",
        NA,
        Need::Yamux,
        ["/ipfs/ping/1.0.0 where a muxer is negotiated", "na"],
        |bench| Box::pin(not_available(bench, Place::Muxer, PING)),
    ),
    case(
        "multistream/muxer/security-again",
        "a second security is not a muxer",
        NA,
        Need::Yamux,
        ["/noise where a muxer is negotiated", "na"],
        |bench| Box::pin(not_available(bench, Place::Muxer, NOISE)),
    ),
    case(
        "multistream/muxer/ls",
        "ls does not end the negotiation",
        LISTING,
        Need::Yamux,
        ["ls, then /yamux/1.0.0", "a list or na, then the echo"],
        |bench| Box::pin(list(bench, Place::Muxer)),
    ),
    case(
        "multistream/muxer/with-data",
        "what follows the proposal at once belongs to the muxer",
        ONE_PACKET,
        Need::Yamux,
        [
            "header, /yamux/1.0.0 and a yamux ping in one record",
            "the ping's answer",
        ],
        |bench| Box::pin(yamux_at_once(bench)),
    ),
    case(
        "multistream/stream/header",
        "header and echo open a stream",
        STREAMS,
        Need::Streams,
        ["header and /ipfs/ping/1.0.0", "header and echo"],
        |bench| Box::pin(together(bench, Place::Stream)),
    ),
    case(
        "multistream/stream/header-alone",
        "the header is answered before anything is proposed",
        SPEC.practice(
            "Protocol",
            "both sides may send the header without waiting for the other",
        ),
        Need::Streams,
        [
            "the header, and the proposal only after the answer",
            "the header at once",
        ],
        |bench| Box::pin(apart(bench, Place::Stream)),
    ),
    case(
        "multistream/stream/byte-by-byte",
        "messages may come in any pieces, each in a frame of its own",
        STREAMS,
        Need::Streams,
        ["header and proposal, a byte a frame", "header and echo"],
        |bench| Box::pin(bytewise(bench, Place::Stream)),
    ),
    case(
        "multistream/stream/unknown",
        "a protocol without a handler is not available",
        STREAMS,
        Need::Streams,
        ["a protocol that nobody has", "na"],
        |bench| Box::pin(not_available(bench, Place::Stream, "/p2pspec/nobody/1.0.0")),
    ),
    case(
        "multistream/stream/second-try",
        "another protocol may be proposed on the same stream",
        RETRY,
        Need::Streams,
        [
            "an unknown protocol, then ping, on one stream",
            "na, then the echo",
        ],
        |bench| Box::pin(tries(bench, Place::Stream, 1, false)),
    ),
    case(
        "multistream/stream/pipelined-tries",
        "proposals that come together are answered one by one",
        SPEC.practice(
            "Protocol",
            "messages are length-prefixed; where packets end means nothing",
        ),
        Need::Streams,
        [
            "header, an unknown protocol and ping in one frame",
            "header, na, echo",
        ],
        |bench| Box::pin(tries(bench, Place::Stream, 1, true)),
    ),
    case(
        "multistream/stream/muxer",
        "a muxer is not to be had within a muxer",
        STREAMS,
        Need::Streams,
        ["/yamux/1.0.0 on a stream", "na"],
        |bench| Box::pin(not_available(bench, Place::Stream, YAMUX)),
    ),
    case(
        "multistream/stream/other-version",
        "another version is another protocol",
        EXACT,
        Need::Streams,
        ["/ipfs/ping/9.0.0", "na"],
        |bench| Box::pin(not_available(bench, Place::Stream, "/ipfs/ping/9.0.0")),
    ),
    case(
        "multistream/stream/shorter",
        "the beginning of an id is another id",
        EXACT,
        Need::Streams,
        ["/ipfs/ping/1.0.", "na"],
        |bench| {
            Box::pin(altered(bench, Place::Stream, |id| {
                id[..id.len() - 1].to_owned()
            }))
        },
    ),
    case(
        "multistream/stream/trailing-slash",
        "an id with something behind it is another id",
        EXACT,
        Need::Streams,
        ["/ipfs/ping/1.0.0/", "na"],
        |bench| Box::pin(altered(bench, Place::Stream, |id| format!("{id}/"))),
    ),
    case(
        "multistream/stream/leading-space",
        "an id with a space before it is another id",
        EXACT,
        Need::Streams,
        ["a space and ping's id", "na"],
        |bench| Box::pin(altered(bench, Place::Stream, |id| format!(" {id}"))),
    ),
    case(
        "multistream/stream/ls",
        "ls does not end the negotiation",
        LISTING,
        Need::Streams,
        ["ls, then ping", "a list or na, then the echo"],
        |bench| Box::pin(list(bench, Place::Stream)),
    ),
    case(
        "multistream/stream/with-data",
        "what follows the proposal at once belongs to the protocol",
        ONE_PACKET,
        Need::Streams,
        [
            "header, /ipfs/ping/1.0.0 and 32 bytes in one frame",
            "header, echo of the id, the 32 bytes",
        ],
        |bench| Box::pin(ping_at_once(bench)),
    ),
    case(
        "multistream/stream/end",
        "an end before the header ends the stream alone",
        STREAMS,
        Need::Streams,
        [
            "nothing, and the end of our side",
            "the stream ended or reset; the connection goes on",
        ],
        |bench| Box::pin(ended(bench, Place::Stream)),
    ),
    case(
        "multistream/stream/many-at-once",
        "negotiations on several streams do not disturb each other",
        STREAMS,
        Need::Streams,
        [
            "eight streams, their negotiations interleaved",
            "each is answered as proposed",
        ],
        |bench| Box::pin(interleaved(bench)),
    ),
    case(
        "multistream/stream/silent-neighbour",
        "a stream that says nothing does not hold up others",
        STREAMS,
        Need::Streams,
        [
            "a stream without a word, and another for ping",
            "the ping's echo",
        ],
        |bench| Box::pin(beside_silence(bench)),
    ),
];
