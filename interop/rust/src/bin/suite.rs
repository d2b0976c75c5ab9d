//! rust-libp2p in the public suites: the environment of either generation in, what that suite prints out. Beside the
//! peer, so that Carrick's program can be tried against somebody else's stack and somebody else's Redis client.
//!
//! In perf it speaks the 16-byte header, as the suite's own rust program does.

use std::{
    env,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify,
    multiaddr::Protocol,
    ping,
    swarm::{NetworkBehaviour, SwarmEvent},
};

#[path = "../transport.rs"]
#[expect(dead_code, reason = "the peer has more options")]
mod transport;

use transport::{BoxError, Options};

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
}

type Result<T = ()> = std::result::Result<T, BoxError>;

#[tokio::main]
async fn main() -> Result {
    let run = async {
        let modern = env::var("TRANSPORT").is_ok();
        let name = |new: &str, old: &str| env::var(if modern { new } else { old });
        let mut options = Options::default();
        options.transport = name("TRANSPORT", "transport")?;
        if let Ok(security) = name("SECURE_CHANNEL", "security") {
            options.security = security;
        }
        if let Ok(muxer) = name("MUXER", "muxer") {
            options.muxer = muxer;
        }
        if let Some(what) = options.unsupported() {
            return Err(what.into());
        }
        let key = match modern {
            true => format!("{}_listener_multiaddr", env::var("TEST_KEY")?),
            false => "listenerAddr".to_owned(),
        };
        let perf = env::var("SUITE").is_ok_and(|suite| suite == "perf");
        let swarm = swarm(&options)?;
        let redis = redis::Client::open(format!("redis://{}", name("REDIS_ADDR", "redis_addr")?))?;
        let redis = redis.get_connection()?;
        match name("IS_DIALER", "is_dialer")?.as_str() {
            "true" if perf => measure(swarm, redis, &key).await,
            "true" => dial(swarm, redis, &key, modern).await,
            _ => listen(swarm, redis, &key, options.listen_address()?, perf).await,
        }
    };
    tokio::time::timeout(Duration::from_secs(60), run).await?
}

fn swarm(options: &Options) -> Result<Swarm<Behaviour>> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| transport::transport(key, options))?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "/interop/1.0.0".to_owned(),
                key.public(),
            )),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_secs(1))),
            stream: libp2p_stream::Behaviour::new(),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build())
}

async fn listen(
    mut swarm: Swarm<Behaviour>,
    mut redis: redis::Connection,
    key: &str,
    address: Multiaddr,
    perf: bool,
) -> Result {
    swarm.listen_on(address)?;
    let mut streams = swarm.behaviour().stream.new_control().accept(PERF)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = streams.next().await {
            tokio::spawn(serve(stream));
        }
    });
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            let address = format!("{address}/p2p/{}", swarm.local_peer_id());
            // Each suite has its own kind of value.
            let operation = if perf { "SET" } else { "RPUSH" };
            redis::cmd(operation)
                .arg(key)
                .arg(address)
                .exec(&mut redis)?;
        }
    }
}

async fn dial(
    mut swarm: Swarm<Behaviour>,
    mut redis: redis::Connection,
    key: &str,
    modern: bool,
) -> Result {
    let (_, address): (String, String) = redis::cmd("BLPOP").arg(key).arg(60).query(&mut redis)?;
    let begun = Instant::now();
    swarm.dial(address.parse::<Multiaddr>()?)?;
    let rtt = loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result, .. })) => {
                break result?;
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    };
    let millis = |time: Duration| time.as_micros() as f64 / 1000.0;
    let (all, rtt) = (millis(begun.elapsed()), millis(rtt));
    if modern {
        println!("latency:\n  handshake_plus_one_rtt: {all}\n  ping_rtt: {rtt}\n  unit: ms");
    } else {
        println!(r#"{{"handshakePlusOneRTTMillis":{all},"pingRTTMilllis":{rtt}}}"#);
    }
    Ok(())
}

/// One upload and one download; prints how fast they were.
async fn measure(mut swarm: Swarm<Behaviour>, mut redis: redis::Connection, key: &str) -> Result {
    let address = loop {
        let found: Option<String> = redis::cmd("GET").arg(key).query(&mut redis)?;
        match found {
            Some(address) => break address.parse::<Multiaddr>()?,
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let peer = match address.iter().last() {
        Some(Protocol::P2p(peer)) => peer,
        _ => return Err("the address names no peer".into()),
    };
    swarm.dial(address)?;
    while !swarm.is_connected(&peer) {
        if let SwarmEvent::OutgoingConnectionError { error, .. } = swarm.select_next_some().await {
            return Err(error.into());
        }
    }
    let control = swarm.behaviour().stream.new_control();
    tokio::spawn(async move {
        loop {
            swarm.next().await;
        }
    });
    let bytes: u64 = env::var("UPLOAD_BYTES")?.parse()?;
    for (name, up, down) in [("upload", bytes, 0), ("download", 0, bytes)] {
        let begun = Instant::now();
        transfer(control.clone(), peer, up, down).await?;
        let rate = bytes as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9;
        println!("{name}:\n  median: {rate:.2}\n  unit: Gbps");
    }
    Ok(())
}

async fn transfer(mut control: libp2p_stream::Control, peer: PeerId, up: u64, down: u64) -> Result {
    let mut stream = control.open_stream(peer, PERF).await?;
    stream.write_all(&up.to_be_bytes()).await?;
    stream.write_all(&down.to_be_bytes()).await?;
    send(&mut stream, up).await?;
    let got = drain(&mut stream).await?;
    match got == down {
        true => Ok(()),
        false => Err(format!("{got} bytes came instead of {down}").into()),
    }
}

/// With its 16 bytes the suite's rust program takes a stream that ends earlier for broken.
async fn serve(mut stream: libp2p::Stream) -> Result {
    let (mut up, mut down) = ([0; 8], [0; 8]);
    stream.read_exact(&mut up).await?;
    stream.read_exact(&mut down).await?;
    let (up, down) = (u64::from_be_bytes(up), u64::from_be_bytes(down));
    if drain(&mut stream).await? != up {
        return Err("another number of bytes was announced".into());
    }
    send(&mut stream, down).await
}

async fn send(stream: &mut libp2p::Stream, mut bytes: u64) -> Result {
    let block = vec![0; 64 << 10];
    while bytes > 0 {
        let len = bytes.min(block.len() as u64);
        stream.write_all(&block[..len as usize]).await?;
        bytes -= len;
    }
    Ok(stream.close().await?)
}

async fn drain(stream: &mut libp2p::Stream) -> Result<u64> {
    let (mut block, mut total) = (vec![0; 64 << 10], 0);
    loop {
        match stream.read(&mut block).await? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

const PERF: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
