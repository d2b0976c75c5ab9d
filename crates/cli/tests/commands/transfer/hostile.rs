//! Peers who lie, stall, ask for what is not there, or send names that lead elsewhere; they are nodes of this process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, channel},
};

use carrick::{
    Node, Stream,
    transfer::{Entry, EntryKind, EntryPath, Frame, GROUP_LEN, PROTOCOL, Reason, Ticket},
};
use tokio::runtime::Runtime;

use super::{Running, TCP, noise, receive, received, sender, text, tree};
use crate::process::{DEADLINE, Finished, carrick, folder, run};

/// The other side's frames, one after the other.
struct Heard {
    bytes: Vec<u8>,
}

impl Heard {
    async fn next(&mut self, stream: &mut Stream) -> Option<Frame> {
        loop {
            let decoded = Frame::decode(&self.bytes).expect("the binary speaks well");
            if let Some((frame, used)) = decoded {
                self.bytes.drain(..used);
                return Some(frame);
            }
            self.bytes
                .extend_from_slice(&stream.read_chunk().await.ok()??);
        }
    }

    /// What it says when it gives up.
    async fn failure(&mut self, stream: &mut Stream) -> Option<Reason> {
        while let Some(frame) = self.next(stream).await {
            if let Frame::Failed { reason, .. } = frame {
                return Some(reason);
            }
        }
        None
    }
}

/// A sender who says these bytes to whoever comes, and then waits or ends; and how the receiver took leave.
struct Liar {
    _runtime: Runtime,
    _node: Node,
    ticket: String,
    left: Receiver<Option<Reason>>,
}

impl Liar {
    fn start(says: Vec<u8>, root: [u8; 32], ends: bool) -> Self {
        let runtime = Runtime::new().expect("there are threads");
        let (sender, left) = channel();
        let handler = move |mut stream: Stream| {
            let (says, sender) = (says.clone(), sender.clone());
            async move {
                stream.write_all(&says).await?;
                if ends {
                    stream.finish().await?;
                }
                let mut heard = Heard { bytes: Vec::new() };
                let _ = sender.send(heard.failure(&mut stream).await);
                Ok::<_, carrick::StreamError>(())
            }
        };
        let node = async {
            let node = Node::builder().handle(PROTOCOL, handler).listen(TCP)?;
            Ok::<_, Box<dyn std::error::Error>>(node.spawn().await?)
        };
        let node = runtime.block_on(node).expect("it listens");
        let ticket = Ticket::new(node.id(), root, [0; 16], node.addresses()).to_string();
        Self {
            _runtime: runtime,
            _node: node,
            ticket,
            left,
        }
    }

    fn left(&self) -> Option<Reason> {
        self.left
            .recv_timeout(DEADLINE)
            .expect("the receiver leaves in time")
    }
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut out));
    out
}

/// An entry whose path need not be one.
fn entry(kind: u8, size: u64, path: &[u8]) -> Vec<u8> {
    let mut body = vec![4, kind];
    if kind != 2 {
        let mut frame = Vec::new();
        // The numbers of a Want are the same.
        Frame::Want {
            first: size,
            count: 1,
        }
        .encode(&mut frame);
        body.extend_from_slice(&frame[2..frame.len() - 1]);
        body.extend_from_slice(&[7; 32]);
    }
    body.extend_from_slice(path);
    let mut out = Vec::new();
    if body.len() > 127 {
        out.push(body.len() as u8 | 0x80);
        out.push((body.len() >> 7) as u8);
    } else {
        out.push(body.len() as u8);
    }
    out.extend_from_slice(&body);
    out
}

fn file(name: &str, size: u64, hash: [u8; 32]) -> Entry {
    Entry {
        path: EntryPath::parse(name).expect("a path"),
        kind: EntryKind::File {
            size,
            hash,
            executable: false,
        },
    }
}

fn root_of(entries: &[Entry]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("carrick transfer 1.0.0 manifest");
    for entry in entries {
        hasher.update(&encoded(&[Frame::Entry(entry.clone())]));
    }
    hasher.finalize().into()
}

/// A manifest as an honest sender would tell it.
fn offer(entries: &[Entry]) -> (Vec<u8>, [u8; 32]) {
    let root = root_of(entries);
    let sizes = entries.iter().map(|entry| match entry.kind {
        EntryKind::File { size, .. } => size,
        EntryKind::Directory => 0,
    });
    let first = entries[0].path.names().next().expect("a path has a name");
    let offer = Frame::Offer {
        root,
        entries: entries.len() as u64,
        bytes: sizes.sum(),
        name: EntryPath::name(first).expect("a name"),
    };
    let mut frames = vec![offer];
    frames.extend(entries.iter().cloned().map(Frame::Entry));
    frames.push(Frame::End);
    (encoded(&frames), root)
}

fn hasty(ticket: &str, output: &Path) -> Finished {
    carrick(&[
        "receive",
        ticket,
        "--output",
        text(output),
        "--timeout",
        "1",
    ])
}

/// Nothing but what is on its way, if that.
fn assert_nothing_arrived(output: &Path) {
    let is_part =
        |path: &PathBuf| text(path).is_empty() || text(path).starts_with(".carrick-part-");
    let all: Vec<_> = tree(output).into_iter().map(|(path, _)| path).collect();
    assert!(all.iter().all(is_part), "{all:?}");
}

#[test]
fn names_that_lead_elsewhere_are_never_made() {
    let folder = folder("transfer_names");
    let manifests: [(&str, Vec<Vec<u8>>); 16] = [
        ("up", vec![entry(0, 1, b"../evil")]),
        (
            "up_inside",
            vec![entry(2, 0, b"a"), entry(0, 1, b"a/../../evil")],
        ),
        ("absolute", vec![entry(0, 1, b"/tmp/evil")]),
        ("nul", vec![entry(0, 1, b"a\0b")]),
        ("backslash", vec![entry(0, 1, b"..\\evil")]),
        ("drive", vec![entry(0, 1, b"C:\\evil")]),
        ("drive_relative", vec![entry(0, 1, b"C:evil")]),
        ("escape", vec![entry(0, 1, b"\x1b[2J")]),
        ("not_text", vec![entry(0, 1, b"\xff")]),
        ("twice", vec![entry(0, 1, b"a"), entry(0, 1, b"a")]),
        ("below_a_file", vec![entry(0, 1, b"a"), entry(0, 1, b"a/b")]),
        ("out_of_order", vec![entry(0, 1, b"b"), entry(0, 1, b"a")]),
        ("deep", vec![entry(0, 1, &b"d/".repeat(64))]),
        ("empty", vec![entry(0, 1, b"")]),
        // Where the receiver of another transfer would believe what it finds.
        ("part", vec![entry(2, 0, b".carrick-part-0123456789abcdef")]),
        (
            "part_inside",
            vec![
                entry(2, 0, b"a"),
                entry(2, 0, b"a/.Carrick-Part-0123456789abcdef"),
            ],
        ),
    ];
    for (name, entries) in manifests {
        let bytes = entries.len() as u64;
        let name_of_first = EntryPath::name("a").expect("a name");
        let offer = Frame::Offer {
            root: [1; 32],
            entries: bytes,
            bytes,
            name: name_of_first,
        };
        let mut says = encoded(&[offer]);
        says.extend(entries.concat());
        says.extend(encoded(&[Frame::End]));
        let liar = Liar::start(says, [1; 32], false);
        let output = folder.join(name);
        fs::create_dir(&output).expect("it can be made");
        receive(&liar.ticket, &output).refused(&["does not keep to the protocol"]);
        assert_eq!(liar.left(), Some(Reason::Protocol), "{name}");
        assert_eq!(tree(&output).len(), 1, "{name}");
    }
    assert!(!Path::new("/tmp/evil").exists() && !folder.join("evil").exists());
}

#[test]
fn a_manifest_is_the_one_that_was_offered() {
    let folder = folder("transfer_manifest");
    let honest = [
        file("a", 5, blake3::hash(b"hello").into()),
        file("b", 0, blake3::hash(b"").into()),
    ];
    let (said, root) = offer(&honest);
    let other = [file("a", 6, [0; 32])];
    let with = |says: &[Frame]| {
        [
            &encoded(&[Frame::Offer {
                root,
                entries: 2,
                bytes: 5,
                name: EntryPath::name("a").expect("a name"),
            }]),
            &encoded(says)[..],
        ]
        .concat()
    };
    let entry = |at: usize| Frame::Entry(honest[at].clone());
    for (name, says) in [
        ("another", offer(&other).0),
        ("fewer", with(&[entry(0), Frame::End])),
        (
            "more",
            with(&[entry(0), entry(1), Frame::Entry(file("c", 0, [0; 32]))]),
        ),
        ("larger", with(&[Frame::Entry(file("a", 6, [0; 32]))])),
        (
            "other_hash",
            with(&[Frame::Entry(file("a", 5, [0; 32])), entry(1), Frame::End]),
        ),
        ("out_of_turn", with(&[Frame::Done])),
        (
            "no_frame",
            with(&[entry(0)]).into_iter().chain([1, 99]).collect(),
        ),
        ("long_frame", [255; 9].to_vec()),
        (
            "too_many",
            encoded(&[Frame::Offer {
                root,
                entries: (1 << 18) + 1,
                bytes: 5,
                name: EntryPath::name("a").expect("a name"),
            }]),
        ),
    ] {
        let liar = Liar::start(says, root, false);
        let output = folder.join(name);
        receive(&liar.ticket, &output).refused(&["does not keep to the protocol"]);
        assert_eq!(liar.left(), Some(Reason::Protocol), "{name}");
        assert!(!output.exists(), "{name}");
    }
    // The honest one, whose groups are not what it says.
    for (name, group) in [("flipped", &b"hellp"[..]), ("other_length", b"hell")] {
        let mut says = said.clone();
        Frame::Group { len: group.len() }.encode(&mut says);
        says.extend_from_slice(group);
        let liar = Liar::start(says, root, false);
        let output = folder.join(name);
        assert_eq!(receive(&liar.ticket, &output).code, Some(1));
        let wanted = [Some(Reason::Corrupt), Some(Reason::Protocol)];
        assert!(wanted.contains(&liar.left()), "{name}");
        assert_nothing_arrived(&output);
    }
}

#[test]
fn a_part_that_is_not_of_the_file_is_refused_before_it_is_written() {
    let folder = folder("transfer_lies");
    let bytes = noise(2 * GROUP_LEN);
    let entries = [file("a", bytes.len() as u64, blake3::hash(&bytes).into())];
    let (said, root) = offer(&entries);
    let halves = |at: usize| {
        use blake3::hazmat::HasherExt;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset((at * GROUP_LEN) as u64);
        hasher
            .update(&bytes[at * GROUP_LEN..][..GROUP_LEN])
            .finalize_non_root()
    };
    let node =
        |left, right| encoded(&[Frame::Node { left, right }, Frame::Group { len: GROUP_LEN }]);
    let (first, second) = bytes.split_at(GROUP_LEN);
    for (name, rest) in [
        (
            "false_node",
            [node([0; 32], halves(1)), first.to_vec()].concat(),
        ),
        (
            "swapped_groups",
            [node(halves(0), halves(1)), second.to_vec()].concat(),
        ),
    ] {
        let liar = Liar::start([&said[..], &rest].concat(), root, false);
        let output = folder.join(name);
        receive(&liar.ticket, &output)
            .refused(&["other bytes than it had promised for a", "new ticket"]);
        assert_eq!(liar.left(), Some(Reason::Corrupt), "{name}");
        assert_nothing_arrived(&output);
        let written = tree(&output).into_iter().filter_map(|(_, bytes)| bytes);
        assert!(written.into_iter().all(|bytes| bytes.is_empty()), "{name}");
    }
}

#[test]
fn a_sender_who_stalls_or_leaves_is_given_up() {
    let folder = folder("transfer_stalls");
    let (said, root) = offer(&[file("a", 1 << 30, [1; 32])]);
    for len in [0, 1, said.len() - 1, said.len()] {
        let output = folder.join(len.to_string());
        let silent = Liar::start(said[..len].to_vec(), root, false);
        hasty(&silent.ticket, &output)
            .refused(&["nothing moved for 1 s", "run the same command again"]);
        let gone = Liar::start(said[..len].to_vec(), root, true);
        receive(&gone.ticket, &output).refused(&["ended the transfer before everything was there"]);
        if output.exists() {
            assert_nothing_arrived(&output);
        }
    }
}

#[test]
fn a_claim_of_nine_exabytes_costs_nothing() {
    let folder = folder("transfer_claims");
    let (said, root) = offer(&[file("a", i64::MAX as u64, [1; 32])]);
    let liar = Liar::start(said, root, false);
    let output = folder.join("limited");
    let limited = [
        "receive",
        &liar.ticket,
        "--output",
        text(&output),
        "--max-size",
        "1TiB",
    ];
    carrick(&limited).refused(&["9223372036854775807 bytes are more than", "--max-size"]);
    assert_eq!(liar.left(), Some(Reason::TooLarge));
    assert!(!output.exists());
    let output = folder.join("unlimited");
    let script = "ulimit -v 4000000; exec \"$0\" receive \"$1\" --output \"$2\" --timeout 1";
    let binary = env!("CARGO_BIN_EXE_carrick");
    let within = run(Command::new("sh").args(["-c", script, binary, &liar.ticket, text(&output)]));
    within.refused(&["nothing moved for 1 s"]);
    assert_nothing_arrived(&output);
}

/// Says these to a real sender, once its manifest is there, and returns why it gave up.
async fn ask(node: &Node, ticket: &Ticket, secret: [u8; 16], says: &[Frame]) -> Option<Reason> {
    let target = (ticket.peer, ticket.addresses.clone());
    let mut stream = node.open_stream(target, PROTOCOL).await.expect("it serves");
    let fetch = encoded(&[
        Frame::Fetch {
            root: ticket.root,
            secret,
        },
        Frame::Accept,
    ]);
    stream.write_all(&fetch).await.expect("it reads");
    let mut heard = Heard { bytes: Vec::new() };
    loop {
        match heard.next(&mut stream).await? {
            Frame::End => break,
            Frame::Failed { reason, .. } => return Some(reason),
            _ => {}
        }
    }
    // It may have heard enough before the last one.
    let _ = stream.write_all(&encoded(says)).await;
    heard.failure(&mut stream).await
}

#[test]
fn receivers_who_ask_for_what_is_not_there_do_no_harm() {
    let folder = folder("transfer_askers");
    let path = folder.join("file");
    fs::write(&path, noise(300_000)).expect("it can be written");
    let (sender, text_of_ticket) = sender(&["--listen", TCP, text(&path)]);
    let ticket: Ticket = text_of_ticket.parse().expect("it is one");
    let runtime = Runtime::new().expect("there are threads");
    let secret = ticket.secret;
    for (secret, says, reason) in [
        ([0; 16], vec![], Reason::Unauthorized),
        (
            secret,
            vec![Frame::Want { first: 0, count: 3 }],
            Reason::Protocol,
        ),
        (
            secret,
            vec![Frame::Want { first: 0, count: 0 }],
            Reason::Protocol,
        ),
        (
            secret,
            vec![Frame::Want {
                first: i64::MAX as u64,
                count: i64::MAX as u64,
            }],
            Reason::Protocol,
        ),
        (secret, vec![Frame::End], Reason::Protocol),
    ] {
        // Each its own, since one who misbehaves is soon not let in any more.
        let answer = runtime.block_on(async {
            let node = Node::spawn().await.expect("there is entropy");
            let answer = ask(&node, &ticket, secret, &says).await;
            node.close().await;
            answer
        });
        assert_eq!(answer, Some(reason), "{says:?}");
        sender.event("failed");
    }
    received(&text_of_ticket, &folder.join("output"));
    assert_eq!(sender.end().0, Some(0));
}

#[test]
fn a_receiver_who_stops_reading_is_given_up_and_others_are_served() {
    let folder = folder("transfer_not_reading");
    let path = folder.join("file");
    fs::write(&path, noise(24 << 20)).expect("it can be written");
    let (sender, text_of_ticket) = sender(&["--listen", TCP, "--timeout", "1", text(&path)]);
    let ticket: Ticket = text_of_ticket.parse().expect("it is one");
    let runtime = Runtime::new().expect("there are threads");
    let (_node, _stream) = runtime.block_on(async {
        let node = Node::spawn().await.expect("there is entropy");
        let target = (ticket.peer, ticket.addresses.clone());
        let mut stream = node.open_stream(target, PROTOCOL).await.expect("it serves");
        let (root, secret) = (ticket.root, ticket.secret);
        let want = Frame::Want {
            first: 0,
            count: 96,
        };
        let says = encoded(&[Frame::Fetch { root, secret }, Frame::Accept, want]);
        stream.write_all(&says).await.expect("it reads");
        (node, stream)
    });
    let failed = sender.event("failed").to_string();
    assert!(failed.contains("nothing moved for 1 s"), "{failed}");
}

/// A stream on which nothing is said. One that is too many may be refused before it is heard.
async fn stranger(node: &Node, ticket: &Ticket, too_many: bool) -> Stream {
    let target = (ticket.peer, ticket.addresses.clone());
    let mut stream = node.open_stream(target, PROTOCOL).await.expect("it serves");
    let agreed = stream.confirm().await;
    assert!(agreed.is_ok() || too_many);
    stream
}

#[test]
fn strangers_without_a_ticket_hold_their_places_for_a_moment_only() {
    const STRANGERS_MAX: usize = 64;
    const OF_PEER_MAX: usize = 4;
    let folder = folder("transfer_strangers");
    let path = folder.join("file");
    fs::write(&path, noise(1_000)).expect("it can be written");
    let (sender, text_of_ticket) = sender(&["--listen", TCP, "--timeout", "3600", text(&path)]);
    let ticket: Ticket = text_of_ticket.parse().expect("it is one");
    let runtime = Runtime::new().expect("there are threads");
    runtime.block_on(async {
        let (mut nodes, mut streams) = (Vec::new(), Vec::new());
        for at in 0..=STRANGERS_MAX {
            if at % OF_PEER_MAX == 0 {
                nodes.push(Node::spawn().await.expect("there is entropy"));
            }
            let node = nodes.last().expect("there is one");
            streams.push(stranger(node, &ticket, at == STRANGERS_MAX).await);
        }
        let mut too_many = vec![streams.pop().expect("there is one")];
        // One of a peer that has its share, though others have none.
        too_many.push(stranger(&nodes[0], &ticket, true).await);
        for mut one_too_many in too_many {
            assert!(!matches!(one_too_many.read_chunk().await, Ok(Some(_))));
        }
        for mut stream in streams {
            let end = tokio::time::timeout(DEADLINE, stream.read_chunk()).await;
            assert!(!matches!(end.expect("it ends in time"), Ok(Some(_))));
        }
        for node in nodes {
            node.close().await;
        }
    });
    received(&text_of_ticket, &folder.join("output"));
    assert_eq!(sender.end().0, Some(0));
}

#[test]
fn senders_who_say_nothing_keep_no_other_out() {
    let folder = folder("transfer_silent_senders");
    let (path, output) = (folder.join("file"), folder.join("output"));
    fs::write(&path, noise(1_000)).expect("it can be written");
    let receiver = Running::start(&[
        "receive",
        "--yes",
        "--listen",
        TCP,
        "--timeout",
        "3600",
        "--output",
        text(&output),
    ]);
    let address = receiver.event("listening")["address"].to_string();
    let address = address.trim_matches('"');
    let runtime = Runtime::new().expect("there are threads");
    let silent = runtime.block_on(async {
        let node = Node::spawn().await.expect("there is entropy");
        let mut stream = node
            .open_stream(address, PROTOCOL)
            .await
            .expect("it serves");
        stream.confirm().await.expect("it takes it");
        (node, stream)
    });
    let sent = carrick(&["send", "--to", address, text(&path)]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert_eq!(receiver.event("received")["bytes"], 1000);
    assert_eq!(receiver.end().0, Some(0));
    drop(silent);
}

#[test]
fn one_receiver_too_many_is_told_that_the_sender_is_busy() {
    const RECEIVERS_MAX: usize = 16;
    const OF_PEER_MAX: usize = 4;
    let folder = folder("transfer_receivers");
    let path = folder.join("file");
    fs::write(&path, noise(1_000)).expect("it can be written");
    let (sender, text_of_ticket) = sender(&["--listen", TCP, "--timeout", "3600", text(&path)]);
    let ticket: Ticket = text_of_ticket.parse().expect("it is one");
    let runtime = Runtime::new().expect("there are threads");
    runtime.block_on(async {
        let (root, secret) = (ticket.root, ticket.secret);
        let (mut nodes, mut receivers) = (Vec::new(), Vec::new());
        for at in 0..=RECEIVERS_MAX {
            if at % OF_PEER_MAX == 0 {
                nodes.push(Node::spawn().await.expect("there is entropy"));
            }
            let node = nodes.last().expect("there is one");
            let mut stream = stranger(node, &ticket, false).await;
            let fetch = encoded(&[Frame::Fetch { root, secret }]);
            stream.write_all(&fetch).await.expect("it reads");
            let mut heard = Heard { bytes: Vec::new() };
            let first = heard.next(&mut stream).await.expect("it answers");
            let is_busy = matches!(
                first,
                Frame::Failed {
                    reason: Reason::Busy,
                    ..
                }
            );
            assert_eq!(is_busy, at == RECEIVERS_MAX, "{at}: {first:?}");
            receivers.push(stream);
        }
        drop(receivers);
        for node in nodes {
            node.close().await;
        }
    });
    received(&text_of_ticket, &folder.join("output"));
    assert_eq!(sender.end().0, Some(0));
}
