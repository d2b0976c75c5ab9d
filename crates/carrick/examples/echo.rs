//! The eleven-line program: an echo server and a client, in one process for brevity.

use carrick::{Node, Stream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder()
        .handle("/echo/1.0.0", |mut stream: Stream| async move {
            stream.echo().await
        })
        .listen("/ip4/127.0.0.1/tcp/0")?
        .spawn()
        .await?;
    let client = Node::spawn().await?;
    let mut stream = client.open_stream(server.address(), "/echo/1.0.0").await?;
    stream.write_all(b"hi").await?;
    stream.finish().await?;
    let reply = stream.read_to_end(1 << 20).await?; // reading everything always takes a limit
    println!("{}", String::from_utf8_lossy(&reply));
    Ok(())
}
