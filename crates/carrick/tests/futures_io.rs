//! A stream through the traits of the `futures` crate.
#![cfg(feature = "futures-io")]

use carrick::{Node, Stream};
use futures::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_stream_is_read_and_written_through_the_traits_of_futures() {
    let server = Node::builder()
        .handle("/echo/1.0.0", |mut stream: Stream| async move {
            stream.echo().await
        })
        .listen("/memory/0")
        .unwrap()
        .spawn()
        .await
        .unwrap();
    let client = Node::spawn().await.unwrap();
    let mut stream = client
        .open_stream(server.address(), "/echo/1.0.0")
        .await
        .unwrap();
    AsyncWriteExt::write_all(&mut stream, b"hello")
        .await
        .unwrap();
    stream.close().await.unwrap();
    let mut back = Vec::new();
    AsyncReadExt::read_to_end(&mut stream, &mut back)
        .await
        .unwrap();
    assert_eq!(back, b"hello");
}
