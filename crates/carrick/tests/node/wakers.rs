//! Who waits is woken, once, and leaves nothing behind when it gives up.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use carrick::Config;

use crate::common::*;

/// Its strong count tells how many copies of the waker are kept somewhere.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn an_open_that_waits_keeps_one_waker_however_often_it_is_polled_and_none_when_dropped() {
    run(async {
        let mut config = Config::default();
        config.session.outbound_streams_max = 1;
        let (server, client) = (server(TCP).await, node_with(config).await);
        let connection = identified(&client, &server).await;
        settled(&connection).await;
        let stream = soon(connection.open_stream(ECHO)).await.unwrap();
        let idle = Arc::new(Idle);
        let waker = Waker::from(idle.clone());
        {
            let mut open = pin!(connection.open_stream(ECHO));
            for _ in 0..1000 {
                assert!(matches!(
                    open.as_mut().poll(&mut Context::from_waker(&waker)),
                    Poll::Pending
                ));
            }
            // Ours, this one here, the open's, its deadline's.
            assert!(Arc::strong_count(&idle) <= 4);
        }
        assert_eq!(Arc::strong_count(&idle), 2);
        // The next one is not kept waiting by the one that gave up.
        let waiting = tokio::spawn(async move {
            let stream = connection.open_stream(ECHO).await.unwrap();
            echo_on(stream, b"at last").await.unwrap();
        });
        tokio::task::yield_now().await;
        drop(stream);
        soon(waiting).await.unwrap();
    });
}
