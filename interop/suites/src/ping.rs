//! The transport suite: the dialer connects, pings once, and prints how long both took.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    Result, address,
    environment::{Generation, Plan},
    node,
};

pub(crate) async fn dial(plan: &Plan, deadline: Instant) -> Result<String> {
    let node = node::dialer(plan.stack).await?;
    let listener = address::find(plan, deadline).await?;
    let begun = Instant::now();
    let ping = async {
        let connection = node.dial(listener.as_str()).await?;
        Ok::<_, crate::Error>(connection.ping().await?)
    };
    let ping = timeout_at(deadline, ping).await??;
    let handshake = begun.elapsed();
    node.close().await;
    Ok(report(plan.generation, handshake, ping))
}

/// The three l's are the suite's.
fn report(generation: Generation, handshake_plus_one: Duration, ping: Duration) -> String {
    let [handshake_plus_one, ping] =
        [handshake_plus_one, ping].map(|time| time.as_micros() as f64 / 1000.0);
    match generation {
        Generation::Modern => format!(
            "latency:\n  handshake_plus_one_rtt: {handshake_plus_one}\n  ping_rtt: {ping}\n  unit: ms\n"
        ),
        Generation::Legacy => format!(
            "{{\"handshakePlusOneRTTMillis\":{handshake_plus_one:?},\"pingRTTMilllis\":{ping:?}}}\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    //! The two forms of the result.

    use super::*;

    #[test]
    fn each_generation_gets_the_form_that_it_parses() {
        let report = |generation| {
            let (handshake, ping) = (Duration::from_micros(7342), Duration::from_millis(7));
            report(generation, handshake, ping)
        };
        assert_eq!(
            report(Generation::Modern),
            "latency:\n  handshake_plus_one_rtt: 7.342\n  ping_rtt: 7\n  unit: ms\n"
        );
        assert_eq!(
            report(Generation::Legacy),
            "{\"handshakePlusOneRTTMillis\":7.342,\"pingRTTMilllis\":7.0}\n"
        );
    }
}
