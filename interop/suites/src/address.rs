//! How the dialer learns where the listener is: through Redis, in a list (transport suites) or a string (perf suite).

use tokio::time::Instant;

use crate::{
    Result,
    environment::{Generation, Plan, Suite},
    redis::Redis,
};

/// Tells the other side where we listen.
pub(crate) async fn publish(plan: &Plan, address: &str, deadline: Instant) -> Result {
    let mut redis = connect(plan, deadline).await?;
    match plan.suite {
        Suite::Transport => redis.push(&plan.key, address).await?,
        Suite::Perf(_) => redis.set(&plan.key, address).await?,
    }
    eprintln!("{} is {address}", plan.key);
    Ok(())
}

/// Where the other side listens, once it has said so.
pub(crate) async fn find(plan: &Plan, deadline: Instant) -> Result<String> {
    let mut redis = connect(plan, deadline).await?;
    let found = match plan.generation {
        // Either form is met with: not every listener of the perf suite leaves a string.
        Generation::Modern => redis.find(&plan.key, deadline).await,
        // The proxy between the generations translates this key in lists only.
        Generation::Legacy => redis.find_in_list(&plan.key, deadline).await,
    };
    let address = found.map_err(|error| format!("no listener at {}: {error}", plan.key))?;
    eprintln!("{} is {address}", plan.key);
    Ok(address)
}

async fn connect(plan: &Plan, deadline: Instant) -> Result<Redis> {
    let connected = Redis::connect(&plan.redis, deadline).await;
    Ok(connected.map_err(|error| format!("no Redis at {}: {error}", plan.redis))?)
}
