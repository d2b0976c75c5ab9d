//! The system's resolver, as far as no server is needed.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

async fn ips(name: &str, family: Family) -> Vec<IpAddr> {
    let resolver = SystemResolver::default();
    resolver.ip(name.to_owned(), family).await.unwrap()
}

#[tokio::test]
async fn localhost_is_this_machine() {
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    assert_eq!(ips("localhost", Family::V4).await, [v4]);
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    assert_eq!(ips("localhost", Family::V6).await, [v6]);
    let any = ips("localhost", Family::Any).await;
    assert!(any.contains(&v4) && any.len() <= 2, "{any:?}");
}

#[tokio::test]
async fn an_ip_that_stands_for_a_name_is_that_ip() {
    let ip = IpAddr::from([192, 0, 2, 1]);
    for family in [Family::Any, Family::V4, Family::V6] {
        assert_eq!(ips("192.0.2.1", family).await, [ip]);
    }
}

#[tokio::test]
async fn without_a_configuration_localhost_is_known_and_nobody_is_asked() {
    let lock = OnceLock::new();
    lock.set(build(nobody())).expect("it is new");
    let resolver = SystemResolver(lock);
    let here = resolver.ip("localhost".to_owned(), Family::V4).await;
    assert_eq!(here.unwrap(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    let unknown = resolver.ip("a.example".to_owned(), Family::Any).await;
    assert!(unknown.is_err());
    assert!(resolver.txt("_dnsaddr.a.example".to_owned()).await.is_err());
}
