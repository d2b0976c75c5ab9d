//! A victim without the limit that answers an attack, to see that the verdict can be red. All else is as in `carrick listen`.

use carrick::{Config, Multiaddr, Node, Stream, perf};

use crate::attack;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The attack whose limit is taken away.
    id: String,
    addresses: Vec<Multiaddr>,
}

/// The role; ends with the process.
pub(crate) async fn run(args: &Args) -> Result<(), String> {
    let attack = attack::find(&args.id).ok_or("no such attack")?;
    let mut config = Config::default();
    let weaken = attack
        .weaken
        .ok_or("its limit is no matter of configuration")?;
    weaken(&mut config);
    let echo = |mut stream: Stream| async move { stream.echo().await };
    let builder = Node::builder().config(config).handle("/echo/1.0.0", echo);
    let builder = builder.handle(perf::PROTOCOL, perf::serve);
    let node = builder.spawn().await.map_err(|error| error.to_string())?;
    for address in &args.addresses {
        let listening = node.listen(address.clone()).await;
        listening.map_err(|error| error.to_string())?;
        println!("listening {address}");
    }
    let terminate = tokio::signal::unix::SignalKind::terminate();
    let mut stop = tokio::signal::unix::signal(terminate).map_err(|error| error.to_string())?;
    stop.recv().await;
    node.close().await;
    Ok(())
}
