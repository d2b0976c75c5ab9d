//! Two muxers joined by two pipes: streams, readers and writers meet at the lock, and ends come from everywhere; under many
//! schedules. Reader and writer are as short as can be and share a task as the real ones do.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use carrick_session::{Code, Config, Key, Layout, Mux, Read, Records, Role, StreamError};
use carrick_wire::ProtocolId;
use shuttle::{
    future::{JoinHandle, block_on, spawn},
    sync::Mutex,
    thread,
};

use super::many_orders;
use crate::{
    ConnectionError,
    connection::{
        Phase,
        muxed::{Muxed, Transmit, duo},
    },
};

#[test]
fn whatever_is_written_arrives_whole_and_every_end_is_heard() {
    many_orders("muxer: a stream each way", || {
        let [near, far] = pair(2);
        let streams =
            [(near.clone(), far.clone()), (far.clone(), near.clone())].map(|(from, to)| {
                let serving = thread::spawn(move || block_on(to.echo_one()));
                let asking = thread::spawn(move || {
                    block_on(async {
                        let key = from.muxed.open(0).await.expect("nothing ends it");
                        let sent: Vec<u8> = (0..200).collect();
                        from.write(key, &sent).await.expect("nothing ends it");
                        from.muxed
                            .with(|state| state.mux.finish(key))
                            .expect("it is open");
                        assert_eq!(from.read_to_end(key).await, Ok(sent));
                        from.release(key);
                    });
                });
                [serving, asking]
            });
        join(streams.into_iter().flatten());
        near.muxed.close(Code::NONE);
        near.ended();
        far.ended();
    });
}

#[test]
fn a_connection_that_is_lost_wakes_whoever_waits() {
    many_orders("muxer: the connection is lost at any moment", || {
        let [near, far] = pair(1);
        let serving = {
            let far = far.clone();
            thread::spawn(move || block_on(far.echo_one()))
        };
        let users = [0, 1].map(|_| {
            let near = near.clone();
            thread::spawn(move || {
                block_on(async {
                    // One of the two waits until the other one's stream is gone, or all is.
                    let Ok(key) = near.muxed.open(0).await else {
                        return;
                    };
                    let _ = near.write(key, &[7; 300]).await;
                    let _ = near.muxed.with(|state| state.mux.finish(key));
                    let _ = near.read_to_end(key).await;
                    near.release(key);
                });
            })
        });
        let losing = {
            let far = far.clone();
            thread::spawn(move || far.muxed.lose(ConnectionError::TimedOut))
        };
        join(users.into_iter().chain([losing]));
        far.ended();
        near.ended();
        far.wake_acceptors();
        join([serving]);
        assert_eq!(far.muxed.lost(), Some(ConnectionError::TimedOut));
        assert!(!near.muxed.is_open());
    });
}

#[test]
fn a_reader_of_a_silent_peer_hears_that_the_connection_is_lost() {
    many_orders(
        "muxer: the peer says nothing, and the connection is lost",
        || {
            let pipe = Pipe::default();
            let near = end(Role::Dialer, 1, [&pipe, &Pipe::default()]);
            // The writer may have a task of its own by then: nobody wakes the reader by waking that.
            near.muxed.set_busy();
            let losing = near.clone();
            let losing = thread::spawn(move || losing.muxed.lose(ConnectionError::TimedOut));
            near.ended();
            join([losing]);
        },
    );
}

#[test]
fn opens_that_wait_for_room_go_on_when_a_stream_is_gone() {
    many_orders("muxer: three opens, room for one", || {
        let [near, far] = pair(1);
        let users = [0, 1, 2].map(|_| {
            let near = near.clone();
            thread::spawn(move || {
                block_on(async {
                    let key = near.muxed.open(0).await.expect("nothing ends it");
                    near.write(key, b"x").await.expect("nothing ends it");
                    near.release(key);
                });
            })
        });
        join(users);
        near.muxed.close(Code::NONE);
        near.ended();
        far.ended();
        assert_eq!(near.muxed.streams(), 0);
    });
}

#[test]
fn a_reset_meets_a_reader_and_a_writer_that_wait() {
    many_orders("muxer: a reset from either side", || {
        let [near, far] = pair(1);
        let key = block_on(near.muxed.open(0)).expect("nothing ends it");
        let waiting = [true, false].map(|reads| {
            let near = near.clone();
            thread::spawn(move || {
                block_on(async {
                    let error = if reads {
                        near.read_to_end(key).await.map(drop)
                    } else {
                        loop {
                            if let Err(error) = near.write(key, &[1; 400]).await {
                                break Err(error);
                            }
                        }
                    };
                    assert!(matches!(
                        error,
                        Err(StreamError::Reset(_) | StreamError::ResetLocally(_))
                    ));
                });
            })
        });
        let theirs = {
            let far = far.clone();
            thread::spawn(move || {
                // If ours is reset first, the peer never hears of it.
                if let Some(theirs) = block_on(far.accept()) {
                    far.muxed.with(|state| state.mux.reset(theirs, Code::LIMIT));
                    far.release(theirs);
                }
            })
        };
        let ours = {
            let near = near.clone();
            thread::spawn(move || near.muxed.with(|state| state.mux.reset(key, Code::NONE)))
        };
        join(waiting.into_iter().chain([ours]));
        near.release(key);
        near.muxed.close(Code::NONE);
        near.ended();
        far.ended();
        far.wake_acceptors();
        join([theirs]);
    });
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("nothing panics");
    }
}

/// One end of a connection.
#[derive(Clone)]
struct End {
    muxed: Arc<Muxed>,
    /// Streams of the peer's, and who waits for one; `None`: no more come.
    incoming: Arc<Mutex<(Option<VecDeque<Key>>, Option<Waker>)>>,
    running: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Two ends, either of which may have so many streams open at once.
fn pair(outbound_max: usize) -> [End; 2] {
    let [there, back] = [Pipe::default(), Pipe::default()];
    [
        end(Role::Dialer, outbound_max, [&back, &there]),
        end(Role::Listener, outbound_max, [&there, &back]),
    ]
}

fn end(role: Role, outbound_max: usize, [input, output]: [&Pipe; 2]) -> End {
    let config = Config {
        outbound_streams_max: outbound_max,
        send_buffer_max: 128,
        ..Config::default()
    };
    let yamux = ProtocolId::from_static("/yamux/1.0.0");
    let mux = Mux::new(&yamux, role, &config, PLAIN, Instant::now(), None);
    let end = End {
        muxed: Arc::new(Muxed::new(mux.expect("it is known"), None)),
        incoming: Arc::new(Mutex::new((Some(VecDeque::new()), None))),
        running: Arc::default(),
    };
    let reader = Box::pin(end.clone().read_pipe(input.clone()));
    let writer = Box::pin(write_pipe(end.muxed.clone(), PipeWrite(output.clone())));
    let muxed = end.muxed.clone();
    let run = duo::run(move || muxed.is_busy(), reader, writer);
    *end.running.lock().expect("nothing panics") = Some(spawn(run));
    end
}

impl End {
    /// Waits until its reader is done.
    fn ended(&self) {
        let running = self.running.lock().expect("nothing panics").take();
        block_on(running.expect("it is asked once")).expect("nothing panics");
    }

    async fn write(&self, key: Key, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() {
            let written = poll_fn(|cx| {
                self.muxed
                    .with(|state| state.poll_write(cx, key, &[], data))
            });
            data = &data[written.await?..];
        }
        Ok(())
    }

    async fn read_to_end(&self, key: Key) -> Result<Vec<u8>, StreamError> {
        let mut all = Vec::new();
        while let Read::Data(bytes) =
            poll_fn(|cx| self.muxed.with(|state| state.poll_read(cx, key))).await?
        {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    fn release(&self, key: Key) {
        self.muxed.with(|state| state.release_stream(key));
    }

    async fn accept(&self) -> Option<Key> {
        poll_fn(|cx| {
            let mut incoming = self.incoming.lock().expect("nothing panics");
            let Some(keys) = &mut incoming.0 else {
                return Poll::Ready(None);
            };
            if let Some(key) = keys.pop_front() {
                return Poll::Ready(Some(key));
            }
            incoming.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn wake_acceptors(&self) {
        let mut incoming = self.incoming.lock().expect("nothing panics");
        incoming.0 = None;
        let waker = incoming.1.take();
        drop(incoming);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Says to one stream what it says, piece by piece.
    async fn echo_one(&self) {
        let Some(key) = self.accept().await else {
            return;
        };
        while let Ok(Read::Data(bytes)) =
            poll_fn(|cx| self.muxed.with(|state| state.poll_read(cx, key))).await
        {
            if self.write(key, &bytes).await.is_err() {
                break;
            }
        }
        let _ = self.muxed.with(|state| state.mux.finish(key));
        self.release(key);
    }

    /// As the real reader, without ciphers, blocks and timers.
    async fn read_pipe(self, pipe: Pipe) {
        loop {
            let next = poll_fn(|cx| {
                let (phase, congested, _) = self.muxed.with(|state| state.poll_reader(cx));
                match phase {
                    Phase::Lost(_) => return Poll::Ready(None),
                    _ if congested => return Poll::Pending,
                    Phase::Open | Phase::Closing => {}
                }
                pipe.poll_read(cx)
            });
            let Some(bytes) = next.await else {
                return self.muxed.lose(ConnectionError::ClosedByPeer);
            };
            let mut keys = Vec::new();
            let received = self
                .muxed
                .with_incoming(&mut keys, |state| state.mux.recv(Instant::now(), bytes));
            received.expect("the other end keeps to the protocol");
            let mut incoming = self.incoming.lock().expect("nothing panics");
            incoming
                .0
                .iter_mut()
                .for_each(|all| all.extend(keys.drain(..)));
            let waker = incoming.1.take();
            drop(incoming);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// As the real writer, without ciphers and timers.
async fn write_pipe(muxed: Arc<Muxed>, pipe: PipeWrite) {
    let mut records = Records::new(PLAIN);
    let (mut rested, mut batches) = (true, 0);
    loop {
        let next = poll_fn(|cx| {
            let next = muxed.with(|state| state.poll_transmit(cx, &mut records, rested));
            rested |= next.is_pending();
            next
        });
        let next = next.await;
        rested = false;
        match next {
            Transmit::Gather => shuttle::future::yield_now().await,
            Transmit::Send => {
                batches += 1;
                if batches == 2 {
                    muxed.set_busy();
                }
                pipe.0
                    .push(Some(Bytes::copy_from_slice(records.as_slice())));
                records.clear();
            }
            Transmit::Shutdown | Transmit::Stop => return,
        }
    }
}

/// Bytes on their way; `None` is their end.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<(VecDeque<Option<Bytes>>, Option<Waker>)>>);

impl Pipe {
    fn push(&self, bytes: Option<Bytes>) {
        let mut pipe = self.0.lock().expect("nothing panics");
        pipe.0.push_back(bytes);
        let waker = pipe.1.take();
        drop(pipe);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll_read(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut pipe = self.0.lock().expect("nothing panics");
        let next = pipe.0.pop_front();
        if next.is_none() {
            pipe.1 = Some(cx.waker().clone());
        }
        let next = ready!(next.map_or(Poll::Pending, Poll::Ready));
        Poll::Ready(next)
    }
}

/// A pipe ends with who writes to it.
struct PipeWrite(Pipe);

impl Drop for PipeWrite {
    fn drop(&mut self) {
        self.0.push(None);
    }
}

const PLAIN: Layout = Layout {
    head: 0,
    body_max: 65_519,
    tail: 0,
};
