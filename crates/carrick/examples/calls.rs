//! What a call to an actor costs beside a raw channel: a request through a mailbox and its reply, against tokio's `mpsc` and
//! `oneshot`. Prints the median of each, in nanoseconds, and their ratio.
//!
//! `cargo run --release -p carrick --example calls [calls per round]`

use std::time::Instant;

use carrick::actors::{Call, MailboxOptions, Policy, mailbox, spsc};
use tokio::sync::{mpsc, oneshot};

const CAPACITY: usize = 64;
const ROUNDS: usize = 31;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let calls = std::env::args()
        .nth(1)
        .and_then(|calls| calls.parse().ok())
        .unwrap_or(20_000);

    let (raw, mut requests) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(CAPACITY);
    tokio::spawn(async move {
        while let Some((number, reply)) = requests.recv().await {
            let _ = reply.send(number + 1);
        }
    });
    let (sender, mut inbox) =
        mailbox::<Call<u64, u64>>(MailboxOptions::new(CAPACITY, Policy::Wait));
    tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            let reply = call.message() + 1;
            call.reply(reply);
        }
    });
    let (mut sole, mut inbox) = spsc::<Call<u64, u64>>(MailboxOptions::new(CAPACITY, Policy::Wait));
    tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            let reply = call.message() + 1;
            call.reply(reply);
        }
    });

    // One after the other in every round, so that whatever else the machine does hits all alike.
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for number in 0..calls {
            let (reply, answer) = oneshot::channel();
            raw.send((number, reply)).await.expect("its actor lives");
            assert_eq!(answer.await, Ok(number + 1));
        }
        rounds[0].push(per_call(start, calls));

        let start = Instant::now();
        for number in 0..calls {
            assert_eq!(sender.call(number).await, Ok(number + 1));
        }
        rounds[1].push(per_call(start, calls));

        let start = Instant::now();
        for number in 0..calls {
            let (call, answer) = Call::new(number);
            assert!(sole.send(call).await.is_ok());
            assert_eq!(answer.await, Ok(number + 1));
        }
        rounds[2].push(per_call(start, calls));
    }
    let [raw, call, sole] = rounds.map(median);
    println!("raw mpsc + oneshot {raw:.0} ns");
    println!(
        "mailbox, call      {call:.0} ns, {:.2} times the raw one",
        call / raw
    );
    println!(
        "spsc, call         {sole:.0} ns, {:.2} times the raw one",
        sole / raw
    );
}

fn per_call(start: Instant, calls: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / calls.max(1) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
