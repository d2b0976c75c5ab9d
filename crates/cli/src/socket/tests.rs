//! Whose place a Unix socket takes, and who may connect.

use super::*;

#[test]
fn hosts_and_ports_in_the_forms_that_people_type() {
    for (text, host) in [
        ("8080", "127.0.0.1:8080"),
        (":8080", "127.0.0.1:8080"),
        ("example.org:80", "example.org:80"),
        ("[::1]:80", "[::1]:80"),
    ] {
        assert_eq!(tcp(text).as_deref(), Ok(host));
    }
    for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:65536"] {
        assert!(tcp(text).is_err(), "{text}");
    }
}

#[cfg(unix)]
fn path(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("carrick-socket-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_is_its_owners_alone_and_goes_with_its_listener() {
    use std::os::unix::fs::PermissionsExt;

    let path = path("own");
    let listener = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(listener);
    assert!(!path.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_stale_socket_is_replaced_a_living_one_and_a_file_are_not() {
    let stale = path("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    let address = Address::Unix(stale.clone());
    let living = Listener::bind(&address).await.unwrap();
    let refused = Listener::bind(&address).await.err().unwrap();
    assert!(
        refused.to_string().contains("answers there already"),
        "{refused}"
    );
    assert!(Socket::connect(&address).await.is_ok());
    drop(living);
    let file = path("file");
    std::fs::write(&file, b"precious").unwrap();
    assert!(Listener::bind(&Address::Unix(file.clone())).await.is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}
