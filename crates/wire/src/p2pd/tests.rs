//! Messages as Python's and go's programs write them, what two dialects mean by the same number, and bounds.

use proptest::prelude::*;

use super::*;

const PEER: &str = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";

fn some_peer() -> PeerId {
    peer_id::parse(PEER).unwrap()
}

fn echo() -> ProtocolId {
    ProtocolId::from_static("/echo/1.0.0")
}

fn at(text: &str) -> Multiaddr {
    address::parse(text).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn body(framed: &[u8]) -> &[u8] {
    let (body, used) = decode_frame(framed).unwrap().unwrap();
    assert_eq!(used, framed.len());
    body
}

/// Every request, with the bytes that Python's protobuf writes for it where it can.
fn requests() -> Vec<(Request, &'static str)> {
    let peer = some_peer();
    let endpoint = Endpoint::Unix(b"/tmp/x.sock".to_vec());
    vec![
        (Request::Identify, "0800"),
        (
            Request::Connect {
                peer,
                addresses: vec![
                    at("/ip4/127.0.0.1/tcp/4001"),
                    at("/ip4/127.0.0.1/udp/4001/quic-v1"),
                ],
                timeout: Some(Duration::from_secs(5)),
            },
            "080112410a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e1208047f000001060fa1120b047f00000191020fa1cd031805",
        ),
        (
            Request::StreamOpen {
                peer,
                protocols: vec![echo(), ProtocolId::from_static("/echo/2.0.0")],
                timeout: None,
            },
            "08021a420a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e120b2f6563686f2f312e302e30120b2f6563686f2f322e302e30",
        ),
        (
            Request::StreamHandler {
                endpoint: endpoint.clone(),
                protocols: vec![echo()],
                balanced: None,
            },
            // The path as go has it; Python leaves the slash in front out.
            "0803221d0a0e90030b2f746d702f782e736f636b120b2f6563686f2f312e302e30",
        ),
        (
            Request::StreamHandler {
                endpoint: endpoint.clone(),
                protocols: vec![echo()],
                balanced: Some(true),
            },
            "0803221f0a0e90030b2f746d702f782e736f636b120b2f6563686f2f312e302e301801",
        ),
        (
            Request::RemoveStreamHandler {
                endpoint,
                protocols: vec![echo()],
            },
            "080a4a1d0a0e90030b2f746d702f782e736f636b120b2f6563686f2f312e302e30",
        ),
    ]
}

/// The others.
fn short_requests() -> Vec<(Request, &'static str)> {
    let peer = some_peer();
    vec![
        (Request::Dht, "0804"),
        (Request::ListPeers, "0805"),
        (
            Request::TagPeer {
                peer,
                tag: "friend".to_owned(),
                weight: -3,
            },
            "0806323d080012260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e1a06667269656e6420fdffffffffffffffff01",
        ),
        (
            Request::UntagPeer {
                peer,
                tag: "friend".to_owned(),
            },
            "",
        ),
        (Request::Trim, "080632020802"),
        (
            Request::Disconnect { peer },
            "08073a280a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        ),
        (Request::Pubsub, "0808"),
        (Request::UnaryUpgrade, "0809"),
        (Request::PeerProtocols { peer }, ""),
        (Request::PeerAddresses { peer }, ""),
    ]
}

#[test]
fn requests_are_written_as_pythons_protobuf_writes_them_and_read_back() {
    for (request, bytes) in [requests(), short_requests()].concat() {
        let framed = request.encode();
        assert_eq!(Request::decode(body(&framed)), Ok(request.clone()));
        if !bytes.is_empty() {
            assert_eq!(body(&framed), hex(bytes), "{request:?}");
        }
    }
}

#[test]
fn what_the_daemon_does_not_read_changes_nothing() {
    let dht = hex("08042a05080522016b");
    assert_eq!(Request::decode(&dht), Ok(Request::Dht));
    let pubsub = hex("080842050803120174");
    assert_eq!(Request::decode(&pubsub), Ok(Request::Pubsub));
}

#[test]
fn number_nine_is_hiveminds_without_content_and_javascripts_with_it() {
    let peer = some_peer();
    assert_eq!(Request::decode(&[8, 9]), Ok(Request::UnaryUpgrade));
    let asked = Request::PeerProtocols { peer }.encode();
    assert_eq!(body(&asked)[..3], [8, 9, 0x4a]);
    // Nothing in field 9 is JavaScript's, too: it asks for nothing that can be known.
    let nothing = Request::decode(&[8, 9, 0x4a, 0]);
    assert!(matches!(nothing, Err(RequestError::Refused(_))));
}

#[test]
fn responses_always_have_a_type_and_are_read_back() {
    let (peer, addresses) = (some_peer(), vec![at("/ip4/127.0.0.1/tcp/4001")]);
    let info = PeerInfo { peer, addresses };
    let stream = StreamInfo {
        peer,
        address: at("/ip4/127.0.0.1/tcp/4001"),
        protocol: echo(),
    };
    let known = "0a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e1208047f000001060fa1";
    for (response, bytes) in [
        (Response::Ok, "0800".to_owned()),
        (
            Response::Error("no".to_owned()),
            "080112040a026e6f".to_owned(),
        ),
        (
            Response::Stream(stream.clone()),
            format!("08001a3f{known}1a0b2f6563686f2f312e302e30"),
        ),
        (Response::Identify(info.clone()), format!("08002232{known}")),
        (
            Response::Peers(vec![info.clone()]),
            format!("08003232{known}"),
        ),
        (
            Response::Peer {
                addresses: Some(info),
                protocols: vec![echo()],
            },
            format!("080042410a32{known}120b2f6563686f2f312e302e30"),
        ),
    ] {
        let framed = response.encode();
        assert_eq!(body(&framed), hex(&bytes), "{response:?}");
        assert_eq!(Response::decode(body(&framed)), Ok(response));
    }
    assert_eq!(StreamInfo::decode(body(&stream.encode())), Ok(stream));
}

#[test]
fn what_cannot_be_fulfilled_is_told_apart_from_what_cannot_be_read() {
    for missing in [1, 2, 3, 6, 7, 10] {
        let refused = RequestError::Refused("Malformed request; missing parameters".to_owned());
        assert_eq!(Request::decode(&[8, missing]), Err(refused));
    }
    let untagged = hex(
        "0806322c080012260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e1a00",
    );
    let refused = RequestError::Refused("Malformed request; missing tag parameter".to_owned());
    assert_eq!(Request::decode(&untagged), Err(refused));
    // A peer id, an address and a protocol that are none.
    for bad in [
        "080112020a00",
        "08023a020a00",
        "0803220e0a01ff120b",
        "080a4a020a00",
    ] {
        let refused = Request::decode(&hex(bad));
        assert!(
            matches!(
                refused,
                Err(RequestError::Refused(_) | RequestError::Malformed(_))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(Request::decode(&[8, 11]), Err(RequestError::Unknown(11)));
    for bad in [&[][..], &[8], &[0xff; 20], &[0x12, 5, 1]] {
        assert!(matches!(
            Request::decode(bad),
            Err(RequestError::Malformed(_))
        ));
    }
}

#[test]
fn paths_are_understood_in_every_dialect_and_written_in_gos() {
    let path = Endpoint::Unix(b"/tmp/x.sock".to_vec());
    assert_eq!(path.to_string(), "/unix/tmp/x.sock");
    assert_eq!(path.encode(), b"\x90\x03\x0b/tmp/x.sock");
    // Go's and JavaScript's, Python's, and that of this crate's addresses.
    for bytes in [
        &b"\x90\x03\x0b/tmp/x.sock"[..],
        b"\x90\x03\x0atmp/x.sock",
        b"\x90\x03\x0ctmp%2Fx.sock",
    ] {
        assert_eq!(Endpoint::decode(bytes), Ok(path.clone()));
    }
    for text in ["/unix/tmp/x.sock", "/unix/tmp%2Fx.sock"] {
        assert_eq!(Endpoint::parse(text), Ok(path.clone()));
    }
    let percent = Endpoint::decode(b"\x90\x03\x05/a%2F").unwrap();
    assert_eq!(percent, Endpoint::Unix(b"/a%2F".to_vec()));
    assert_eq!(Endpoint::decode(&percent.encode()), Ok(percent));
    for text in ["/ip4/127.0.0.1/tcp/5005", "/ip6/::1/tcp/0"] {
        let socket = Endpoint::parse(text).unwrap();
        assert_eq!(socket.to_string(), text);
        assert_eq!(Endpoint::decode(&socket.encode()), Ok(socket));
    }
    for text in [
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/1",
        "/ip4/127.0.0.1/tcp/1/ws",
        "/dns4/localhost/tcp/1",
        "/memory/1",
    ] {
        assert!(Endpoint::parse(text).is_err(), "{text}");
    }
    let long = [b"\x90\x03\x6c/".as_slice(), &[b'a'; 107]].concat();
    assert!(matches!(
        Endpoint::decode(&long),
        Err(DecodeError::TooLarge { .. })
    ));
    for bad in [
        &b""[..],
        b"\x90",
        b"\x90\x03",
        b"\x90\x03\x02/",
        b"\x90\x03\x01/",
        b"\x90\x03\x03/a\0",
        b"\x90\x03\x02/ab",
    ] {
        assert!(Endpoint::decode(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_length_that_lies_costs_nothing() {
    for long in [LEN_MAX as u64 + 1, i64::MAX as u64] {
        let mut buf = Vec::new();
        varint::encode(long, &mut buf);
        assert!(matches!(
            decode_frame(&buf),
            Err(DecodeError::TooLarge { .. })
        ));
    }
    let mut buf = Vec::new();
    varint::encode(LEN_MAX as u64, &mut buf);
    assert_eq!(decode_frame(&buf), Ok(None));
}

#[test]
fn a_request_has_as_many_values_as_are_allowed_and_no_more() {
    let with = |addresses: usize| {
        let connect = Request::Connect {
            peer: some_peer(),
            addresses: vec![at("/ip4/127.0.0.1/tcp/1"); addresses],
            timeout: None,
        };
        Request::decode(body(&connect.encode()))
    };
    // The type, what is asked, and the peer are values, too.
    assert!(with(ITEMS_MAX - 3).is_ok());
    let refused = with(ITEMS_MAX - 2);
    assert!(matches!(
        refused,
        Err(RequestError::Malformed(DecodeError::TooLarge { .. }))
    ));
}

#[test]
fn calls_are_read_back_with_their_numbers() {
    let (call, peer, protocol) = ([7; 16], some_peer(), echo());
    let data = b"what?".to_vec();
    for request in [
        UnaryRequest::AddHandler {
            protocol: protocol.clone(),
            balanced: true,
        },
        UnaryRequest::RemoveHandler {
            protocol: protocol.clone(),
        },
        UnaryRequest::Call {
            peer,
            protocol: protocol.clone(),
            data: data.clone(),
        },
        UnaryRequest::Reply(Ok(data.clone())),
        UnaryRequest::Reply(Err(Vec::new())),
        UnaryRequest::Cancel,
    ] {
        let framed = request.encode(call);
        assert_eq!(UnaryRequest::decode(body(&framed)), Ok((call, request)));
    }
    for response in [
        UnaryResponse::Done,
        UnaryResponse::Reply(Ok(Vec::new())),
        UnaryResponse::Reply(Err(data.clone())),
        UnaryResponse::Call {
            peer,
            protocol,
            data,
        },
        UnaryResponse::Failed("no".to_owned()),
        UnaryResponse::Cancelled,
    ] {
        let framed = response.encode(call);
        assert_eq!(UnaryResponse::decode(body(&framed)), Ok((call, response)));
    }
}

#[test]
fn whose_call_is_wrong_is_known_where_its_number_is() {
    let number = [&[0x0a, 16][..], &[7; 16]].concat();
    let nothing = UnaryRequest::decode(&number).unwrap_err();
    assert_eq!(nothing.call, Some([7; 16]));
    let nobody = [&number[..], &[0x1a, 0]].concat();
    assert_eq!(
        UnaryRequest::decode(&nobody).unwrap_err().call,
        Some([7; 16])
    );
    for bad in [&[][..], &[0x0a, 1, 7], &number[..17]] {
        assert_eq!(UnaryRequest::decode(bad).unwrap_err().call, None);
    }
    assert_eq!(
        UnaryResponse::decode(&number),
        Ok(([7; 16], UnaryResponse::Done))
    );
}

proptest! {
    #[test]
    fn frames_come_out_the_same_wherever_they_are_cut(len in 0..400_usize, cut in 0..400_usize) {
        let mut framed = Vec::new();
        varint::encode_prefixed(&vec![1; len], &mut framed);
        let whole = framed.len();
        framed.extend_from_slice(b"the stream");
        prop_assert_eq!(decode_frame(&framed).unwrap().map(|(_, used)| used), Some(whole));
        let cut = cut.min(whole - 1);
        prop_assert_eq!(decode_frame(&framed[..cut]).unwrap(), None);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Request::decode(&data), Response::decode(&data), StreamInfo::decode(&data));
        let _ = (UnaryRequest::decode(&data), UnaryResponse::decode(&data), Endpoint::decode(&data));
    }
}

#[test]
fn a_timeout_of_zero_is_none() {
    let request = |timeout| Request::Connect {
        peer: some_peer(),
        addresses: vec![at("/ip4/127.0.0.1/tcp/4001")],
        timeout,
    };
    let framed = request(Some(Duration::ZERO)).encode();
    assert_eq!(Request::decode(body(&framed)), Ok(request(None)));
}
