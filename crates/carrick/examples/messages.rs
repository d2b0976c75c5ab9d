//! Typed messages: a table of words in an actor of one node, asked and told by another, in one process for brevity.

use std::collections::BTreeMap;

use carrick::{
    Node,
    actors::{Mailbox, MailboxOptions, mailbox},
    codec::Json,
    messages::{Form, Inbound, Message, Messages, Switcher},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Put {
    key: String,
    value: String,
}

impl Message for Put {
    const CODE: u16 = 1;
    type Reply = ();
    type Codec = Json;
}

#[derive(Clone, Serialize, Deserialize)]
struct Get(String);

impl Message for Get {
    const CODE: u16 = 2;
    type Reply = Option<String>;
    type Codec = Json;
}

/// What the actor understands.
enum Asked {
    Put(Inbound<Put>),
    Get(Inbound<Get>),
}

impl From<Inbound<Put>> for Asked {
    fn from(put: Inbound<Put>) -> Self {
        Self::Put(put)
    }
}

impl From<Inbound<Get>> for Asked {
    fn from(get: Inbound<Get>) -> Self {
        Self::Get(get)
    }
}

async fn table(mut inbox: Mailbox<Asked>) {
    let mut words = BTreeMap::new();
    while let Some(asked) = inbox.recv().await {
        match asked {
            Asked::Put(asked) => {
                let (Put { key, value }, replier) = asked.into_parts();
                words.insert(key, value);
                replier.reply(());
            }
            Asked::Get(asked) => {
                let word = words.get(&asked.message().0).cloned();
                asked.reply(word);
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sender, inbox) = mailbox(MailboxOptions::default());
    tokio::spawn(table(inbox));
    let switcher = Switcher::new()
        .route::<Put, _>(sender.clone())
        .route::<Get, _>(sender);
    let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0")?;
    let server = server.spawn().await?;
    Messages::builder("/words/1")
        .switcher(switcher)
        .start(&server)?;

    let client = Node::spawn().await?;
    let messages = Messages::builder("/words/1")
        .form(Form::Multiplexed)
        .start(&client)?;
    let (key, value) = ("carrick".to_owned(), "a rock by the sea".to_owned());
    let put = Put {
        key: key.clone(),
        value,
    };
    messages.request(server.address(), &put).await?;
    let word = messages.request(server.id(), &Get(key)).await?;
    println!("carrick: {}", word.unwrap_or_default());
    Ok(())
}
