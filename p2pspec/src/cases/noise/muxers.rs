//! The muxer agreed on within the handshake: `libp2p/specs connections/inlined-muxer-negotiation.md`.

use super::ABORT;
use crate::{
    bench::{MPLEX, YAMUX, still},
    case::{Bench, Case, Document, Need, Rule, Step, Stop, case, ensure},
    speak::{channel::Channel, mplex::Mplex, multistream, yamux::Yamux},
};

const SPEC: Document = Document("libp2p/specs connections/inlined-muxer-negotiation.md");
const SECTION: &str = "Multiplexer Negotiation over Noise";

const PICK: Rule = SPEC.must(
    SECTION,
    "the muxer is the first of the initiator's list that both support",
);

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "noise/muxers/in-message-2",
        "the responder lists its muxers in message 2",
        SPEC.practice(
            SECTION,
            "message 2 carries the muxers that the responder supports",
        ),
        Need::Yamux,
        ["message 1", "yamux among the muxers in message 2"],
        |b| Box::pin(listed(b)),
    ),
    case(
        "noise/muxers/none",
        "without a list the muxer is negotiated afterwards",
        SPEC.must(
            SECTION,
            "who does not know of it negotiates by multistream-select",
        ),
        Need::Yamux,
        [
            "message 3 without muxers, then multistream-select",
            "agreement",
        ],
        |b| Box::pin(plain(b)),
    ),
    case(
        "noise/muxers/yamux",
        "a muxer that both list is spoken at once",
        PICK,
        Need::Yamux,
        [
            "yamux in message 3, and behind it a stream",
            "the stream served, without multistream for the muxer",
        ],
        |b| Box::pin(at_once(b, &[YAMUX])),
    ),
    case(
        "noise/muxers/unknown-first",
        "what the responder lacks is passed over",
        PICK,
        Need::Yamux,
        ["an unknown muxer and yamux", "yamux"],
        |b| Box::pin(at_once(b, &["/p2pspec/nobody/1.0.0", YAMUX])),
    ),
    case(
        "noise/muxers/unknown-last",
        "what comes behind the chosen one means nothing",
        PICK,
        Need::Yamux,
        ["yamux and an unknown muxer", "yamux"],
        |b| Box::pin(at_once(b, &[YAMUX, "/p2pspec/nobody/1.0.0"])),
    ),
    case(
        "noise/muxers/twice",
        "a muxer may be there twice",
        SPEC.practice(SECTION, "the list is gone through in order"),
        Need::Yamux,
        ["yamux twice", "yamux"],
        |b| Box::pin(at_once(b, &[YAMUX, YAMUX])),
    ),
    case(
        "noise/muxers/preference",
        "the initiator's preference decides",
        PICK,
        Need::Yamux,
        [
            "mplex before yamux",
            "mplex, where the responder lists both",
        ],
        |b| Box::pin(preference(b)),
    ),
    case(
        "noise/muxers/no-overlap",
        "the handshake fails without a muxer in common",
        SPEC.must(SECTION, "without an overlap the handshake fails"),
        Need::Yamux,
        ["an unknown muxer alone", ABORT],
        |b| Box::pin(no_overlap(b)),
    ),
];

async fn listed(bench: Bench) -> Step<String> {
    let said = bench.handshake().await?.said()?;
    ensure(said.muxers.iter().any(|muxer| muxer == YAMUX), || {
        let has = if said.has_extensions {
            "extensions"
        } else {
            "no extensions"
        };
        format!("{has}, with the muxers {:?}", said.muxers)
    })?;
    Ok(format!("{:?}", said.muxers))
}

async fn plain(bench: Bench) -> Step<String> {
    let mut channel = bench.noise().await?;
    multistream::agree(&mut channel, YAMUX).await?;
    Ok("agreed afterwards".to_owned())
}

/// Skips where message 2 lists nothing: the responder then does not take part.
async fn with(bench: &Bench, muxers: &[&str]) -> Step<(Channel, Vec<String>)> {
    let handshake = bench.handshake().await?;
    let said = handshake.said()?;
    if said.muxers.is_empty() {
        return Err(Stop::Skip("message 2 lists no muxers".to_owned()));
    }
    let payload = handshake.payload(&bench.keypair, muxers)?;
    Ok((handshake.end(&payload).await?, said.muxers))
}

async fn at_once(bench: Bench, muxers: &'static [&'static str]) -> Step<String> {
    let (channel, _) = with(&bench, muxers).await?;
    bench.stage("speaking yamux right behind the handshake");
    still(&mut Yamux::new(channel)).await?;
    Ok("yamux".to_owned())
}

async fn preference(bench: Bench) -> Step<String> {
    let (channel, theirs) = with(&bench, &[MPLEX, YAMUX]).await?;
    bench.stage("speaking the muxer right behind the handshake");
    if theirs.iter().any(|muxer| muxer == MPLEX) {
        let mut session =
            crate::speak::connection::Connection::Mplex(Box::new(Mplex::new(channel)));
        crate::bench::ping(&mut session).await?;
        return Ok("mplex".to_owned());
    }
    still(&mut Yamux::new(channel)).await?;
    Ok("yamux, as mplex is not listed".to_owned())
}

async fn no_overlap(bench: Bench) -> Step<String> {
    let (mut channel, _) = with(&bench, &["/p2pspec/nobody/1.0.0"]).await?;
    bench.stage("waiting for the connection to be closed");
    channel.rejected().await
}
