//! Transfers that are cut after every hundredth of their bytes: by the death of the receiver, and of the sender. What
//! counts is bytes, not time: a proxy between the two stops at the byte, and then one of them is killed.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use carrick::{Multiaddr, Protocol, transfer::Ticket};

use super::{Running, TCP, album, received, sender, text, tree};
use crate::process::{DEADLINE, folder};

/// The same ticket, with another address in it.
fn by_way_of(ticket: &str, proxy: SocketAddr) -> String {
    let mut ticket: Ticket = ticket.parse().expect("it is a ticket");
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", proxy.port())
        .parse()
        .expect("an address");
    ticket.addresses = vec![address];
    ticket.to_string()
}

fn socket(ticket: &str) -> SocketAddr {
    let ticket: Ticket = ticket.parse().expect("it is a ticket");
    let port = ticket.addresses[0].iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    SocketAddr::from(([127, 0, 0, 1], port.expect("it listens on TCP")))
}

/// Lets one receiver through to the sender, and so many bytes back. When these are through, or when the sender ends, it
/// says how many they were, and holds the rest until it is dropped.
struct Proxy {
    address: SocketAddr,
    reached: Receiver<u64>,
}

impl Proxy {
    fn start(sender: SocketAddr, limit: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
        let address = listener.local_addr().expect("it is bound");
        let (says, reached) = channel();
        thread::spawn(move || -> std::io::Result<()> {
            let (near, _) = listener.accept()?;
            let far = TcpStream::connect(sender)?;
            let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                to.shutdown(Shutdown::Write)
            });
            let (mut from, mut to) = (far, near);
            let (mut through, mut piece) = (0, vec![0; 64 << 10]);
            while through < limit {
                let most = piece.len().min((limit - through) as usize);
                let read = from.read(&mut piece[..most]).unwrap_or(0);
                if read == 0 || to.write_all(&piece[..read]).is_err() {
                    break;
                }
                through += read as u64;
            }
            let _ = says.send(through);
            if through == limit {
                // Nothing more goes through, and nobody is told: that is what a dead peer looks like.
                while from.read(&mut piece).is_ok_and(|read| read > 0) {}
            }
            to.shutdown(Shutdown::Both)
        });
        Self { address, reached }
    }

    fn wait(&self) -> u64 {
        self.reached
            .recv_timeout(DEADLINE)
            .expect("the bytes come in time")
    }
}

/// Does `cut` after every hundredth of the bytes, each time into a new folder, and then receives the rest.
fn after_every_percent(name: &str, cut: impl Fn(&Path, &Path, u64) + Sync) {
    let place = folder(name);
    let album = album(&place);
    let (_sender, ticket) = sender(&["--keep", "--listen", TCP, text(&album)]);
    let whole = Proxy::start(socket(&ticket), u64::MAX);
    received(&by_way_of(&ticket, whole.address), &place.join("whole"));
    let total = whole.wait();
    let original = tree(&album);
    let resumed = AtomicU64::new(0);
    let run = |percent: u64| {
        let output = place.join(percent.to_string());
        cut(&album, &output, total * percent / 100);
        assert!(
            !output.join("album").exists(),
            "{percent} %: not all of it is there"
        );
        let rest = received(&ticket, &output);
        assert_eq!(tree(&output.join("album")), original, "{percent} %");
        assert_eq!(
            tree(&output).len(),
            original.len() + 1,
            "{percent} %: and nothing else"
        );
        resumed.fetch_add(
            rest["resumed_bytes"].as_u64().expect("a number"),
            Ordering::Relaxed,
        );
    };
    thread::scope(|scope| {
        for lane in 1..=LANES as u64 {
            let run = &run;
            scope.spawn(move || (lane..100).step_by(LANES).for_each(run));
        }
    });
    assert!(resumed.into_inner() > 0, "what had arrived did not count");
}

#[test]
fn a_receiver_killed_at_any_percent_goes_on_from_there() {
    let place = folder("transfer_killed_sender");
    let album = album(&place);
    let (_sender, ticket) = sender(&["--keep", "--listen", TCP, text(&album)]);
    after_every_percent("transfer_killed_receivers", |_, output, bytes| {
        let proxy = Proxy::start(socket(&ticket), bytes);
        let ticket = by_way_of(&ticket, proxy.address);
        let receiver = Running::start(&["receive", &ticket, "--output", text(output)]);
        assert_eq!(proxy.wait(), bytes);
        // As kill -9 does it.
        drop(receiver);
    });
}

#[test]
fn a_sender_killed_at_any_percent_is_replaced_by_another_one() {
    after_every_percent("transfer_killed_senders", |album, output, bytes| {
        let (sender, ticket) = sender(&["--keep", "--listen", TCP, text(album)]);
        let proxy = Proxy::start(socket(&ticket), bytes);
        let ticket = by_way_of(&ticket, proxy.address);
        let receiver = Running::start(&["receive", &ticket, "--output", text(output)]);
        assert_eq!(proxy.wait(), bytes);
        drop(sender);
        let (code, stderr) = receiver.end();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    });
}

/// Cuts at a time.
const LANES: usize = 4;
