//! Carrick's requests: plain ones, or typed messages, each on a stream of its own or all on one. Its limits of requests
//! are above what any workload asks at once.

mod config;

use std::net::SocketAddr;

use anyhow::Result;
use bench_harness::{Asked, Asker, Form, Over};
use bytes::Bytes;
use carrick::{
    Node, PeerId, Requests,
    actors::{MailboxOptions, Policy, mailbox},
    codec::{Codec, CodecError, Raw},
    messages::{Inbound, Message, Messages, MessagesBuilder, Switcher},
};

const PLAIN: &str = "/bench/ask/1.0.0";
const TYPED: &str = "/bench/messages/1.0.0";
const IN_FLIGHT_MAX: usize = 2048;
/// 4 KiB for each of them, twice.
const BYTES_MAX: usize = 16 << 20;

fn plain() -> Requests<Bytes, Bytes, Raw> {
    Requests::new(PLAIN)
        .max_in_flight(IN_FLIGHT_MAX)
        .max_in_flight_inbound(2 * IN_FLIGHT_MAX)
}

fn typed(form: carrick::messages::Form) -> MessagesBuilder {
    Messages::builder(TYPED)
        .form(form)
        .max_in_flight(IN_FLIGHT_MAX)
        .peer_budget_bytes(BYTES_MAX)
}

#[derive(Clone)]
struct Echo(Bytes);

impl Message for Echo {
    const CODE: u16 = 1;
    type Reply = Bytes;
    type Codec = EchoCodec;
}

struct EchoCodec;

impl Codec<Echo> for EchoCodec {
    fn encode(echo: &Echo) -> Result<Bytes, CodecError> {
        Ok(echo.0.clone())
    }

    fn decode(bytes: Bytes) -> Result<Echo, CodecError> {
        Ok(Echo(bytes))
    }
}

impl Codec<Bytes> for EchoCodec {
    fn encode(reply: &Bytes) -> Result<Bytes, CodecError> {
        Raw::encode(reply)
    }

    fn decode(bytes: Bytes) -> Result<Bytes, CodecError> {
        Raw::decode(bytes)
    }
}

struct Carrick {
    node: Node,
    form: Form,
}

impl Asked for Carrick {
    const NAME: &'static str = "carrick";
    type Asker = Peer;

    async fn start(listen: Option<SocketAddr>, over: Over) -> Result<Self> {
        let mut builder = config::builder(over)?;
        if let Some(listen) = listen {
            builder = builder.listen(over.multiaddr(listen))?;
        }
        let node = builder.spawn().await?;
        if listen.is_some() {
            node.serve(&plain(), |_, bytes| async { Ok(bytes) })?;
            let options = MailboxOptions::new(IN_FLIGHT_MAX, Policy::Wait);
            let (sender, mut inbox) = mailbox::<Inbound<Echo>>(options);
            tokio::spawn(async move {
                while let Some(asked) = inbox.recv().await {
                    let bytes = asked.message().0.clone();
                    // An asker that has gone away needs no answer.
                    let _: bool = asked.reply(bytes);
                }
            });
            typed(carrick::messages::Form::default())
                .switcher(Switcher::new().route::<Echo, _>(sender))
                .start(&node)?;
        }
        Ok(Self {
            node,
            form: over.form,
        })
    }

    fn address(&self) -> String {
        self.node.address().to_string()
    }

    async fn dial(&self, address: &str) -> Result<Peer> {
        let connection = self.node.dial(address).await?;
        let peer = connection.peer();
        let form = match self.form {
            Form::Plain => None,
            Form::Streams => Some(carrick::messages::Form::StreamPerRequest),
            Form::Multiplexed => Some(carrick::messages::Form::Multiplexed),
        };
        let messages = form.map(|form| typed(form).start(&self.node));
        Ok(Peer {
            node: self.node.clone(),
            _connection: connection,
            peer,
            plain: plain(),
            messages: messages.transpose()?,
        })
    }
}

struct Peer {
    node: Node,
    _connection: carrick::Connection,
    peer: PeerId,
    plain: Requests<Bytes, Bytes, Raw>,
    messages: Option<Messages>,
}

impl Asker for Peer {
    type Reply = Bytes;

    async fn ask(&self, payload: &[u8]) -> Result<Bytes> {
        let payload = Bytes::copy_from_slice(payload);
        Ok(match &self.messages {
            None => self.node.request(self.peer, &self.plain, &payload).await?,
            Some(messages) => messages.request(self.peer, &Echo(payload)).await?,
        })
    }
}

fn main() -> Result<()> {
    bench_harness::main_asked::<Carrick>()
}
