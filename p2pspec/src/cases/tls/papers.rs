//! Certificates of ours, over TLS and over QUIC: what the node must refuse, and what it must not.

use super::{CERTIFICATE, EXTENSION, SPEC, accepted, muxer, shaken};
use crate::{
    bench::ping,
    case::{Bench, Case, Document, Level, Need, Rule, Step, case, fail},
    speak::{
        certificate::{Kind, Paper},
        channel::Talk,
        connection::Connection,
        multistream,
        tls::Hello,
    },
};

const QUIC_SPEC: Document = Document("libp2p/specs quic/README.md");
const ABORT: &str = "an alert or a close, and not a word on a stream";
const ACCEPT: &str = "a handshake that succeeds";

const CHAIN: Rule = SPEC.must(
    CERTIFICATE,
    "a chain of more than one certificate is refused",
);
const TIMES: Rule = SPEC.must(
    CERTIFICATE,
    "a certificate that is not valid now is refused",
);
const SIGNED: Rule = SPEC.must(CERTIFICATE, "a self-signature that is not valid is refused");
const EXTENDED: Rule = SPEC.must(
    CERTIFICATE,
    "without the libp2p extension the connection is aborted",
);
const PROVEN: Rule = SPEC.must(
    EXTENSION,
    "peers verify the identity's signature, and abort when that fails",
);
const OTHERS: Rule = SPEC.must(
    CERTIFICATE,
    "unknown extensions are ignored, and lead to an abort when they are critical",
);
const CLIENTS: Rule = SPEC.must(
    "Handshake Protocol",
    "servers abort when the client does not send what is required",
);
const VERIFY: Rule = Document("RFC 8446").must(
    "4.4.3. Certificate Verify",
    "the handshake is signed with the certificate's key, or aborted",
);
const TWICE: Rule =
    Document("RFC 5280").must("4.2. Certificate Extensions", "no extension is there twice");
const KINDS: Rule = SPEC.practice(
    CERTIFICATE,
    "a key is of a kind that the peer can verify; these are common",
);
const FORM: Rule = SPEC.practice(EXTENSION, "the extension's value is one SignedKey in DER");
const SAME: Rule = Rule {
    document: QUIC_SPEC_NAME,
    section: "Peer Authentication",
    level: Level::Must,
    says: "peers authenticate each other as libp2p's TLS does",
};
const QUIC_SPEC_NAME: &str = QUIC_SPEC.0;

/// A paper with one thing different.
macro_rules! paper {
    ($($field:ident: $value:expr),*) => {
        Paper { $($field: $value,)* ..Paper::default() }
    };
}

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "tls/client/no-certificate",
        "a client without a certificate is refused",
        CLIENTS,
        Need::Tls,
        ["no certificate", ABORT],
        |b| Box::pin(rejects(b, None)),
    ),
    case(
        "tls/client/two-certificates",
        "a chain of two is refused",
        CHAIN,
        Need::Tls,
        ["the certificate twice", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { chain: 2 }))),
    ),
    case(
        "tls/client/expired",
        "a certificate of the past is refused",
        TIMES,
        Need::Tls,
        ["a certificate that was valid until 2001", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { not_after: "20010101000000Z" }))),
    ),
    case(
        "tls/client/not-yet-valid",
        "a certificate of the future is refused",
        TIMES,
        Need::Tls,
        ["a certificate that is valid from 3000 on", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { not_before: "30000101000000Z" }))),
    ),
    case(
        "tls/client/self-signature",
        "a broken self-signature is refused",
        SIGNED,
        Need::Tls,
        [
            "a certificate whose own signature is of something else",
            ABORT,
        ],
        |b| Box::pin(rejects(b, Some(paper! { broken: true }))),
    ),
    case(
        "tls/client/no-extension",
        "a certificate without an identity is refused",
        EXTENDED,
        Need::Tls,
        ["a certificate without the libp2p extension", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { extension: false }))),
    ),
    case(
        "tls/client/other-key-signed",
        "an identity's signature of another key is refused",
        PROVEN,
        Need::Tls,
        ["a signature of another certificate's key", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { foreign_signature: true }))),
    ),
    case(
        "tls/client/other-identity",
        "an identity that did not sign is refused",
        PROVEN,
        Need::Tls,
        ["one identity's key with another's signature", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { foreign_identity: true }))),
    ),
    case(
        "tls/client/without-prefix",
        "a signature of the bare key is refused",
        PROVEN,
        Need::Tls,
        ["a signature without libp2p-tls-handshake:", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { prefix: b"" }))),
    ),
    case(
        "tls/client/other-prefix",
        "a signature for another purpose is refused",
        PROVEN,
        Need::Tls,
        ["a signature with the prefix of libp2p's Noise", ABORT],
        |b| {
            Box::pin(rejects(
                b,
                Some(paper! { prefix: b"noise-libp2p-static-key:" }),
            ))
        },
    ),
    case(
        "tls/client/proof-by-other-key",
        "a handshake signed by another key is refused",
        VERIFY,
        Need::Tls,
        [
            "a CertificateVerify by a key that is not the certificate's",
            ABORT,
        ],
        |b| Box::pin(rejects(b, Some(paper! { foreign_proof: true }))),
    ),
    case(
        "tls/client/unknown-critical",
        "an unknown critical extension is refused",
        OTHERS,
        Need::Tls,
        ["an unknown extension that is marked critical", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { unknown: Some(true) }))),
    ),
    case(
        "tls/client/unknown-extension",
        "an unknown extension is ignored",
        OTHERS,
        Need::Tls,
        ["an unknown extension that is not critical", ACCEPT],
        |b| Box::pin(accepts(b, paper! { unknown: Some(false) })),
    ),
    case(
        "tls/client/critical",
        "the libp2p extension may be critical",
        SPEC.must(CERTIFICATE, "the libp2p extension may be marked critical"),
        Need::Tls,
        ["the libp2p extension, marked critical", ACCEPT],
        |b| Box::pin(accepts(b, paper! { critical: true })),
    ),
    case(
        "tls/client/extension-twice",
        "two libp2p extensions are refused",
        TWICE,
        Need::Tls,
        ["the libp2p extension twice", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { twice: true }))),
    ),
    case(
        "tls/client/extension-trailing",
        "bytes behind the identity are refused",
        FORM,
        Need::Tls,
        ["a libp2p extension with two bytes more", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { trailing: &[5, 0] }))),
    ),
    case(
        "tls/client/extension-garbage",
        "an extension that is not DER is refused",
        SPEC.must(EXTENSION, "the extension's value is a SignedKey in DER"),
        Need::Tls,
        ["a libp2p extension of 16 bytes ff", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { instead: Some(&[0xff; 16]) }))),
    ),
    case(
        "tls/client/extension-empty",
        "an extension without an identity is refused",
        SPEC.must(EXTENSION, "a SignedKey has a public key and a signature"),
        Need::Tls,
        ["a libp2p extension with an empty sequence", ABORT],
        |b| Box::pin(rejects(b, Some(paper! { instead: Some(&[0x30, 0]) }))),
    ),
    case(
        "tls/client/p384",
        "a certificate with a P-384 key is taken",
        KINDS,
        Need::Tls,
        ["an ECDSA certificate on P-384", ACCEPT],
        |b| Box::pin(accepts(b, paper! { kind: Kind::P384 })),
    ),
    case(
        "tls/client/ed25519",
        "a certificate with an Ed25519 key is taken",
        KINDS,
        Need::Tls,
        ["an Ed25519 certificate", ACCEPT],
        |b| Box::pin(accepts(b, paper! { kind: Kind::Ed25519 })),
    ),
    case(
        "tls/client/short-lived",
        "a certificate may be valid for some years only",
        TIMES,
        Need::Tls,
        ["a certificate that is valid from 2020 to 2120", ACCEPT],
        |b| {
            let (not_before, not_after) = ("20200101000000Z", "21200101000000Z");
            Box::pin(accepts(
                b,
                paper! { not_before: not_before, not_after: not_after },
            ))
        },
    ),
];

pub(in crate::cases) const QUIC: &[Case] = &[
    case(
        "quic/client/no-certificate",
        "a client without a certificate is refused",
        SAME,
        Need::Quic,
        ["no certificate", ABORT],
        |b| Box::pin(quic_rejects(b, None)),
    ),
    case(
        "quic/client/two-certificates",
        "a chain of two is refused",
        SAME,
        Need::Quic,
        ["the certificate twice", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { chain: 2 }))),
    ),
    case(
        "quic/client/expired",
        "a certificate of the past is refused",
        SAME,
        Need::Quic,
        ["a certificate that was valid until 2001", ABORT],
        |b| {
            Box::pin(quic_rejects(
                b,
                Some(paper! { not_after: "20010101000000Z" }),
            ))
        },
    ),
    case(
        "quic/client/self-signature",
        "a broken self-signature is refused",
        SAME,
        Need::Quic,
        [
            "a certificate whose own signature is of something else",
            ABORT,
        ],
        |b| Box::pin(quic_rejects(b, Some(paper! { broken: true }))),
    ),
    case(
        "quic/client/no-extension",
        "a certificate without an identity is refused",
        SAME,
        Need::Quic,
        ["a certificate without the libp2p extension", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { extension: false }))),
    ),
    case(
        "quic/client/other-key-signed",
        "an identity's signature of another key is refused",
        SAME,
        Need::Quic,
        ["a signature of another certificate's key", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { foreign_signature: true }))),
    ),
    case(
        "quic/client/other-identity",
        "an identity that did not sign is refused",
        SAME,
        Need::Quic,
        ["one identity's key with another's signature", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { foreign_identity: true }))),
    ),
    case(
        "quic/client/not-yet-valid",
        "a certificate of the future is refused",
        SAME,
        Need::Quic,
        ["a certificate that is valid from 3000 on", ABORT],
        |b| {
            Box::pin(quic_rejects(
                b,
                Some(paper! { not_before: "30000101000000Z" }),
            ))
        },
    ),
    case(
        "quic/client/without-prefix",
        "a signature of the bare key is refused",
        SAME,
        Need::Quic,
        ["a signature without libp2p-tls-handshake:", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { prefix: b"" }))),
    ),
    case(
        "quic/client/other-prefix",
        "a signature for another purpose is refused",
        SAME,
        Need::Quic,
        ["a signature with the prefix of libp2p's Noise", ABORT],
        |b| {
            Box::pin(quic_rejects(
                b,
                Some(paper! { prefix: b"noise-libp2p-static-key:" }),
            ))
        },
    ),
    case(
        "quic/client/proof-by-other-key",
        "a handshake signed by another key is refused",
        VERIFY,
        Need::Quic,
        [
            "a CertificateVerify by a key that is not the certificate's",
            ABORT,
        ],
        |b| Box::pin(quic_rejects(b, Some(paper! { foreign_proof: true }))),
    ),
    case(
        "quic/client/extension-twice",
        "two libp2p extensions are refused",
        TWICE,
        Need::Quic,
        ["the libp2p extension twice", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { twice: true }))),
    ),
    case(
        "quic/client/extension-garbage",
        "an extension that is not DER is refused",
        SAME,
        Need::Quic,
        ["a libp2p extension of 16 bytes ff", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { instead: Some(&[0xff; 16]) }))),
    ),
    case(
        "quic/client/extension-empty",
        "an extension without an identity is refused",
        SAME,
        Need::Quic,
        ["a libp2p extension with an empty sequence", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { instead: Some(&[0x30, 0]) }))),
    ),
    case(
        "quic/client/unknown-critical",
        "an unknown critical extension is refused",
        SAME,
        Need::Quic,
        ["an unknown extension that is marked critical", ABORT],
        |b| Box::pin(quic_rejects(b, Some(paper! { unknown: Some(true) }))),
    ),
    case(
        "quic/client/unknown-extension",
        "an unknown extension is ignored",
        SAME,
        Need::Quic,
        ["an unknown extension that is not critical", ACCEPT],
        |b| Box::pin(quic_accepts(b, paper! { unknown: Some(false) })),
    ),
    case(
        "quic/client/critical",
        "the libp2p extension may be critical",
        SAME,
        Need::Quic,
        ["the libp2p extension, marked critical", ACCEPT],
        |b| Box::pin(quic_accepts(b, paper! { critical: true })),
    ),
];

fn hello(bench: &Bench, paper: Option<Paper>) -> Step<Hello> {
    let papers = paper.map(|paper| paper.write(&bench.keypair)).transpose()?;
    Ok(Hello {
        papers,
        alpn: vec!["libp2p"],
        server_name: None,
    })
}

/// First with the right certificate, so that a refusal is the certificate's fault.
async fn rejects(bench: Bench, paper: Option<Paper>) -> Step<String> {
    let mut control = shaken(&bench).await?;
    multistream::agree(&mut control.channel, muxer(&bench)).await?;
    drop(control);
    match bench.tls(hello(&bench, paper)?).await? {
        Err(error) => Ok(error.to_string()),
        Ok(mut secure) => {
            bench.stage("waiting for the connection to be closed");
            let proposal = multistream::propose(&[muxer(&bench)]);
            // The node may have closed already.
            let _ = secure.channel.send(&proposal).await;
            secure.channel.rejected().await
        }
    }
}

async fn accepts(bench: Bench, paper: Paper) -> Step<String> {
    let hello = hello(&bench, Some(paper))?;
    accepted(&bench, hello).await
}

async fn quic_rejects(bench: Bench, paper: Option<Paper>) -> Step<String> {
    ping(&mut Connection::Quic(Box::new(bench.quic().await?))).await?;
    match bench.dial_quic(hello(&bench, paper)?).await? {
        Err(error) => Ok(error),
        Ok(quic) => {
            bench.stage("waiting for the connection to be closed");
            let handle = quic.connection.clone();
            let closed = handle.closed();
            let mut connection = Connection::Quic(Box::new(quic));
            let served = ping(&mut connection);
            tokio::pin!(served, closed);
            tokio::select! {
                why = &mut closed => Ok(why.to_string()),
                served = &mut served => match served {
                    Ok(()) => fail("the node served a stream"),
                    Err(_) => Ok(closed.await.to_string()),
                },
            }
        }
    }
}

async fn quic_accepts(bench: Bench, paper: Paper) -> Step<String> {
    let dialed = bench.dial_quic(hello(&bench, Some(paper))?).await?;
    let quic = match dialed {
        Ok(quic) => quic,
        Err(error) => return fail(error),
    };
    ping(&mut Connection::Quic(Box::new(quic))).await?;
    Ok("accepted".to_owned())
}
