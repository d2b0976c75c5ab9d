//! `carrick perf` against `carrick listen --perf`, and against those who do not serve it.

use crate::process::{Listener, carrick};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

#[test]
fn bytes_go_up_and_come_down_with_either_header() {
    for (serve, header) in [("--perf", "spec"), ("--perf=16", "16")] {
        let listener = Listener::start(&[serve, LOOPBACK]);
        for (up, down, bytes) in [
            ("3MiB", "2MB", (3 << 20, 2_000_000)),
            ("0", "1", (0, 1)),
            ("1", "0", (1, 0)),
            ("0", "0", (0, 0)),
        ] {
            let args = ["--upload-bytes", up, "--download-bytes", down];
            let args = [&["perf", &listener.address, "--header", header], &args[..]].concat();
            let report = &carrick(&[&args[..], &["--json"]].concat()).objects()[0];
            assert_eq!(report["type"], "final");
            assert_eq!(report["uploadBytes"], bytes.0);
            assert_eq!(report["downloadBytes"], bytes.1);
            for (time, moved) in [("uploadSeconds", bytes.0), ("downloadSeconds", bytes.1)] {
                assert_eq!(report[time].as_f64() > Some(0.0), moved > 0, "{report}");
            }
            assert!(report["timeSeconds"].as_f64() > Some(0.0), "{report}");
            let lines = carrick(&args).lines();
            assert!(lines[0].starts_with(&format!("uploaded   {} bytes in ", bytes.0)));
            assert!(lines[1].starts_with(&format!("downloaded {} bytes in ", bytes.1)));
        }
    }
}

#[test]
fn intermediate_objects_add_up_to_no_more_than_the_whole() {
    let listener = Listener::start(&["--perf", LOOPBACK]);
    let args = ["--download-bytes", "4MiB", "--json", "--intermediate"];
    let objects = carrick(&[&["perf", &listener.address], &args[..]].concat()).objects();
    let (last, others) = objects.split_last().expect("the final object");
    assert_eq!(last["type"], "final");
    assert!(others.iter().all(|object| object["type"] == "intermediary"));
    let parts: Option<u64> = others.iter().map(|o| o["downloadBytes"].as_u64()).sum();
    assert!(parts <= last["downloadBytes"].as_u64());
}

#[test]
fn nobody_serves_it_unless_told_to() {
    let listener = Listener::start(&[LOOPBACK]);
    carrick(&["perf", &listener.address, "--upload-bytes", "1"])
        .refused(&["does not support /perf/1.0.0", "carrick id"]);
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let address = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
    for size in [
        "1.5GiB",
        "-1",
        "GiB",
        "1XB",
        "18446744073709551616",
        "17179869184TiB",
    ] {
        let argument = format!("--upload-bytes={size}");
        carrick(&["perf", address, &argument]).refused(&["--upload-bytes"]);
    }
    carrick(&["perf", address, "--header", "8"]).refused(&["spec or 16"]);
}
