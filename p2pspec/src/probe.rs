//! What a node offers, asked before any case runs.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    bench::{Bench, MPLEX, NOISE, Pace, TLS, YAMUX},
    case::{Step, Stop, fail},
    cases::identify,
    run::Options,
    speak::{
        channel::{Channel, Talk},
        multistream,
    },
    target::{Offers, Place, Target, Transport},
};

impl Target {
    /// Asks every address what it offers, and the node what it calls itself. An address that does not answer is an error.
    pub async fn probe(mut self, options: &Options) -> Result<(Self, Option<String>), String> {
        let pace = Arc::new(Pace::new(options.pace));
        let mut agent = None;
        for place in &mut self.places {
            let asked = timeout(options.timeout, offers(place, &pace)).await;
            place.offers = match asked {
                Ok(Ok(offers)) => offers,
                Ok(Err(Stop::Fail(why) | Stop::Skip(why) | Stop::Refused(why))) => {
                    return Err(format!("{}: {why}", place.text));
                }
                Err(_) => return Err(format!("{}: no answer", place.text)),
            };
            if agent.is_none() {
                let asked =
                    timeout(options.timeout, identify::agent(Bench::new(place, &pace))).await;
                agent = asked.ok().and_then(Result::ok);
            }
        }
        Ok((self, agent))
    }
}

async fn offers(place: &Place, pace: &Arc<Pace>) -> Step<Offers> {
    if place.transport == Transport::Quic {
        return Ok(Offers::default());
    }
    let bench = Bench::new(place, pace);
    let mut offers = Offers {
        noise: takes(&mut bench.pipe().await?, NOISE).await?,
        tls: takes(&mut bench.pipe().await?, TLS).await?,
        ..Offers::default()
    };
    if offers.noise {
        offers.yamux = takes(&mut bench.noise().await?, YAMUX).await?;
        offers.mplex = takes(&mut bench.noise().await?, MPLEX).await?;
    } else if offers.tls {
        let secure = |bench: Bench| async move {
            let hello = bench.hello(vec!["libp2p"])?;
            Step::Ok(bench.tls(hello).await??.channel)
        };
        offers.yamux = takes(&mut secure(bench.clone()).await?, YAMUX).await?;
        offers.mplex = takes(&mut secure(bench.clone()).await?, MPLEX).await?;
    }
    Ok(offers)
}

/// Whether this protocol is agreed to; a close after the header is a no.
async fn takes(channel: &mut Channel, protocol: &str) -> Step<bool> {
    channel.send(&multistream::propose(&[protocol])).await?;
    multistream::read_header(channel).await?;
    match multistream::read(channel).await {
        Ok(said) if said == protocol => Ok(true),
        Ok(said) if said == "na" => Ok(false),
        Ok(said) => fail(format!("{protocol} is answered with {said:?}")),
        Err(Stop::Fail(_)) => Ok(false),
        Err(other) => Err(other),
    }
}
