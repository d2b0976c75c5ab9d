//! Typed messages: here what they share, by file what peers may rely on, whichever form they use and whether they are remote.

use bytes::Bytes;
use carrick::{
    Multiaddr, Node, PeerId,
    actors::{Mailbox, MailboxOptions, Policy, mailbox},
    codec::{Codec, CodecError, Raw},
    messages::{Form, Inbound, Message, Messages, MessagesBuilder, Priority, Switcher},
};

use crate::common::*;

mod anywhere;
mod bounds;
mod hostile;
mod links;

const PROTOCOL: &str = "/test-messages/1";
const FORMS: [Form; 2] = [Form::StreamPerRequest, Form::Multiplexed];

/// A message of this code in this lane.
#[derive(Clone, Debug, PartialEq)]
struct Words<const CODE: u16, const LANE: usize>(Vec<u8>);

type Echo = Words<1, 2>;
type Urgent = Words<2, 1>;
type Backlog = Words<3, 3>;

/// Bytes as they are, but none that begin with 255.
struct Plain;

impl<const CODE: u16, const LANE: usize> Codec<Words<CODE, LANE>> for Plain {
    fn encode(words: &Words<CODE, LANE>) -> Result<Bytes, CodecError> {
        Raw::encode(&words.0)
    }

    fn decode(bytes: Bytes) -> Result<Words<CODE, LANE>, CodecError> {
        if bytes.first() == Some(&255) {
            return Err(CodecError::decode("it begins with 255"));
        }
        Ok(Words(bytes.into()))
    }
}

impl Codec<Vec<u8>> for Plain {
    fn encode(bytes: &Vec<u8>) -> Result<Bytes, CodecError> {
        Raw::encode(bytes)
    }

    fn decode(bytes: Bytes) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.into())
    }
}

impl<const CODE: u16, const LANE: usize> Message for Words<CODE, LANE> {
    const CODE: u16 = CODE;
    const PRIORITY: Priority = Priority::ALL[LANE];
    type Reply = Vec<u8>;
    type Codec = Plain;
}

fn echo(text: &str) -> Echo {
    Words(text.into())
}

/// Whatever comes.
#[derive(Debug)]
enum Any {
    Echo(Inbound<Echo>),
    Urgent(Inbound<Urgent>),
    Backlog(Inbound<Backlog>),
}

impl From<Inbound<Echo>> for Any {
    fn from(inbound: Inbound<Echo>) -> Self {
        Self::Echo(inbound)
    }
}

impl From<Inbound<Urgent>> for Any {
    fn from(inbound: Inbound<Urgent>) -> Self {
        Self::Urgent(inbound)
    }
}

impl From<Inbound<Backlog>> for Any {
    fn from(inbound: Inbound<Backlog>) -> Self {
        Self::Backlog(inbound)
    }
}

/// Answers each with what it says.
async fn answer_all(mut inbox: Mailbox<Any>) {
    while let Some(any) = inbox.recv().await {
        match any {
            Any::Echo(asked) => answer(asked),
            Any::Urgent(asked) => answer(asked),
            Any::Backlog(asked) => answer(asked),
        }
    }
}

fn answer<const CODE: u16, const LANE: usize>(asked: Inbound<Words<CODE, LANE>>) {
    let words = asked.message().0.clone();
    asked.reply(words);
}

/// A node that takes messages, and their mailbox.
struct Server {
    node: Node,
    messages: Messages,
    inbox: Mailbox<Any>,
}

impl Server {
    async fn new(listen: &str, options: MailboxOptions) -> Self {
        Self::with(listen, options, |builder| builder).await
    }

    async fn with(
        listen: &str,
        options: MailboxOptions,
        set_up: impl FnOnce(MessagesBuilder) -> MessagesBuilder,
    ) -> Self {
        let node = Node::builder().listen(listen).unwrap();
        let node = node.spawn().await.unwrap();
        let (sender, inbox) = mailbox::<Any>(options);
        let switcher = Switcher::new()
            .route::<Echo, _>(sender.clone())
            .route::<Urgent, _>(sender.clone())
            .route::<Backlog, _>(sender);
        let builder = set_up(Messages::builder(PROTOCOL).switcher(switcher));
        let messages = builder.start(&node).unwrap();
        Self {
            node,
            messages,
            inbox,
        }
    }

    fn address(&self) -> Multiaddr {
        self.node.address()
    }

    /// What comes next, which must be an [`Echo`].
    async fn next(&mut self) -> Inbound<Echo> {
        match soon(self.inbox.recv()).await {
            Some(Any::Echo(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }
}

/// Somebody who asks.
struct Client {
    /// `None`: it is the server itself.
    node: Option<Node>,
    messages: Messages,
}

impl Client {
    async fn new(form: Form, server: &Server) -> Self {
        Self::with(form, server, |builder| builder).await
    }

    async fn with(
        form: Form,
        server: &Server,
        set_up: impl FnOnce(MessagesBuilder) -> MessagesBuilder,
    ) -> Self {
        let node = client().await;
        soon(node.dial(server.address())).await.unwrap();
        let builder = set_up(Messages::builder(PROTOCOL).form(form));
        let messages = builder.start(&node).unwrap();
        Self {
            node: Some(node),
            messages,
        }
    }

    fn local(server: &Server) -> Self {
        Self {
            node: None,
            messages: server.messages.clone(),
        }
    }

    /// By a method, so that a test's future owns the node, too.
    fn messages(&self) -> &Messages {
        &self.messages
    }

    fn id(&self, server: &Server) -> PeerId {
        let node = self.node.as_ref();
        node.map_or_else(|| server.node.id(), Node::id)
    }
}

/// Runs a test for each way to ask: both forms over each kind of link, and within a node. A client and a server whose mailbox
/// has these options.
fn from_anywhere<F>(options: &MailboxOptions, test: impl Fn(Client, Server) -> F)
where
    F: Future<Output = ()>,
{
    for listen in every_link() {
        for form in FORMS {
            eprintln!("{form:?} over {listen}");
            run(async {
                let server = Server::new(listen, options.clone()).await;
                test(Client::new(form, &server).await, server).await;
            });
        }
    }
    eprintln!("within a node");
    run(async {
        let server = Server::new("/memory/0", options.clone()).await;
        test(Client::local(&server), server).await;
    });
}

/// One place a lane, with this policy.
fn one(policy: Policy) -> MailboxOptions {
    MailboxOptions::new(1, policy)
}
