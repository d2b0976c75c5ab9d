//! Row 170: the largest number is a number, a server answers only after the upload's end, nobody serves unasked.

use carrick::{
    Node, OpenError, StreamError,
    perf::{self, Header, PerfError, Progress},
};

use crate::common::*;

async fn serving(listen: &str) -> Node {
    let builder = Node::builder().handle(perf::PROTOCOL, perf::serve);
    let builder = builder.listen(listen).unwrap();
    builder.spawn().await.unwrap()
}

#[test]
fn what_goes_up_and_comes_down_is_counted() {
    on_all(|listen| async move {
        let (server, client) = (serving(listen).await, client().await);
        for (up, down) in [(0, 0), (1, 0), (0, 1), (3 << 20, (2 << 20) + 1)] {
            let report = soon(perf::run(&client, server.address(), up, down)).await;
            let report = report.unwrap();
            assert_eq!((report.upload_bytes, report.download_bytes), (up, down));
            assert_eq!(report.upload_rate() > 0.0, up > 0);
            assert_eq!(report.download_rate() > 0.0, down > 0);
            assert!(report.time >= report.upload_time.max(report.download_time));
        }
    });
}

#[test]
fn a_download_without_end_stops_when_the_client_resets_it() {
    on_all(|listen| async move {
        let (server, client) = (serving(listen).await, client().await);
        let stream = agreed(&client, server.address(), perf::PROTOCOL).await;
        let connection = stream.connection();
        let progress = Progress::default();
        {
            let endless = perf::run_on(stream, Header::Spec, 0, u64::MAX, &progress);
            let mut endless = std::pin::pin!(endless);
            let enough = eventually("megabytes came", || progress.downloaded() > 4 << 20);
            tokio::select! {
                ended = &mut endless => panic!("{ended:?}"),
                () = enough => {}
            }
        }
        settled(&connection).await;
        settled(&back(&server, client.id()).await).await;
    });
}

#[test]
fn a_server_sends_nothing_before_the_upload_ends() {
    on_all(|listen| async move {
        let (server, client) = (serving(listen).await, client().await);
        let mut stream = agreed(&client, server.address(), perf::PROTOCOL).await;
        stream.write_all(&5u64.to_be_bytes()).await.unwrap();
        stream.write_all(&[1; 100_000]).await.unwrap();
        // A round trip later an answer would be here.
        for _ in 0..3 {
            soon(client.ping(server.id())).await.unwrap();
        }
        assert!(futures::poll!(std::pin::pin!(stream.read_chunk())).is_pending());
        stream.finish().await.unwrap();
        assert_eq!(soon(stream.read_to_end(5)).await.unwrap(), [0; 5][..]);
    });
}

#[test]
fn a_header_that_ends_early_resets_the_stream() {
    on_all(|listen| async move {
        let (server, client) = (serving(listen).await, client().await);
        let mut stream = agreed(&client, server.address(), perf::PROTOCOL).await;
        stream.write_all(&[0; 7]).await.unwrap();
        stream.finish().await.unwrap();
        let read = soon(stream.read_chunk()).await;
        assert!(matches!(read, Err(StreamError::Reset(_))), "{read:?}");
    });
}

#[test]
fn nobody_serves_it_unless_told_to() {
    on_all(|listen| async move {
        let (server, client) = (server(listen).await, client().await);
        let refused = soon(perf::run(&client, server.address(), 1, 1)).await;
        let unsupported = matches!(refused, Err(PerfError::Open(OpenError::Unsupported { .. })));
        assert!(unsupported, "{refused:?}");
    });
}
