//! `libp2p/specs tls/tls.md`: the peer's certificate, ours with whatever is wrong about it, and ALPN.

mod papers;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    bench::{MPLEX, TLS, YAMUX, still},
    case::{Bench, Case, Document, Need, Rule, Step, Stop, case, ensure, fail},
    speak::{
        certificate::{self, Seen},
        channel::Talk,
        multistream,
        tls::{Hello, Secure},
        yamux::Yamux,
    },
};

pub(super) use papers::{CASES as PAPERS, QUIC as QUIC_PAPERS};

const SPEC: Document = Document("libp2p/specs tls/tls.md");
const INLINED: Document = Document("libp2p/specs connections/inlined-muxer-negotiation.md");

const CERTIFICATE: &str = "Peer Authentication";
const EXTENSION: &str = "libp2p Public Key Extension";
const HELLO: &str = "a handshake";
const ALPN: Rule = INLINED.should(
    "Multiplexer Negotiation over TLS",
    "the server picks the first entry of the client's list that it supports",
);

pub(super) const CASES: &[Case] = &[
    case(
        "tls/handshake",
        "the handshake leads to an encrypted channel",
        SPEC.must(
            "Handshake Protocol",
            "the handshake is that of TLS 1.3, under /tls/1.0.0",
        ),
        Need::Tls,
        [
            "a handshake with ALPN libp2p, then a muxer's negotiation",
            "the muxer agreed",
        ],
        |b| Box::pin(completes(b, None)),
    ),
    case(
        "tls/version-1.2",
        "TLS 1.2 is not spoken",
        SPEC.must("Handshake Protocol", "no version below 1.3 is negotiated"),
        Need::Tls,
        [
            "a ClientHello that knows TLS 1.2 alone",
            "an alert or a close",
        ],
        |b| Box::pin(old(b)),
    ),
    case(
        "tls/not-a-hello",
        "what is not TLS ends the connection",
        SPEC.practice("Handshake Protocol", "the client begins with its hello"),
        Need::Tls,
        ["64 bytes that are no TLS record", "an alert or a close"],
        |b| Box::pin(no_hello(b)),
    ),
    case(
        "tls/server-name",
        "a server name in the hello is ignored",
        SPEC.must(
            "Future Extensibility",
            "servers ignore Server Name Indication",
        ),
        Need::Tls,
        ["a handshake with a server name", "the muxer agreed"],
        |b| Box::pin(completes(b, Some("example.com"))),
    ),
    case(
        "tls/peer/one-certificate",
        "the peer sends one certificate",
        SPEC.must(CERTIFICATE, "a chain has exactly one certificate"),
        Need::Tls,
        [HELLO, "a chain of one"],
        |b| {
            Box::pin(peer(b, |chain, _| {
                ensure(chain.len() == 1, || format!("{} certificates", chain.len()))
            }))
        },
    ),
    case(
        "tls/peer/asks",
        "the server asks for the client's certificate",
        SPEC.must(
            "Handshake Protocol",
            "servers require client authentication",
        ),
        Need::Tls,
        [HELLO, "a request for our certificate"],
        |b| Box::pin(asks(b)),
    ),
    case(
        "tls/peer/extension",
        "the certificate proves an identity",
        SPEC.must(
            EXTENSION,
            "the identity signs the certificate's public key behind a prefix",
        ),
        Need::Tls,
        [HELLO, "one libp2p extension with a valid signature"],
        |b| Box::pin(seen(b, |seen, _| seen.identity().map(drop))),
    ),
    case(
        "tls/peer/identity",
        "the peer is whom the address names",
        SPEC.must(
            EXTENSION,
            "clients compare the peer id with the one they dialed",
        ),
        Need::Tls,
        [HELLO, "the peer id of the address"],
        |b| {
            Box::pin(seen(b, |seen, bench| {
                let (is, named) = (seen.identity()?.to_peer_id(), bench.place.peer);
                ensure(is == named, || format!("{is} where {named} was dialed"))
            }))
        },
    ),
    case(
        "tls/peer/self-signed",
        "the certificate is signed by its own key",
        SPEC.must(
            CERTIFICATE,
            "certificates are self-signed, with a signature that is checked",
        ),
        Need::Tls,
        [HELLO, "a valid self-signature"],
        |b| {
            Box::pin(seen(b, |seen, _| match seen.is_self_signed() {
                Some(true) => Ok(()),
                Some(false) => fail("the self-signature is not valid"),
                None => Err(Stop::Skip(
                    "an algorithm that this program does not know".to_owned(),
                )),
            }))
        },
    ),
    case(
        "tls/peer/valid-now",
        "the certificate is valid when it is received",
        SPEC.must(CERTIFICATE, "NotBefore and NotAfter enclose the present"),
        Need::Tls,
        [HELLO, "a certificate that is valid now"],
        |b| Box::pin(seen(b, |seen, _| valid_now(seen))),
    ),
    case(
        "tls/peer/version-3",
        "the certificate is one of X.509 version 3",
        SPEC.must(
            CERTIFICATE,
            "certificates are X.509 version 3: only these have extensions",
        ),
        Need::Tls,
        [HELLO, "version 3"],
        |b| {
            Box::pin(seen(b, |seen, _| {
                ensure(seen.version == [2, 1, 2], || {
                    format!("version {:?}", seen.version)
                })
            }))
        },
    ),
    case(
        "tls/peer/unique-ids",
        "the certificate has no unique ids",
        SPEC.must(
            CERTIFICATE,
            "subjectUniqueId and issuerUniqueId are omitted",
        ),
        Need::Tls,
        [HELLO, "neither of them"],
        |b| {
            Box::pin(seen(b, |seen, _| {
                ensure(!seen.unique_ids, || "they are there".to_owned())
            }))
        },
    ),
    case(
        "tls/peer/not-rsa",
        "the certificate's key is not RSA",
        SPEC.should(
            CERTIFICATE,
            "RSA keys are large and slow, so they are not used here",
        ),
        Need::Tls,
        [HELLO, "a key of another kind"],
        |b| {
            Box::pin(seen(b, |seen, _| {
                let rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
                let is = seen.spki.windows(rsa.len()).any(|window| window == rsa);
                ensure(!is, || "an RSA key".to_owned())
            }))
        },
    ),
    case(
        "tls/alpn/nothing-in-common",
        "the handshake fails without an application protocol in common",
        SPEC.must(
            "ALPN",
            "the server aborts when it supports none of the client's protocols",
        ),
        Need::Tls,
        ["ALPN p2pspec alone", "an alert or a close"],
        |b| Box::pin(stranger(b)),
    ),
    case(
        "tls/alpn/libp2p",
        "libp2p leads to multistream-select",
        INLINED.must(
            "Multiplexer Negotiation over TLS",
            "when ALPN gives libp2p, the muxer is negotiated afterwards",
        ),
        Need::Tls,
        [
            "ALPN libp2p, then multistream-select",
            "libp2p chosen, and a muxer agreed",
        ],
        |b| Box::pin(alpn(b, &["libp2p"], &["libp2p"])),
    ),
    case(
        "tls/alpn/muxer",
        "a muxer that is chosen is spoken at once",
        ALPN,
        Need::Tls,
        [
            "ALPN /yamux/1.0.0, libp2p",
            "yamux at once; or libp2p, and multistream-select",
        ],
        |b| Box::pin(alpn(b, &[YAMUX, "libp2p"], &[YAMUX, "libp2p"])),
    ),
    case(
        "tls/alpn/unknown-first",
        "what the server lacks is passed over",
        ALPN,
        Need::Tls,
        [
            "ALPN of an unknown muxer, /yamux/1.0.0, libp2p",
            "yamux, or libp2p",
        ],
        |b| {
            let list = &["/p2pspec/nobody/1.0.0", YAMUX, "libp2p"];
            Box::pin(alpn(b, list, &[YAMUX, "libp2p"]))
        },
    ),
    case(
        "tls/plaintext-after",
        "what is not encrypted ends the connection",
        SPEC.practice(
            "Handshake Protocol",
            "behind the handshake all is records of TLS",
        ),
        Need::Tls,
        [
            "the right hello, then bytes that are no record",
            "an alert or a close",
        ],
        |b| Box::pin(half_hello(b)),
    ),
];

/// A handshake that must succeed, up to the muxer.
async fn completes(bench: Bench, server_name: Option<&'static str>) -> Step<String> {
    let mut hello = bench.hello(vec!["libp2p"])?;
    hello.server_name = server_name;
    accepted(&bench, hello).await
}

async fn accepted(bench: &Bench, hello: Hello) -> Step<String> {
    let mut secure = bench.tls(hello).await??;
    bench.stage("negotiating the muxer");
    multistream::agree(&mut secure.channel, muxer(bench)).await?;
    Ok("accepted".to_owned())
}

fn muxer(bench: &Bench) -> &'static str {
    if bench.place.offers.yamux {
        YAMUX
    } else {
        MPLEX
    }
}

async fn shaken(bench: &Bench) -> Step<Secure> {
    let hello = bench.hello(vec!["libp2p"])?;
    Ok(bench.tls(hello).await??)
}

async fn peer(bench: Bench, look: fn(&[Vec<u8>], &Bench) -> Step<()>) -> Step<String> {
    let chain = shaken(&bench).await?.learned.chain();
    look(&chain, &bench)?;
    Ok(format!("{} bytes", chain.concat().len()))
}

async fn seen(bench: Bench, look: fn(&Seen, &Bench) -> Step<()>) -> Step<String> {
    let chain = shaken(&bench).await?.learned.chain();
    let Some(first) = chain.first() else {
        return fail("no certificate");
    };
    look(&certificate::read(first)?, &bench)?;
    Ok("so it is".to_owned())
}

async fn asks(bench: Bench) -> Step<String> {
    let secure = shaken(&bench).await?;
    ensure(secure.learned.asked(), || "it did not".to_owned())?;
    Ok("it did".to_owned())
}

fn valid_now(seen: &Seen) -> Step<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = written(since.map_or(0, |since| since.as_secs()));
    let full = |(tag, text): &(u8, String)| match (*tag, text.as_str()) {
        (0x17, text) if text < "5" => format!("20{text}"),
        (0x17, text) => format!("19{text}"),
        (_, text) => text.to_owned(),
    };
    let times: Vec<_> = seen.validity.iter().map(full).collect();
    let [before, after] = &times[..] else {
        return fail("no two times");
    };
    ensure(*before <= now && now <= *after, || {
        format!("valid from {before} to {after}, now it is {now}")
    })
}

/// Seconds since 1970 as GeneralizedTime writes them; the calendar is counted from March of year 0.
fn written(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{date:02}{hour:02}{minute:02}{second:02}Z")
}

/// A hello of TLS 1.2, by hand: no supported_versions.
async fn old(bench: Bench) -> Step<String> {
    shaken(&bench).await?;
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],        // supported_groups: secp256r1
        &[0, 11, 0, 2, 1, 0],                   // ec_point_formats: uncompressed
        &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1], // signature_algorithms
        &[0, 16, 0, 9, 0, 7, 6, b'l', b'i', b'b', b'p', b'2', b'p'], // ALPN libp2p
    ]
    .concat();
    let random: [u8; 32] = rand::random();
    let body = [
        &[3, 3][..],
        &random,
        &[0],
        &[0, 6, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09],
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let handshake = [&[1, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    let record = [
        &[22, 3, 1][..],
        &(handshake.len() as u16).to_be_bytes(),
        &handshake,
    ]
    .concat();
    refuses(bench, &record).await
}

async fn no_hello(bench: Bench) -> Step<String> {
    shaken(&bench).await?;
    refuses(bench, &[7; 64]).await
}

/// Sends these bytes where the hello should be: the answer is an alert or a close, no ServerHello.
async fn refuses(bench: Bench, bytes: &[u8]) -> Step<String> {
    let mut pipe = bench.agreed(TLS).await?;
    pipe.send(bytes).await?;
    bench.stage("waiting for an alert or a close");
    match pipe.take(7).await {
        Ok(head) if head[0] == 21 => Ok(format!("alert {}", head[6])),
        Ok(head) => fail(format!("a record of type {}", head[0])),
        Err(_) => Ok("closed".to_owned()),
    }
}

async fn half_hello(bench: Bench) -> Step<String> {
    let secure = shaken(&bench).await?;
    drop(secure);
    let mut pipe = bench.agreed(TLS).await?;
    // The first record of a handshake that promises more than comes, then no record at all.
    pipe.send(&[22, 3, 1, 0, 4, 1, 0, 1, 0]).await?;
    pipe.send(&[7; 300]).await?;
    bench.stage("waiting for an alert or a close");
    pipe.closed().await
}

async fn stranger(bench: Bench) -> Step<String> {
    shaken(&bench).await?;
    let hello = bench.hello(vec!["p2pspec"])?;
    match bench.tls(hello).await? {
        Err(error) => Ok(error.to_string()),
        Ok(mut secure) => {
            bench.stage("waiting for the connection to be closed");
            let _ = secure
                .channel
                .send(&multistream::propose(&[muxer(&bench)]))
                .await;
            secure.channel.rejected().await
        }
    }
}

async fn alpn(
    bench: Bench,
    offered: &'static [&'static str],
    wanted: &'static [&'static str],
) -> Step<String> {
    let hello = bench.hello(offered.to_vec())?;
    let mut secure = bench.tls(hello).await??;
    let chosen = secure.alpn.take().unwrap_or_else(|| "nothing".to_owned());
    ensure(wanted.contains(&chosen.as_str()), || {
        format!("{chosen} was chosen")
    })?;
    bench.stage("speaking what was chosen");
    if chosen == YAMUX {
        still(&mut Yamux::new(secure.channel)).await?;
    } else {
        multistream::agree(&mut secure.channel, muxer(&bench)).await?;
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn seconds_are_written_as_dates() {
        assert_eq!(written(0), "19700101000000Z");
        assert_eq!(written(951_782_399), "20000228235959Z");
        assert_eq!(written(951_827_696), "20000229123456Z");
        assert_eq!(written(1_763_748_000), "20251121180000Z");
    }
}
