//! Requests in CBOR and JSON by rust-libp2p's request-response: what both sides say, what the listener answers, and what the dialer checks.

use std::{collections::HashMap, iter};

use libp2p::{
    PeerId, StreamProtocol,
    request_response::{
        self, Config, Message, OutboundFailure, OutboundRequestId, ProtocolSupport,
        ResponseChannel, cbor, json,
    },
};
use serde::{Deserialize, Serialize};

use crate::{checks::Outcome, node::Node};

/// What is asked, in every form that serde has for a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Question {
    Nothing,
    Sum(Vec<i64>),
    Divide(f64, f64),
    Echo {
        text: String,
        bytes: Vec<u8>,
        note: Option<bool>,
    },
    /// Gets no answer.
    Fail,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Nothing,
    Number(i64),
    Quotient(f64),
    Echo(Box<Question>),
}

pub type Cbor = cbor::Behaviour<Question, Answer>;
pub type Json = json::Behaviour<Question, Answer>;
pub type Event = request_response::Event<Question, Answer>;

pub fn cbor() -> Cbor {
    Cbor::new(protocols(CBOR), Config::default())
}

pub fn json() -> Json {
    Json::new(protocols(JSON), Config::default())
}

fn protocols(protocol: &'static str) -> impl Iterator<Item = (StreamProtocol, ProtocolSupport)> {
    iter::once((StreamProtocol::new(protocol), ProtocolSupport::Full))
}

/// What the listener answers; `None`: nothing.
fn answer(question: Question) -> Option<Answer> {
    Some(match question {
        Question::Nothing => Answer::Nothing,
        Question::Sum(numbers) => Answer::Number(numbers.iter().sum()),
        Question::Divide(a, b) => Answer::Quotient(a / b),
        echo @ Question::Echo { .. } => Answer::Echo(Box::new(echo)),
        Question::Fail => return None,
    })
}

/// What became of a request of ours.
pub type Answered = Result<Answer, OutboundFailure>;

/// Answers a request, or notes what became of one of ours.
pub fn handle(
    event: Event,
    answered: &mut HashMap<OutboundRequestId, Answered>,
) -> Option<(ResponseChannel<Answer>, Answer)> {
    match event {
        Event::Message {
            message: Message::Request {
                request, channel, ..
            },
            ..
        } => {
            return answer(request).map(|answer| (channel, answer));
        }
        Event::Message {
            message:
                Message::Response {
                    request_id,
                    response,
                },
            ..
        } => {
            answered.insert(request_id, Ok(response));
        }
        Event::OutboundFailure {
            request_id, error, ..
        } => {
            answered.insert(request_id, Err(error));
        }
        Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
    }
    None
}

/// Asks every question, many at once, and one that has no answer.
pub async fn check(name: &str, node: &mut Node, peer: PeerId) -> Result<Outcome, String> {
    let is_cbor = name == "request-cbor";
    let ask = |node: &mut Node, question: &Question| {
        let behaviour = node.swarm.behaviour_mut();
        match is_cbor {
            true => behaviour.cbor.send_request(&peer, question.clone()),
            false => behaviour.json.send_request(&peer, question.clone()),
        }
    };
    let pairs = questions();
    let asked: Vec<_> = pairs
        .iter()
        .map(|(question, _)| ask(node, question))
        .collect();
    for (id, (question, expected)) in asked.into_iter().zip(&pairs) {
        match node.answered(is_cbor, id).await {
            Ok(answer) if answer == *expected => {}
            other => return Err(format!("{:.80}: {other:.80?}", format!("{question:?}"))),
        }
    }
    let id = ask(node, &Question::Fail);
    match node.answered(is_cbor, id).await {
        Err(OutboundFailure::Io(error)) => Ok(Outcome::Passed(format!(
            "{} answers, and an error: {error}",
            pairs.len()
        ))),
        other => Err(format!("a question without an answer had {other:?}")),
    }
}

fn questions() -> Vec<(Question, Answer)> {
    let large = Question::Echo {
        text: "é\"\n".repeat(50_000),
        bytes: (0..=255).cycle().take(100_000).collect(),
        note: Some(true),
    };
    let small = Question::Echo {
        text: String::new(),
        bytes: vec![],
        note: None,
    };
    let sums = (0..60).map(|n| {
        (
            Question::Sum((-3..n).collect()),
            Answer::Number((-3..n).sum()),
        )
    });
    let mut pairs: Vec<_> = sums.collect();
    pairs.push((Question::Nothing, Answer::Nothing));
    pairs.push((Question::Divide(1.0, -3.0), Answer::Quotient(1.0 / -3.0)));
    for echo in [large, small] {
        pairs.push((echo.clone(), Answer::Echo(Box::new(echo))));
    }
    pairs
}

const CBOR: &str = "/interop/request-cbor/1.0.0";
const JSON: &str = "/interop/request-json/1.0.0";
