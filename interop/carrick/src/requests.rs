//! Requests in CBOR and JSON, as rust-libp2p's request-response has them: what both sides say, what the listener answers, and
//! what the dialer checks.

use carrick::{Fault, Node, PeerId, RequestError, Requests, codec::Codec};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    Result,
    checks::{Verdict, passed},
};

/// What is asked, in every form that serde has for a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Question {
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
pub(crate) enum Answer {
    Nothing,
    Number(i64),
    Quotient(f64),
    Echo(Box<Question>),
}

/// Registers what a listener answers.
pub(crate) fn serve(node: &Node) -> Result {
    node.serve(&kind::<carrick::codec::Cbor>(CBOR), answer)?;
    node.serve(&kind::<carrick::codec::Json>(JSON), answer)?;
    Ok(())
}

fn kind<C>(protocol: &str) -> Requests<Question, Answer, C> {
    Requests::new(protocol)
}

async fn answer(_: PeerId, question: Question) -> Result<Answer, Fault> {
    Ok(match question {
        Question::Nothing => Answer::Nothing,
        Question::Sum(numbers) => Answer::Number(numbers.iter().sum()),
        Question::Divide(a, b) => Answer::Quotient(a / b),
        echo @ Question::Echo { .. } => Answer::Echo(Box::new(echo)),
        Question::Fail => return Err(RequestError::Failed("as it was asked to".to_owned()).into()),
    })
}

/// Asks every question, many at once, and two that have no answer.
pub(crate) async fn check(name: &str, node: &Node, peer: PeerId) -> Result<Verdict> {
    match name {
        "request-cbor" => ask_all::<carrick::codec::Cbor>(node, peer, CBOR).await,
        _ => ask_all::<carrick::codec::Json>(node, peer, JSON).await,
    }
}

async fn ask_all<C>(node: &Node, peer: PeerId, protocol: &str) -> Result<Verdict>
where
    C: Codec<Question> + Codec<Answer>,
{
    let requests = kind::<C>(protocol);
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
    let asked = pairs
        .iter()
        .map(|(question, _)| node.request(peer, &requests, question));
    for ((question, expected), answer) in pairs.iter().zip(join_all(asked).await) {
        if answer? != *expected {
            return Err(format!("another answer to {:.80}", format!("{question:?}")).into());
        }
    }
    match node.request(peer, &requests, &Question::Fail).await {
        Err(RequestError::Failed(_)) => {}
        other => return Err(format!("a question without an answer had {other:?}").into()),
    }
    match node
        .request(
            peer,
            &kind::<C>("/interop/nothing/1.0.0"),
            &Question::Nothing,
        )
        .await
    {
        Err(RequestError::NotSupported) => {}
        other => return Err(format!("a protocol that nobody speaks had {other:?}").into()),
    }
    passed(format!("{} answers, and two errors", pairs.len()))
}

const CBOR: &str = "/interop/request-cbor/1.0.0";
const JSON: &str = "/interop/request-json/1.0.0";
