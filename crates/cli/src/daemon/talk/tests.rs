//! Clients who are slow, on a clock that jumps.

use std::future::pending;

use carrick::Node;
use tokio::{io::AsyncWriteExt, net::UnixStream};

use super::*;
use crate::daemon::{api, pipe::Reader};

/// Says one thing, and then nothing.
struct Once(Option<&'static str>);

impl Source for Once {
    async fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        match self.0.take() {
            Some(text) => Ok(Some(text.into())),
            None => pending().await,
        }
    }
}

/// Takes nothing.
struct Stuck;

impl Drain for Stuck {
    async fn send(&mut self, _: &str) -> io::Result<()> {
        pending().await
    }
}

#[tokio::test]
async fn whoever_does_not_read_is_given_up() {
    let node = Node::spawn().await.expect("a node starts");
    let methods = api::methods(node, Arc::default());
    let (_open, closing) = watch::channel(());
    let client = Arc::new(Client::new(0, closing));
    let source = Once(Some(r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#));
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    talk(methods, client.clone(), source, Stuck).await;
    assert!(began.elapsed() >= SEND_TIMEOUT);
    assert!(client.idle_since().is_some(), "no call is left");
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_a_call_and_does_not_end_it_is_refused_and_whoever_is_silent_is_not() {
    let (ours, mut theirs) = UnixStream::pair().expect("there are sockets");
    let mut reader = Reader::new(ours.into_split().0);
    let silence = timeout(TEXT_TIMEOUT * 10, reader.next()).await;
    assert!(silence.is_err(), "nothing was begun");
    theirs
        .write_all(b"{}\n{\"jsonrpc\"")
        .await
        .expect("there is room");
    assert_eq!(reader.next().await, Ok(Some("{}".into())));
    let began = tokio::time::Instant::now();
    // A byte now and then does not help.
    let dribble = async {
        loop {
            tokio::time::advance(TEXT_TIMEOUT / 4).await;
            theirs.write_all(b" ").await.expect("there is room");
        }
    };
    let slow = tokio::select! {
        () = dribble => unreachable!("it does not end"),
        slow = reader.next() => slow,
    };
    assert_eq!(slow, Err(Unreadable::TooSlow));
    assert!(began.elapsed() <= TEXT_TIMEOUT * 2);
}
