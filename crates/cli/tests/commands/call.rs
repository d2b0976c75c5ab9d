//! Requests to peers: by a node of the command's own, and by a daemon's.

use carrick::{
    Node, Requests,
    codec::{Cbor, Json, Raw},
};
use serde_json::{Value, json};

use crate::{
    daemon::Daemon,
    process::{carrick, carrick_with},
};

/// A node that answers in all codecs, for the length of a test.
struct Answering {
    address: String,
    _runtime: tokio::runtime::Runtime,
    _node: Node,
}

impl Answering {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("there are threads");
        let node = runtime.block_on(async {
            let builder = Node::builder()
                .listen("/ip4/127.0.0.1/tcp/0")
                .expect("it is an address");
            let node = builder.spawn().await.expect("it starts");
            let raw = Requests::<Vec<u8>, Vec<u8>, Raw>::new("/reverse/1");
            let reverse = |_, text: Vec<u8>| async move { Ok(text.into_iter().rev().collect()) };
            node.serve(&raw, reverse).expect("it is free");
            let echo = |_, value: Value| async move { Ok(json!({"you said": value})) };
            node.serve(&Requests::<Value, Value, Json>::new("/json/1"), echo)
                .expect("it is free");
            node.serve(&Requests::<Value, Value, Cbor>::new("/cbor/1"), echo)
                .expect("it is free");
            let never = |_, _: Vec<u8>| std::future::pending();
            let never_answers = Requests::<Vec<u8>, Vec<u8>, Raw>::new("/never/1");
            node.serve(&never_answers, never).expect("it is free");
            node
        });
        Self {
            address: node.address().to_string(),
            _runtime: runtime,
            _node: node,
        }
    }
}

#[test]
fn a_call_brings_the_answer_with_and_without_a_daemon() {
    let (daemon, node) = (Daemon::start("call"), Answering::start());
    let which = format!("--daemon={}", daemon.socket());
    for more in [&[][..], &[&*which][..]] {
        let call = |args: &[&str]| carrick(&[&["call", &node.address], args, more].concat());
        assert_eq!(call(&["/reverse/1", "hello"]).stdout, b"olleh");
        assert_eq!(call(&["/reverse/1"]).stdout, b"");
        let question: Vec<u8> = (0..=255).collect();
        let asked = carrick_with(
            &[&["call", &node.address, "/reverse/1", "-"], more].concat(),
            &question,
        );
        assert_eq!(
            asked.stdout,
            question.into_iter().rev().collect::<Vec<_>>(),
            "{}",
            asked.stderr
        );
        for (protocol, codec) in [("/json/1", "json"), ("/cbor/1", "cbor")] {
            let told = call(&[protocol, r#"{"a": [1, true, "ü"]}"#, "--codec", codec]);
            assert_eq!(told.objects(), [json!({"you said": {"a": [1, true, "ü"]}})]);
        }
        let object = &call(&["/reverse/1", "ab", "--json"]).objects()[0];
        assert_eq!(*object, json!({"data": "ba", "encoding": "text"}));
        call(&["/nothing/1", "x"]).refused(&["does not support", "carrick id"]);
        call(&["/never/1", "x", "--timeout-ms", "100"])
            .refused(&["not answered within", "more time"]);
        call(&["/json/1", "no JSON", "--codec", "json"]).refused(&["not JSON", "--codec raw"]);
    }
}

#[test]
fn a_program_is_told_what_kind_of_failure_a_request_is() {
    let (daemon, node) = (Daemon::start("kinds"), Answering::start());
    let mut client = daemon.client();
    let mut ask = |protocol: &str, more: Value| {
        let mut params = json!({"target": node.address, "protocol": protocol});
        params
            .as_object_mut()
            .expect("it is one")
            .extend(more.as_object().expect("it is one").clone());
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "messages_request", "params": params});
        client.ask(&call.to_string())["error"].take()
    };
    let late = ask("/never/1", json!({"timeout_ms": 50}));
    assert_eq!(
        (&late["code"], &late["data"]["kind"]),
        (&json!(2), &json!("timeout"))
    );
    assert_eq!(
        ask("/nothing/1", json!({}))["data"]["kind"],
        "not_supported"
    );
    assert_eq!(
        ask("/reverse/1", json!({"data": "x".repeat(1 << 20) + "x"}))["data"]["kind"],
        "too_large"
    );
    assert_eq!(ask("/reverse/1", json!({"data": 7}))["code"], -32602);
    assert_eq!(
        ask("/reverse/1", json!({"data": "0g", "encoding": "hex"}))["code"],
        -32602
    );
    assert_eq!(ask("/reverse/1", json!({"codec": "xml"}))["code"], -32602);
}
