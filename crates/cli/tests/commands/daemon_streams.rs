//! Sockets of this machine that stand for protocols of peers.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::daemon::Daemon;

#[test]
fn a_socket_here_reaches_a_program_there() {
    let (here, there) = (Daemon::start("here"), Daemon::start("there"));
    let program = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let to = program.local_addr().expect("it is bound").to_string();
    let serving = thread::spawn(move || {
        let (mut socket, _) = program.accept().expect("somebody connects");
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).expect("it ends");
        heard.reverse();
        socket.write_all(&heard).expect("it is read");
    });
    let mut client = there.client();
    let forward = client.rpc(
        "streams_forward",
        json!({"protocol": "/backwards/1", "to": to}),
    );
    assert_eq!(forward["result"]["direction"], "inbound");
    let taken = client.rpc(
        "streams_forward",
        json!({"protocol": "/backwards/1", "to": to}),
    );
    assert_eq!(taken["error"]["code"], 1, "{taken}");
    let mut client = here.client();
    let target = there.node().address.clone();
    let params = json!({"at": "127.0.0.1:0", "target": target, "protocol": "/backwards/1"});
    let listening = client.rpc("streams_listen", params)["result"].take();
    let mut socket =
        TcpStream::connect(listening["address"].as_str().expect("it is said")).expect("it listens");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a deadline is set");
    socket.write_all(b"hello").expect("it is read");
    socket.shutdown(Shutdown::Write).expect("it is open");
    let mut heard = String::new();
    socket.read_to_string(&mut heard).expect("it ends");
    assert_eq!(heard, "olleh");
    serving.join().expect("the program did not panic");
    let listed = client.rpc("streams_list", json!({}))["result"].take();
    assert_eq!(
        (&listed[0]["total"], &listed[0]["target"]),
        (&json!(1), &json!(target))
    );
    // Nobody answers there any more, and whoever connects hears of it.
    let mut socket =
        TcpStream::connect(listening["address"].as_str().expect("it is said")).expect("it listens");
    let mut rest = Vec::new();
    assert!(
        !matches!(socket.read_to_end(&mut rest), Ok(1..)),
        "nothing comes"
    );
    let stop = json!({"forward": listed[0]["forward"]});
    assert_eq!(client.rpc("streams_stop", stop.clone())["result"], true);
    assert_eq!(client.rpc("streams_stop", stop)["result"], false);
    assert_eq!(client.rpc("streams_list", json!({}))["result"], json!([]));
    for (at, code) in [("0.0.0.0:0", 1), ("nowhere", -32602)] {
        let params = json!({"at": at, "target": target, "protocol": "/backwards/1"});
        assert_eq!(
            client.rpc("streams_listen", params)["error"]["code"],
            code,
            "{at}"
        );
    }
}
