//! One node asks, another answers: `cargo run --example request`. Both sides share the kind of request, and so its types.

use carrick::{Node, RequestError, Requests, codec::Json};

type Words = Requests<String, Vec<String>, Json>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words = Words::new("/example/words/1").max_request_bytes(64);
    let server = Node::builder()
        .listen("/ip4/127.0.0.1/tcp/0")?
        .spawn()
        .await?;
    server.serve(&words, |peer, text: String| async move {
        println!("{peer} asks for the words of {text:?}");
        Ok(text.split_whitespace().map(str::to_owned).collect())
    })?;

    let client = Node::spawn().await?;
    let text = "bytes in order, to and from one peer".to_owned();
    println!(
        "{:?}",
        client.request(server.address(), &words, &text).await?
    );
    match client.request(server.id(), &words, &text.repeat(9)).await {
        Err(error @ RequestError::TooLarge { .. }) => println!("{error}"),
        other => println!("{other:?}"),
    }
    Ok(())
}
