//! Checksums against the RFC's own and against the receiver's sum; what is no TCP or UDP is left alone.

use super::*;

/// A packet with this protocol and payload, and right checksums.
pub(crate) fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = if protocol == TCP { 20 } else { 8 };
    let mut packet = vec![0; 20 + header];
    packet.extend_from_slice(payload);
    packet[0] = 0x45;
    let len = packet.len() as u16;
    write(&mut packet, 2, len);
    packet[8] = 64;
    packet[9] = protocol;
    packet[12..20].copy_from_slice(&[9, 0, 0, 1, 9, 0, 0, 2]);
    packet[20..24].copy_from_slice(&[0x12, 0x34, 0x0f, 0xa1]);
    if protocol == TCP {
        packet[32] = 5 << 4;
    } else {
        write(&mut packet, 24, len - 20);
    }
    fix_checksums(&mut packet);
    packet
}

/// As a receiver sees it: all words together, the checksum's too, make ones.
fn is_right(packet: &[u8]) -> bool {
    let body = body(packet).unwrap();
    let pseudo = sum(0, &packet[12..20]) + u32::from(packet[PROTOCOL]) + body.len() as u32;
    checksum(sum(0, &packet[..body.start])) == 0 && checksum(sum(pseudo, &packet[body])) == 0
}

#[test]
fn the_checksum_is_that_of_the_rfc() {
    // RFC 1071, section 3: these words add up to ddf2.
    let words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum(sum(0, &words)), !0xddf2);
}

#[test]
fn a_flipped_bit_is_seen_until_the_checksums_are_mended() {
    for protocol in [TCP, UDP] {
        for payload in [&b"odd"[..], b"even", b""] {
            let good = packet(protocol, payload);
            assert!(is_right(&good));
            for place in 0..good.len() {
                let mut bad = good.clone();
                bad[place] ^= 4;
                assert!(
                    body(&bad).is_none() || !is_right(&bad),
                    "{protocol} {place}"
                );
            }
            if let Some(range) = self::payload(&good) {
                let mut bad = good.clone();
                bad[range.start] ^= 4;
                fix_checksums(&mut bad);
                assert!(is_right(&bad));
                assert_ne!(bad, good);
            }
        }
    }
}

#[test]
fn other_addresses_come_with_their_checksums() {
    for protocol in [TCP, UDP] {
        let mut packet = packet(protocol, b"payload");
        let new = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7);
        readdress(&mut packet, End::Target, new);
        assert!(is_right(&packet));
        assert_eq!(address(&packet, End::Target), Some((protocol, new)));
        let old = SocketAddrV4::new(Ipv4Addr::new(9, 0, 0, 1), 0x1234);
        assert_eq!(address(&packet, End::Source), Some((protocol, old)));
        assert!(packet.ends_with(b"payload"));
    }
}

#[test]
fn what_is_no_tcp_or_udp_is_left_alone() {
    let mut fragment = packet(UDP, b"payload");
    fragment[7] = 1;
    let mut v6 = fragment.clone();
    v6[0] = 0x60;
    let mut icmp = packet(UDP, b"payload");
    icmp[9] = ICMP;
    let mut cut = packet(TCP, b"");
    cut.truncate(27);
    for mut odd in [fragment, v6, icmp, cut, vec![], vec![0x4f; 21]] {
        let before = odd.clone();
        assert_eq!(address(&odd, End::Source), None);
        assert_eq!(payload(&odd), None);
        assert_eq!(too_big(&odd, 1200), None);
        fix_checksums(&mut odd);
        readdress(
            &mut odd,
            End::Source,
            SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
        );
        assert_eq!(odd, before);
    }
}

#[test]
fn a_router_says_how_long_a_packet_may_be() {
    let long = packet(UDP, &[7; 1400]);
    let answer = too_big(&long, 1200).unwrap();
    assert_eq!(answer[20..22], [3, 4]);
    assert_eq!(answer[26..28], 1200_u16.to_be_bytes());
    assert_eq!(answer[12..20], [9, 0, 0, 2, 9, 0, 0, 1]);
    assert_eq!(answer[28..], long[..28]);
    assert_eq!(checksum(sum(0, &answer[..20])), 0);
    assert_eq!(checksum(sum(0, &answer[20..])), 0);
}
