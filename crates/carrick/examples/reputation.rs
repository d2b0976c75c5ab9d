//! A peer that misbehaves: scored, disconnected, banned, refused, and forgiven.
//!
//! `cargo run -p carrick --example reputation`

use std::{error::Error, time::Duration};

use carrick::{Because, Behaviour, Fault, Node, NodeEvent, PeerId, Stream};

const ORDERS: &str = "/orders/1.0.0";

/// Takes orders such as `7 apples`. What it returns is all that the node needs to know of a peer.
async fn take_order(mut stream: Stream) -> Result<(), Fault> {
    let order = stream.read_to_end(100).await?;
    let order = std::str::from_utf8(&order).because(Behaviour::Invalid)?;
    let (count, what) = order
        .split_once(' ')
        .ok_or("no order")
        .because(Behaviour::Spam)?;
    let count: u32 = count.parse().because(Behaviour::Spam)?;
    stream
        .write_all(format!("{count} {what} are on their way").as_bytes())
        .await?;
    Ok(stream.finish().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shop = Node::builder()
        .handle(ORDERS, take_order)
        .listen("/ip4/127.0.0.1/tcp/0")?
        .spawn()
        .await?;
    let mut events = shop.events();
    let customer = Node::spawn().await?;

    for words in [
        "3 pears", "BUY NOW", "BUY NOW", "BUY NOW", "BUY NOW", "BUY NOW", "3 pears",
    ] {
        let answer = order(&customer, &shop, words).await;
        let answer = answer.unwrap_or_else(|error| format!("({error})"));
        println!("customer: {words:8} shop: {answer}");
        tell(&shop, customer.id(), &mut events).await;
    }

    println!("customer: sorry");
    shop.unban(customer.id()).await;
    tell(&shop, customer.id(), &mut events).await;
    println!(
        "customer: 3 pears  shop: {}",
        order(&customer, &shop, "3 pears").await?
    );
    tell(&shop, customer.id(), &mut events).await;
    shop.close().await;
    Ok(())
}

async fn order(customer: &Node, shop: &Node, words: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = customer.open_stream(shop.address(), ORDERS).await?;
    stream.write_all(words.as_bytes()).await?;
    stream.finish().await?;
    let answer = stream.read_to_end(100).await?;
    Ok(String::from_utf8(answer.into())?)
}

/// What the shop thinks of the customer, and what has happened to him, once nothing more happens.
async fn tell(shop: &Node, customer: PeerId, events: &mut carrick::Events) {
    while let Ok(Some(event)) =
        tokio::time::timeout(Duration::from_millis(200), events.next()).await
    {
        match event {
            NodeEvent::ConnectionClosed { reason, .. } => {
                println!("          connection closed: {reason}")
            }
            NodeEvent::Banned {
                subject, reason, ..
            } => println!("          banned: {subject}: {reason}"),
            NodeEvent::Unbanned { subject } => println!("          forgiven: {subject}"),
            _ => {}
        }
    }
    let banned = if shop.is_banned(customer).await {
        ", banned"
    } else {
        ""
    };
    println!("          score {:.0}{banned}", shop.score(&customer).await);
}
