//! Row 170, the machine's part: numbers of any size, in any chunking, and nothing before the end of the upload.

use super::*;

/// What a server says of these bytes, cut into chunks of `size`, and then the end.
fn served(header: Header, bytes: &[u8], size: usize) -> Result<(u64, u64), PerfError> {
    let mut server = Server::new(header);
    for chunk in bytes.chunks(size) {
        server.recv(chunk)?;
    }
    Ok((server.received(), server.finish()?))
}

#[test]
fn the_header_is_read_in_any_chunking() {
    for header in [Header::Spec, Header::Sixteen] {
        for download in [0, 1, 0x0102_0304_0506_0708, u64::MAX] {
            let bytes = [header.encode(5, download), vec![7; 5]].concat();
            for size in 1..=bytes.len() {
                assert_eq!(served(header, &bytes, size), Ok((5, download)));
            }
        }
    }
}

#[test]
fn the_headers_are_big_endian() {
    assert_eq!(Header::Spec.encode(1, 2), [0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(
        Header::Sixteen.encode(1, 2),
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    );
}

#[test]
fn only_the_end_tells_that_an_unannounced_upload_is_whole() {
    let mut server = Server::new(Header::Spec);
    assert_eq!(server.recv(&Header::Spec.encode(0, 3)), Ok(false));
    assert_eq!(server.recv(b"any number of bytes"), Ok(false));
    assert_eq!(server.finish(), Ok(3));
}

#[test]
fn an_announced_upload_is_whole_with_its_last_byte() {
    let mut server = Server::new(Header::Sixteen);
    assert_eq!(server.recv(&Header::Sixteen.encode(2, 3)), Ok(false));
    assert_eq!(server.recv(b"1"), Ok(false));
    assert_eq!(
        server.finish(),
        Err(PerfError::TooFew {
            received: 1,
            wanted: 2
        })
    );
    assert_eq!(server.recv(b"2"), Ok(true));
    assert_eq!(server.finish(), Ok(3));
    assert_eq!(server.recv(b"3"), Err(PerfError::TooMany { wanted: 2 }));
    assert_eq!(
        Server::new(Header::Sixteen).recv(&Header::Sixteen.encode(0, 1)),
        Ok(true)
    );
}

#[test]
fn an_end_inside_the_header_is_an_error() {
    for header in [Header::Spec, Header::Sixteen] {
        let bytes = header.encode(0, 0);
        for received in 0..bytes.len() {
            let expected = Err(PerfError::NoHeader { received });
            assert_eq!(served(header, &bytes[..received], 3), expected);
        }
    }
}

#[test]
fn the_client_takes_exactly_what_it_asked_for() {
    let mut client = Client::new(3);
    assert_eq!(client.recv(b"12"), Ok(()));
    assert_eq!(
        client.finish(),
        Err(PerfError::TooFew {
            received: 2,
            wanted: 3
        })
    );
    assert_eq!(client.recv(b"34"), Err(PerfError::TooMany { wanted: 3 }));
    assert_eq!(client.recv(b"3"), Ok(()));
    assert_eq!(client.finish(), Ok(()));
    let mut endless = Client::new(u64::MAX);
    assert_eq!(endless.recv(&[0; 1000]), Ok(()));
}
