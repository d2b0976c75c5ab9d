//! The bounds of calls, at them and one beyond.

use std::sync::Arc;

use carrick::Node;
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::*;
use crate::daemon::api;

/// A client's calls, and what it is told besides.
async fn client() -> (Caller, mpsc::Receiver<Box<RawValue>>) {
    let node = Node::spawn().await.expect("there is entropy");
    let (sender, notices) = mpsc::channel(1024);
    let caller = Caller::new(api::methods(node, Arc::default()), 0, Some(sender));
    (caller, notices)
}

fn text(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

fn read(text: &RawValue) -> Value {
    serde_json::from_str(text.get()).expect("it is JSON")
}

/// What is answered to one call; null: nothing.
async fn call(caller: &Caller, method: &str, params: Value) -> Value {
    let answer = caller.answer(text(method, &params).as_bytes()).await;
    answer.map_or(Value::Null, |answer| read(&answer))
}

#[tokio::test]
async fn a_batch_and_a_client_s_subscriptions_have_their_bounds() {
    let (caller, mut notices) = client().await;
    let one = text("bans_list", &json!({}));
    for (count, is_taken) in [(BATCH_MAX, true), (BATCH_MAX + 1, false)] {
        let batch = format!("[{}]", vec![one.as_str(); count].join(","));
        let answer = read(&caller.answer(batch.as_bytes()).await.expect("an answer"));
        let answers = answer.as_array().map(Vec::len);
        assert_eq!(answers, is_taken.then_some(count), "{answer}");
    }
    for _ in 0..SUBSCRIPTIONS_MAX {
        assert_eq!(
            call(&caller, "peers_subscribe", json!({})).await,
            Value::Null
        );
    }
    let refused = call(&caller, "peers_subscribe", json!({})).await;
    assert_eq!(refused["error"]["code"], -32006, "{refused}");
    let subscription = loop {
        let told = read(&notices.recv().await.expect("it is told"));
        if told["id"] == 1 {
            break told["result"].clone();
        }
    };
    let ended = call(&caller, "peers_unsubscribe", json!([subscription])).await;
    assert_eq!(ended["result"], true);
    // Its task hears of it a moment later.
    while call(&caller, "peers_subscribe", json!({})).await != Value::Null {
        yield_now().await;
    }
}

#[tokio::test]
async fn no_number_in_a_call_is_too_large_for_a_clock() {
    let (caller, _notices) = client().await;
    let edges = [
        1,
        1 << 31,
        1 << 32,
        i64::MAX as u64 / 1000,
        i64::MAX as u64,
        1 << 63,
        u64::MAX,
    ];
    for seconds in edges {
        let params = json!({"subject": "192.0.2.1", "duration_s": seconds});
        let banned = call(&caller, "bans_add", params).await;
        assert_eq!(banned["error"], Value::Null, "{seconds}: {banned}");
        let listed = call(&caller, "bans_list", json!({})).await;
        assert_eq!(
            listed["result"][0]["subject"], "192.0.2.1",
            "{seconds}: {listed}"
        );
    }
    for timeout_ms in edges.into_iter().chain([0]) {
        // Where nobody is: port 0 is dialed by nothing.
        let target =
            "/ip4/127.0.0.1/tcp/0/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let params = json!({"target": target, "protocol": "/x", "timeout_ms": timeout_ms});
        let answer = call(&caller, "messages_request", params).await;
        assert!(answer["error"]["code"].is_i64(), "{timeout_ms}: {answer}");
    }
}

#[tokio::test]
async fn one_forward_too_many_is_refused_until_another_is_stopped() {
    const FORWARDS_MAX: usize = 64;
    let (caller, _notices) = client().await;
    let forward = async |number: usize| {
        let params = json!({"protocol": format!("/{number}"), "to": "127.0.0.1:1"});
        call(&caller, "streams_forward", params).await
    };
    let first = forward(0).await["result"]["forward"].clone();
    for number in 1..FORWARDS_MAX {
        let taken = forward(number).await;
        assert_eq!(taken["error"], Value::Null, "{number}: {taken}");
    }
    let refused = forward(FORWARDS_MAX).await;
    let why = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("64 forwards already"), "{refused}");
    let stopped = call(&caller, "streams_stop", json!({"forward": first})).await;
    assert_eq!(stopped["result"], true);
    assert_eq!(forward(FORWARDS_MAX).await["error"], Value::Null);
}

/// Base 58 costs the square of its length: a mebibyte of it is an hour of a thread, which no timeout ends.
#[tokio::test]
async fn a_name_of_any_length_is_refused_at_once() {
    let (caller, _notices) = client().await;
    for name in [
        "1",
        "Qm",
        "/p2p/1",
        "/ip4/192.0.2.1/tcp/1/p2p/1",
        "/unix/a/p2p/1",
    ] {
        let name = format!("{name}{}", "z".repeat(1 << 20));
        for (method, params) in [
            ("peers_info", json!({"peer": name})),
            ("peers_ping", json!({"target": name})),
            ("bans_add", json!({"subject": name})),
            ("connections_close", json!({"peer": name})),
            (
                "messages_request",
                json!({"target": name, "protocol": "/x"}),
            ),
            (
                "streams_listen",
                json!({"at": "127.0.0.1:0", "target": name, "protocol": "/x"}),
            ),
            (
                "streams_forward",
                json!({"to": "127.0.0.1:1", "protocol": name}),
            ),
        ] {
            let refused = call(&caller, method, params).await;
            assert!(refused["error"]["code"].is_i64(), "{method}: {refused}");
            assert!(refused.to_string().len() < 8 << 10, "{method} repeats it");
        }
    }
}
