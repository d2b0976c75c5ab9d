//! Unix sockets: how their addresses are written, who may connect, what happens to their files.
#![cfg(unix)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
};

use carrick::{IntoAddress, ListenError, Node, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{ECHO, TCP, client, run, server, soon};

/// A folder of a test's own, short enough for the path of a socket; removed with its contents.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("carrick-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        let path = self.0.join(name);
        path.to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_way_to_write_the_path_reaches_the_same_socket() {
    run(async {
        let folder = Folder::new("forms");
        let path = folder.path("a b.sock");
        let node = server(&format!("/unix{path}")).await;
        let printed = node.address().to_string();
        let encoded = path[1..].replace('/', "%2F").replace(' ', "%20");
        assert_eq!(printed, format!("/unix/{encoded}/p2p/{}", node.id()));
        let (id, client) = (node.id(), client().await);
        for form in [
            printed.clone(),
            format!("/unix{path}/p2p/{id}"),
            format!("/unix{path}"),
            format!("/unix/%2F{encoded}/p2p/{id}"),
        ] {
            let address = form.as_str().into_address().expect("an address");
            assert!(matches!(address.iter().next(), Some(Protocol::Unix(_))));
            let mut stream = soon(client.open_stream(form.as_str(), ECHO))
                .await
                .unwrap_or_else(|error| panic!("{form}: {error}"));
            stream.write_all(b"hello").await.expect("write");
            stream.finish().await.expect("finish");
            assert_eq!(stream.read_to_end(10).await.expect("read"), "hello");
            client
                .dial(form.as_str())
                .await
                .expect("dial")
                .close()
                .await;
        }
    });
}

#[test]
fn large_streams_pass_both_ways() {
    run(async {
        let folder = Folder::new("large");
        let node = server(&format!("/unix{}", folder.path("s"))).await;
        let client = client().await;
        let stream = soon(client.open_stream(node.address(), ECHO)).await;
        let (mut reader, mut writer) = tokio::io::split(stream.expect("open"));
        let sent: Vec<u8> = (0..=250).cycle().take(4 << 20).collect();
        let mut back = vec![0; sent.len()];
        let (wrote, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut back));
        wrote.expect("write");
        read.expect("read");
        assert!(back == sent);
    });
}

#[test]
fn the_socket_is_its_users_alone_and_goes_with_the_node() {
    run(async {
        let folder = Folder::new("mode");
        let path = folder.path("s");
        let node = server(&format!("/unix{path}")).await;
        let mode = fs::metadata(&path).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        node.close().await;
        assert!(!fs::exists(&path).expect("the folder is ours"));
    });
}

#[test]
fn a_socket_that_nobody_answers_on_is_replaced() {
    run(async {
        let folder = Folder::new("stale");
        let path = folder.path("s");
        // It leaves its file behind, as a process does that was killed.
        drop(UnixListener::bind(&path).expect("bind"));
        assert!(fs::exists(&path).expect("the folder is ours"));
        let node = server(&format!("/unix{path}")).await;
        soon(client().await.ping(node.address()))
            .await
            .expect("ping");
    });
}

#[test]
fn a_socket_that_somebody_answers_on_is_left_alone() {
    run(async {
        let folder = Folder::new("taken");
        let path = folder.path("s");
        let first = server(&format!("/unix{path}")).await;
        let second = client().await;
        let refused = second.listen(format!("/unix{path}")).await;
        let error = refused.expect_err("it is taken").to_string();
        assert!(
            error.contains("in use") && !error.contains("port"),
            "{error}"
        );
        soon(client().await.ping(first.address()))
            .await
            .expect("ping");
    });
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    run(async {
        let folder = Folder::new("file");
        let path = folder.path("s");
        fs::write(&path, "precious").expect("write");
        let node = client().await;
        let refused = node.listen(format!("/unix{path}")).await;
        assert!(matches!(refused, Err(ListenError::Io { .. })));
        assert_eq!(fs::read(&path).expect("it is still there"), b"precious");
    });
}

#[test]
fn a_file_that_took_the_sockets_place_survives_the_node() {
    run(async {
        let folder = Folder::new("replaced");
        let path = folder.path("s");
        let node = server(&format!("/unix{path}")).await;
        fs::remove_file(&path).expect("it is ours");
        fs::write(&path, "new").expect("write");
        node.close().await;
        assert_eq!(fs::read(&path).expect("it is still there"), b"new");
    });
}

#[test]
fn paths_that_no_socket_can_have_are_refused() {
    run(async {
        let node: Node = client().await;
        let long = format!("/unix/tmp%2F{}", "x".repeat(200));
        for (address, no_transport) in [
            ("/unix/tmp%00", true),
            ("/unix/tmp%2", true),
            ("/unix/tmp%2F", true),
            ("/unix/%zz", true),
            ("/unix/%2F", true),
            (long.as_str(), false),
            ("/unix/nowhere-at-all%2Fs", false),
        ] {
            let error = node.listen(address).await.expect_err(address);
            let none = matches!(error, ListenError::NoTransport(_));
            assert_eq!(none, no_transport, "{address}: {error}");
        }
    });
}

#[test]
fn paths_are_not_told_to_peers() {
    run(async {
        let folder = Folder::new("told");
        let node = server(&format!("/unix{}", folder.path("s"))).await;
        let tcp = node.listen(TCP).await.expect("listen");
        let client = client().await;
        let connection = soon(client.dial(node.address())).await.expect("dial");
        let info = soon(connection.info()).await.expect("identify");
        assert_eq!(info.addresses, tcp);
    });
}
