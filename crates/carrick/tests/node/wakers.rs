//! Who waits is woken, once, and leaves nothing behind when it gives up.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use carrick::{Config, Node};
use carrick_session::Role;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use crate::common::{raw::Raw, *};

/// Counts its wake-ups; its strong count tells how many copies of the waker are kept somewhere.
struct Idle(AtomicUsize);

impl Wake for Idle {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
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
        let idle = Arc::new(Idle(AtomicUsize::new(0)));
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

#[test]
fn an_open_of_our_own_that_must_wait_sleeps() {
    run(async {
        let (listener, address) = silent().await;
        let client = client().await;
        let dialer = client.clone();
        let dial = tokio::spawn(async move { dialer.dial(address).await });
        let (socket, _) = soon(listener.accept()).await.unwrap();
        let _mute = soon(Raw::upgrade(socket, Role::Listener)).await;
        let connection = soon(dial).await.unwrap().unwrap();
        // The peer acknowledges nothing: together with identify's these fill the ack backlog.
        let opens: Vec<_> = (0..256)
            .map(|_| {
                let connection = connection.clone();
                tokio::spawn(async move { connection.open_stream(ECHO).await })
            })
            .collect();
        eventually("the backlog is full", || connection.streams() >= 256).await;
        let idle = Arc::new(Idle(AtomicUsize::new(0)));
        let waker = Waker::from(idle.clone());
        let mut ping = pin!(connection.ping());
        assert!(
            ping.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(idle.0.load(Ordering::SeqCst), 0);
        opens.iter().for_each(JoinHandle::abort);
    });
}

#[test]
fn the_halves_of_a_stream_that_wait_for_room_at_once_are_both_woken() {
    on_both(|listen| async move {
        let (server, spy) = (server(listen).await, Spy::default());
        let client = Node::builder()
            .transport(spy.clone())
            .spawn()
            .await
            .unwrap();
        let connection = identified(&client, &server).await;
        spy.freeze_out();
        // Fills the connection's buffers. Nothing but their being full makes a write wait.
        let mut first = soon(connection.open_stream(ECHO)).await.unwrap();
        let mut second = soon(connection.open_stream(ECHO)).await.unwrap();
        for stream in [&mut first, &mut second] {
            let fill = stream.write_all(&[0; 1 << 20]);
            assert!(
                tokio::time::timeout(Duration::from_millis(50), fill)
                    .await
                    .is_err()
            );
        }
        // What it said was not heard yet, so it asks when it first reads or writes.
        let stream = soon(connection.open_stream(ECHO)).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let reading = waiting(async move {
            let mut answer = [0; 4];
            reader.read_exact(&mut answer).await.map(|_| answer)
        });
        let reading = reading.await;
        let writing = waiting(async move { writer.write_all(b"echo").await.map(|()| writer) });
        let writing = writing.await;
        spy.thaw();
        assert_eq!(&soon(reading).await.unwrap().unwrap(), b"echo");
        drop(soon(writing).await.unwrap().unwrap());
    });
}

/// Runs `wait` as a task of its own and returns once it waits.
async fn waiting<T: Send + 'static>(
    wait: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let (waits, told) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut wait = pin!(wait);
        assert!(futures::poll!(&mut wait).is_pending());
        waits.send(()).unwrap();
        wait.await
    });
    soon(told).await.unwrap();
    task
}
