//! Threads of a node's own.

use carrick::{Config, Node, NodeEvent, Stream, StreamError};

use crate::common::*;

fn own_threads() -> Config {
    Config {
        workers: Some(2),
        ..Config::default()
    }
}

/// Answers with the name of the thread that it runs on.
async fn name_thread(mut stream: Stream) -> Result<(), StreamError> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("(no name)").to_owned();
    stream.write_all(name.as_bytes()).await?;
    stream.finish().await
}

async fn naming(config: Config, listen: &str) -> Node {
    let builder = Node::builder().config(config);
    let builder = builder.handle("/thread", name_thread);
    builder.listen(listen).unwrap().spawn().await.unwrap()
}

async fn thread_of(client: &Node, server: &Node) -> Vec<u8> {
    let stream = client.open_stream(server.address(), "/thread").await;
    stream.unwrap().read_to_end(100).await.unwrap().to_vec()
}

#[test]
fn handlers_run_on_the_nodes_own_threads_if_it_has_some() {
    on_all(|listen| async move {
        let own = naming(own_threads(), listen).await;
        let shared = naming(Config::default(), listen).await;
        let client = Node::builder().config(own_threads()).spawn().await.unwrap();
        assert_eq!(soon(thread_of(&client, &own)).await, b"carrick");
        assert_ne!(soon(thread_of(&client, &shared)).await, b"carrick");
        soon(own.close()).await;
    });
}

#[test]
fn the_last_handle_on_a_node_may_be_dropped_on_one_of_its_own_threads() {
    on_all(|listen| async move {
        let server = naming(own_threads(), listen).await;
        let client = client().await;
        let stream = client.open_stream(server.address(), "/thread").await;
        // The handler has the server's last handle: it ends with the handler, and with it the threads.
        let last = std::sync::Mutex::new(Some(server.clone()));
        let take = move |stream: Stream| {
            let last = last.lock().unwrap().take();
            async move { drop((stream, last)) }
        };
        server.handle("/last", take).unwrap();
        let address = server.address().clone();
        drop((stream.unwrap(), server));
        let mut events = client.events();
        // Its answer may come before the end, or not.
        let _ = soon(client.open_stream(&address, "/last")).await;
        let lost =
            async { while !matches!(events.next().await, Some(NodeEvent::Disconnected { .. })) {} };
        soon(lost).await;
    });
}
