//! What a peer that was met in the world tells leads to no door of this machine or network.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
};

use carrick::{
    AttemptError, Config, DialError, Multiaddr, Node, NodeEvent, OpenError, Protocol,
    resolve::{Family, Resolver},
    transport::{Listener, Pipe, TcpTransport, Transport},
};
use futures::future::BoxFuture;

use crate::common::*;

/// Makes this machine look far away: 203.0.113.1 is dialed at 127.0.0.1.
#[derive(Debug)]
struct Far;

const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

impl Transport for Far {
    fn can_handle(&self, address: &Multiaddr) -> bool {
        address.iter().next() == Some(Protocol::Ip4(FAR))
    }

    fn dial(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Pipe>> {
        TcpTransport.dial(moved(&address, Ipv4Addr::LOCALHOST))
    }

    fn listen(&self, address: Multiaddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        TcpTransport.listen(address)
    }
}

/// The address with another IP.
fn moved(address: &Multiaddr, to: Ipv4Addr) -> Multiaddr {
    let rest = address.iter().skip(1);
    std::iter::once(Protocol::Ip4(to)).chain(rest).collect()
}

/// Every name leads home.
#[derive(Debug)]
struct Home;

impl Resolver for Home {
    fn ip(&self, _: String, _: Family) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
    }

    fn txt(&self, _: String) -> BoxFuture<'static, io::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A node that meets a liar in the world; what it knows of it then, and what comes of dialing it by its id.
async fn meets_a_liar(victim: u16, allow_private: bool) -> (Vec<String>, Vec<AttemptError>) {
    let liar = server(TCP).await;
    let name = format!("/dns4/rebind.example/tcp/{victim}");
    let lies = [
        format!("/ip4/127.0.0.1/tcp/{victim}"),
        format!("/ip6/::ffff:127.0.0.1/tcp/{victim}"),
        format!("/ip4/0.0.0.0/tcp/{victim}"),
        "/ip4/169.254.169.254/tcp/80".to_owned(),
        name,
    ];
    for lie in lies {
        liar.announce(lie).await.unwrap();
    }
    let mut config = Config::default();
    config.swarm.allow_private = allow_private;
    let builder = Node::builder().config(config).transport(Far);
    let node = builder.resolver(Home).spawn().await.unwrap();
    let mut events = node.events();
    let connection = node.dial(moved(&liar.address(), FAR)).await.unwrap();
    while !matches!(
        soon(events.next()).await.unwrap(),
        NodeEvent::Identified { .. }
    ) {}
    let known = node.peer_metadata(&liar.id()).await.unwrap();
    let known = known.addresses.into_iter();
    let known = known.map(|known| known.address.to_string()).collect();
    drop(connection);
    liar.close().await;
    eventually("it is gone", || node.peers().is_empty()).await;
    let failures = match node.dial(liar.id()).await {
        Err(OpenError::Dial(DialError::Failed { attempts, .. })) => attempts,
        other => panic!("{other:?}"),
    };
    node.close().await;
    (
        known,
        failures.into_iter().map(|(_, error)| error).collect(),
    )
}

fn knocks(victim: &TcpListener) -> usize {
    std::iter::from_fn(|| victim.accept().ok()).count()
}

#[test]
fn a_liar_in_the_world_does_not_have_us_knock_at_our_own_doors() {
    run(async {
        let victim = TcpListener::bind("127.0.0.1:0").unwrap();
        victim.set_nonblocking(true).unwrap();
        let port = victim.local_addr().unwrap().port();
        let (known, failures) = meets_a_liar(port, false).await;
        let far = known[0].parse::<Multiaddr>().unwrap();
        assert_eq!(far.iter().next(), Some(Protocol::Ip4(FAR)));
        assert_eq!(known[1..], [format!("/dns4/rebind.example/tcp/{port}")]);
        let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
        let skipped = "not tried: a peer in the world has told this private address";
        assert!(texts.iter().any(|text| text == skipped), "{texts:?}");
        assert_eq!(knocks(&victim), 0);
    });
}

#[test]
fn whoever_allows_private_addresses_is_led_to_them() {
    run(async {
        let victim = TcpListener::bind("127.0.0.1:0").unwrap();
        victim.set_nonblocking(true).unwrap();
        let port = victim.local_addr().unwrap().port();
        let known = meets_a_liar(port, true).await.0;
        assert!(
            known.contains(&format!("/ip4/127.0.0.1/tcp/{port}")),
            "{known:?}"
        );
        assert!(knocks(&victim) > 0);
    });
}
