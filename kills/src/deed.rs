//! What two peers do with each other: the same words from whichever side they come, so that every step is passed.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use carrick::{
    Code, Config, Keypair, Multiaddr, Node, Stream,
    actors::{Mailbox, MailboxOptions, mailbox},
    codec::{Codec, CodecError, Raw},
    messages::{Inbound, Message, Messages, Switcher},
};

/// Deadlines short enough for many rounds. Those of the peers that are measured against them.
pub(crate) fn config() -> Config {
    let mut config = Config {
        idle_timeout: Some(IDLE),
        negotiation_timeout: IDLE,
        drain_timeout: IDLE,
        watch_interval: None,
        ..Config::default()
    };
    config.session.upgrade_timeout = IDLE;
    config.session.keep_alive_interval = IDLE / 2;
    config.session.keep_alive_timeout = IDLE / 2;
    config.swarm.attempt_timeout = IDLE;
    config.swarm.save_interval = Duration::from_millis(5);
    config
}

/// After this long nothing is left of a peer that says no more.
pub(crate) const IDLE: Duration = Duration::from_secs(2);

/// A node and the messages that it sends; it answers what `run` asks.
pub(crate) struct Party {
    pub(crate) node: Node,
    messages: Messages,
}

impl Party {
    pub(crate) async fn new(
        keypair: Keypair,
        config: Config,
        listen: Option<&str>,
        store: Option<&Path>,
    ) -> Result<Self, String> {
        let mut builder = Node::builder()
            .identity(keypair)
            .config(config)
            .handle(
                ECHO,
                |mut stream: Stream| async move { stream.echo().await },
            )
            .handle(RESET, |stream: Stream| async move { stream.reset(Code(7)) })
            .handle(WHO, |mut stream: Stream| async move {
                stream.connection().info().await;
                stream.finish().await
            });
        if let Some(listen) = listen {
            builder = builder.listen(listen).map_err(text)?;
        }
        if let Some(store) = store {
            builder = builder.store(store).map_err(text)?;
        }
        let node = builder.spawn().await.map_err(text)?;
        let (to, inbox) = mailbox(MailboxOptions::default());
        tokio::spawn(answer(inbox));
        let switcher = Switcher::new().route::<Word, _>(to);
        let messages = Messages::builder(PROTOCOL).switcher(switcher).start(&node);
        let messages = messages.map_err(text)?;
        Ok(Self { node, messages })
    }

    /// A stream that does not end by itself.
    pub(crate) async fn hold(&self, address: &Multiaddr) -> Result<Stream, String> {
        let stream = self.node.open_stream(address.clone(), ECHO).await;
        let mut stream = stream.map_err(text)?;
        stream.write_all(b"x").await.map_err(text)?;
        stream.read_chunk().await.map_err(text)?;
        Ok(stream)
    }

    /// Everything that two peers do, but for the end.
    pub(crate) async fn run(&self, address: &Multiaddr) -> Result<(), String> {
        let connection = self.node.dial(address.clone()).await.map_err(text)?;
        connection.info().await.ok_or("it does not say who it is")?;
        let mut echo = connection.open_stream(ECHO).await.map_err(text)?;
        let (mut reader, mut writer) = tokio::io::split(&mut echo);
        let write = async {
            tokio::io::AsyncWriteExt::write_all(&mut writer, &[7; SAID]).await?;
            tokio::io::AsyncWriteExt::shutdown(&mut writer).await
        };
        let mut heard = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut heard);
        tokio::try_join!(write, read).map_err(text)?;
        if heard.len() != SAID {
            return Err("the echo is another".to_owned());
        }
        let mut given_up = connection.open_stream(ECHO).await.map_err(text)?;
        given_up.write_all(b"x").await.map_err(text)?;
        given_up.reset(Code(9));
        let mut refused = connection.open_stream(RESET).await.map_err(text)?;
        if refused.read_chunk().await.is_ok() {
            return Err("a stream was not reset".to_owned());
        }
        // What is over sooner than identify begins would leave that out.
        let mut who = connection.open_stream(WHO).await.map_err(text)?;
        who.read_to_end(0).await.map_err(text)?;
        let word = Word(Bytes::from_static(b"how are you?"));
        self.messages
            .request(address.clone(), &word)
            .await
            .map_err(text)?;
        Ok(())
    }
}

async fn answer(mut inbox: Mailbox<Inbound<Word>>) {
    while let Some(asked) = inbox.recv().await {
        let (Word(word), replier) = asked.into_parts();
        replier.reply(word);
    }
}

#[derive(Clone, Debug)]
struct Word(Bytes);

impl Message for Word {
    const CODE: u16 = 1;
    type Reply = Bytes;
    type Codec = Raw;
}

impl Codec<Word> for Raw {
    fn encode(value: &Word) -> Result<Bytes, CodecError> {
        Self::encode(&value.0)
    }

    fn decode(bytes: Bytes) -> Result<Word, CodecError> {
        Self::decode(bytes).map(Word)
    }
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const ECHO: &str = "/echo/1.0.0";
const RESET: &str = "/reset/1.0.0";
const WHO: &str = "/who/1.0.0";
const PROTOCOL: &str = "/words/1.0.0";
/// Bytes of one echo: more than a frame, less than a window.
const SAID: usize = 100_000;
