//! How many calls there are at once, in each direction.

use std::future::pending;

use super::*;

fn number(call: usize) -> CallId {
    (call as u128).to_be_bytes()
}

#[tokio::test]
async fn one_call_too_many_is_refused_until_another_is_over() {
    let (out, _outbox) = mpsc::channel(OUTBOX_MAX);
    let program = Program(Arc::new(Inner {
        out,
        waiting: Mutex::default(),
        calls: Mutex::default(),
    }));
    // A peer's calls, which wait for the program.
    let mut waiting: Vec<_> = (0..CALLS_MAX)
        .map(|call| Waiting::new(&program.0, number(call)).expect("there is room"))
        .collect();
    assert!(Waiting::new(&program.0, number(CALLS_MAX)).is_err());
    waiting.pop();
    assert!(Waiting::new(&program.0, number(0)).is_err(), "it is taken");
    assert!(Waiting::new(&program.0, number(CALLS_MAX)).is_ok());
    // The program's own.
    let node = Node::spawn().await.expect("there is entropy");
    let session = Session {
        program: program.clone(),
        handlers: Handlers::new(node.downgrade()),
        protocols: Vec::new(),
        node,
    };
    for call in 0..CALLS_MAX {
        let task = tokio::spawn(pending::<()>()).abort_handle();
        lock(&program.0.calls).insert(number(call), task);
    }
    let begin = |call| {
        let protocol = ProtocolId::from_static("/x");
        session.call(number(call), PeerId::random(), protocol, Vec::new())
    };
    assert!(begin(CALLS_MAX).is_err());
    lock(&program.0.calls).remove(&number(7));
    assert!(begin(8).is_err(), "it is under way");
    assert_eq!(begin(7), Ok(()));
}
