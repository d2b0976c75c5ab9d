//! What the eleven-line program does, on rust-libp2p: an echo server and a client that ping, identify and open a stream.

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, StreamProtocol, Swarm, SwarmBuilder, identify,
    multiaddr::Protocol,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use std::error::Error;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
}

async fn swarm() -> Result<Swarm<Behaviour>, Box<dyn Error>> {
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    let (tcp, muxer) = (tcp::Config::default(), yamux::Config::default);
    #[cfg(not(feature = "all"))]
    let builder = builder.with_tcp(tcp, noise::Config::new, muxer)?;
    #[cfg(feature = "all")]
    let builder = {
        use libp2p::tls;
        builder
            .with_tcp(tcp, (noise::Config::new, tls::Config::new), muxer)?
            .with_quic()
            .with_dns()?
            .with_websocket((noise::Config::new, tls::Config::new), muxer)
            .await?
    };
    let behaviour = |key: &libp2p::identity::Keypair| Behaviour {
        identify: identify::Behaviour::new(identify::Config::new(
            "echo/1".to_owned(),
            key.public(),
        )),
        ping: ping::Behaviour::default(),
        stream: libp2p_stream::Behaviour::new(),
    };
    Ok(builder.with_behaviour(behaviour)?.build())
}

const ECHO: StreamProtocol = StreamProtocol::new("/echo/1.0.0");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut server = swarm().await?;
    let peer = *server.local_peer_id();
    let mut incoming = server.behaviour().stream.new_control().accept(ECHO)?;
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address: Multiaddr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address.with(Protocol::P2p(peer));
        }
    };
    tokio::spawn(async move {
        loop {
            server.select_next_some().await;
        }
    });
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            let (mut reader, mut writer) = stream.split();
            tokio::spawn(async move {
                futures::io::copy(&mut reader, &mut writer).await?;
                writer.close().await
            });
        }
    });
    let mut client = swarm().await?;
    let mut control = client.behaviour().stream.new_control();
    client.dial(address)?;
    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = client.select_next_some().await {
            break;
        }
    }
    tokio::spawn(async move {
        loop {
            client.select_next_some().await;
        }
    });
    let mut stream = control.open_stream(peer, ECHO).await?;
    stream.write_all(b"hi").await?;
    stream.close().await?;
    let mut reply = Vec::new();
    stream.take(1 << 20).read_to_end(&mut reply).await?;
    println!("{}", String::from_utf8_lossy(&reply));
    Ok(())
}
