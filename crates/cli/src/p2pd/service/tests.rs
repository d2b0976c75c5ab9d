//! How many programs are served.

use carrick::p2pd::Endpoint;
use tokio::net::TcpStream;

use super::*;

struct Program(TcpStream, Frames);

impl Program {
    async fn connect(endpoint: &Endpoint) -> Self {
        let Endpoint::Tcp(address) = endpoint else {
            panic!("it listens on TCP");
        };
        let socket = TcpStream::connect(address).await.expect("it listens");
        Self(socket, Frames::default())
    }

    /// What it is told without asking, or what it asks.
    async fn told(&mut self) -> Response {
        // Who is refused need not be read any more.
        let _ = self.0.write_all(&Request::Identify.encode()).await;
        let answer = timeout(Duration::from_secs(60), self.1.next(&mut self.0)).await;
        let answer = answer.expect("an answer in time").expect("a message");
        Response::decode(&answer.expect("an answer")).expect("a response")
    }
}

#[tokio::test]
async fn one_program_too_many_is_told_so_until_another_has_gone() {
    let any = Endpoint::parse("/ip4/127.0.0.1/tcp/0").expect("an endpoint");
    let mut service = Service::bind(&any).await.expect("it binds");
    service.clients_max = 3;
    let endpoint = service.endpoint().clone();
    let node = Node::spawn().await.expect("there is entropy");
    let serving = tokio::spawn(service.serve(node, Rank::Whole { echo: false }));
    let mut programs = Vec::new();
    for _ in 0..3 {
        let mut program = Program::connect(&endpoint).await;
        assert!(matches!(program.told().await, Response::Identify(_)));
        programs.push(program);
    }
    let refused = Program::connect(&endpoint).await.told().await;
    assert!(matches!(&refused, Response::Error(why) if why.contains("3 programs")));
    assert!(matches!(programs[1].told().await, Response::Identify(_)));
    drop(programs.pop());
    // Its end is heard of a moment later.
    let taken = async {
        while !matches!(
            Program::connect(&endpoint).await.told().await,
            Response::Identify(_)
        ) {}
    };
    let taken = timeout(Duration::from_secs(60), taken).await;
    assert!(taken.is_ok(), "its place is free");
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_program_does_not_say_for_how_long_it_is_waited_for() {
    for (asked, waits) in [
        (None, REQUEST_TIMEOUT),
        (Some(Duration::from_secs(1)), Duration::from_secs(1)),
        (Some(REQUEST_TIMEOUT_MAX), REQUEST_TIMEOUT_MAX),
        (
            Some(Duration::from_secs(i64::MAX as u64)),
            REQUEST_TIMEOUT_MAX,
        ),
        (Some(Duration::MAX), REQUEST_TIMEOUT_MAX),
    ] {
        let began = tokio::time::Instant::now();
        let never = std::future::pending::<Result<(), Failure>>();
        let late = limited(asked, never).await.expect_err("it is late");
        assert!(late.contains("not done within"), "{late}");
        let waited = began.elapsed();
        assert!(
            (waits..waits + Duration::from_secs(1)).contains(&waited),
            "{asked:?}: {waited:?}"
        );
    }
}
