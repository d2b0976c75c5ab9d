//! IPv4 packets with TCP or UDP inside: whose they are, other addresses, other bytes, and the checksums of that.
//! RFC 791, RFC 768, RFC 9293, RFC 1071; for what is too long, RFC 792 and RFC 1191. Anything else is left as it is.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;

/// Which of its two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Target,
}

/// TCP's or UDP's number, and the address at this end; nothing of a packet that has no ports, such as a later fragment.
pub(crate) fn address(packet: &[u8], end: End) -> Option<(u8, SocketAddrV4)> {
    let body = body(packet)?;
    let (ip, port) = places(&body, end);
    let ip: [u8; 4] = packet[ip].try_into().ok()?;
    let port: [u8; 2] = packet[port].try_into().ok()?;
    let address = SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_be_bytes(port));
    Some((packet[PROTOCOL], address))
}

/// Puts another address there and mends the checksums. The packet has ports.
pub(crate) fn readdress(packet: &mut [u8], end: End, address: SocketAddrV4) {
    let Some(body) = body(packet) else { return };
    let (ip, port) = places(&body, end);
    packet[ip].copy_from_slice(&address.ip().octets());
    packet[port].copy_from_slice(&address.port().to_be_bytes());
    fix_checksums(packet);
}

/// What TCP or UDP carries.
pub(crate) fn payload(packet: &[u8]) -> Option<Range<usize>> {
    let body = body(packet)?;
    let header = match packet[PROTOCOL] {
        TCP => usize::from(packet.get(body.start + 12)? >> 4) * 4,
        _ => UDP_HEADER,
    };
    let start = body.start + header;
    (start < body.end).then_some(start..body.end)
}

/// Writes the checksums that the packet's bytes ask for.
pub(crate) fn fix_checksums(packet: &mut [u8]) {
    let Some(body) = body(packet) else { return };
    let header = 0..body.start;
    write(packet, IP_CHECKSUM, 0);
    let sum = checksum(sum(0, &packet[header]));
    write(packet, IP_CHECKSUM, sum);
    // The rest of the datagram is in other packets.
    if u16::from_be_bytes([packet[6], packet[7]]) & MORE_FRAGMENTS != 0 {
        return;
    }
    let place = body.start + if packet[PROTOCOL] == TCP { 16 } else { 6 };
    if place + 2 > body.end {
        return;
    }
    write(packet, place, 0);
    let pseudo = self::sum(0, &packet[12..20]) + u32::from(packet[PROTOCOL]) + body.len() as u32;
    let sum = checksum(self::sum(pseudo, &packet[body]));
    // UDP's zero says that there is none.
    let sum = if packet[PROTOCOL] == UDP && sum == 0 {
        0xffff
    } else {
        sum
    };
    write(packet, place, sum);
}

/// A router's answer to a packet that is longer than the next `mtu`, as if from the packet's target.
pub(crate) fn too_big(packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let body = body(packet)?;
    let quoted = &packet[..packet.len().min(body.start + 8)];
    let mut answer = vec![0; 28];
    answer.extend_from_slice(quoted);
    answer[0] = 0x45;
    let len = answer.len() as u16;
    write(&mut answer, 2, len);
    answer[8] = 64;
    answer[PROTOCOL] = ICMP;
    answer[12..16].copy_from_slice(&packet[16..20]);
    answer[16..20].copy_from_slice(&packet[12..16]);
    // Destination unreachable: fragmentation needed, and how long a packet may be.
    (answer[20], answer[21]) = (3, 4);
    write(&mut answer, 26, mtu);
    let header = checksum(sum(0, &answer[..20]));
    write(&mut answer, IP_CHECKSUM, header);
    let message = checksum(sum(0, &answer[20..]));
    write(&mut answer, 22, message);
    Some(answer)
}

/// Where the TCP segment or the UDP datagram stands, if the packet has the head of one.
fn body(packet: &[u8]) -> Option<Range<usize>> {
    let first = *packet.first()?;
    let start = usize::from(first & 15) * 4;
    if first >> 4 != 4 || start < 20 || packet.len() < start + UDP_HEADER {
        return None;
    }
    let end = usize::from(u16::from_be_bytes([packet[2], packet[3]])).min(packet.len());
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & OFFSET;
    let known = matches!(packet[PROTOCOL], TCP | UDP);
    (known && fragment == 0 && end >= start + UDP_HEADER).then_some(start..end)
}

/// Where the IP address and the port of this end stand.
const fn places(body: &Range<usize>, end: End) -> (Range<usize>, Range<usize>) {
    match end {
        End::Source => (12..16, body.start..body.start + 2),
        End::Target => (16..20, body.start + 2..body.start + 4),
    }
}

fn write(packet: &mut [u8], place: usize, value: u16) {
    packet[place..place + 2].copy_from_slice(&value.to_be_bytes());
}

/// Adds up 16-bit words; at most 64 KiB, so 32 bits hold it.
fn sum(start: u32, bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    let words =
        words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |byte| u32::from(*byte)));
    start + words.sum::<u32>()
}

const fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
const PROTOCOL: usize = 9;
const IP_CHECKSUM: usize = 10;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

#[cfg(test)]
pub(crate) mod tests;
