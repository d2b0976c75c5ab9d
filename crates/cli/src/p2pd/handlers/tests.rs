//! The bounds of the table.

use futures::FutureExt;

use super::*;

fn endpoint(number: usize) -> Handler {
    let text = format!("/unix/tmp/{number}.sock");
    Handler::Socket(Endpoint::parse(&text).expect("an endpoint"))
}

#[tokio::test]
async fn one_handler_too_many_is_refused_until_another_is_removed() {
    let protocol = ProtocolId::from_static("/mine/1.0.0");
    let node = Node::spawn().await.expect("there is entropy");
    let handlers = Handlers::new(node.downgrade());
    let add = |number| {
        handlers
            .add(&protocol, endpoint(number), Some(true))
            .boxed()
    };
    for number in 0..TURNS_MAX {
        assert_eq!(add(number).await, Ok(()));
    }
    assert!(add(TURNS_MAX).await.is_err());
    assert_eq!(handlers.remove(&protocol, &endpoint(7)).await, Ok(()));
    assert_eq!(add(TURNS_MAX).await, Ok(()));
    assert!(add(7).await.is_err());
}

#[tokio::test]
async fn one_protocol_too_many_is_refused_until_another_is_given_up() {
    let node = Node::spawn().await.expect("there is entropy");
    let handlers = Handlers::new(node.downgrade());
    let protocol = |number| {
        format!("/{number}")
            .parse::<ProtocolId>()
            .expect("a protocol")
    };
    for number in 0..PROTOCOLS_MAX {
        let added = handlers.add(&protocol(number), endpoint(0), None).await;
        assert_eq!(added, Ok(()));
    }
    let last = protocol(PROTOCOLS_MAX);
    assert!(handlers.add(&last, endpoint(0), None).await.is_err());
    assert_eq!(handlers.remove(&protocol(9), &endpoint(0)).await, Ok(()));
    assert_eq!(handlers.add(&last, endpoint(0), None).await, Ok(()));
}
