//! A victim that forgets a task and some memory for each connection, to see that a soak finds it.

use std::net::SocketAddr;

use carrick::{Multiaddr, Node, NodeEvent, Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where its page of figures is.
    metrics: SocketAddr,
    addresses: Vec<Multiaddr>,
}

/// The role; ends with the process.
pub(crate) async fn run(args: Args) -> Result<(), String> {
    let echo = |mut stream: Stream| async move { stream.echo().await };
    let builder = Node::builder().handle("/echo/1.0.0", echo);
    let node = builder.spawn().await.map_err(|error| error.to_string())?;
    let mut events = node.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if matches!(event, NodeEvent::Connected { .. }) {
                let forgotten = vec![1_u8; 4096];
                tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(forgotten);
                });
            }
        }
    });
    let page = TcpListener::bind(args.metrics).await;
    let page = page.map_err(|error| error.to_string())?;
    for address in &args.addresses {
        let listening = node.listen(address.clone()).await;
        listening.map_err(|error| error.to_string())?;
        println!("listening {address}");
    }
    while let Ok((mut socket, _)) = page.accept().await {
        let body = node.metrics().await;
        let mut request = [0; 1024];
        let _ = socket.read(&mut request).await;
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        // Who asks and does not read is no concern of ours.
        let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
    }
    Ok(())
}
