//! A device that fails: the process says why and ends, and what it acknowledged before is there.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Arrival, Client, request};
use crate::place::{Volume, can_mount};
use crate::server::{Engine, PATIENCE, Server};

/// Adds one until the server is gone. Returns the sum of what was acknowledged, and of what may be there.
fn add(mut client: Client, key: &str) -> (i64, i64) {
    let (mut acked, mut sent) = (0, 0);
    loop {
        sent += 1;
        let _gone = client.try_send(request(&["INCR", key]));
        while !client.unread().ends_with(b"\r\n") {
            match client.receive(PATIENCE) {
                Arrival::Bytes => {}
                Arrival::Closed => return (acked, sent),
                Arrival::Nothing => panic!("no reply in {PATIENCE:?}"),
            }
        }
        let reply = client.take();
        if reply.starts_with(b":") {
            acked = sent;
            assert_eq!(reply, format!(":{sent}\r\n").into_bytes());
        } else {
            // A device that has no space may say so before it fails.
            assert!(reply.starts_with(b"-MISCONF "), "{}", reply.escape_ascii());
            sent -= 1;
        }
    }
}

fn a_failing_device_ends_the_server(engine: Engine) {
    if !can_mount("a failing device") {
        return;
    }
    let mut volume = Volume::new(40);
    let dir = volume.dir();
    let flags = ["--dir", &dir, "--appendfsync", "always", "--threads", "2"];
    let mut server = Server::with_flags(engine, &flags);
    let keys = ["a", "b", "c", "d"];
    let adders = keys.map(|key| {
        let client = server.connect();
        thread::spawn(move || add(client, key))
    });
    volume.fill_below();
    // The file system may say for some seconds that it has no space before it says that it is broken.
    let deadline = Instant::now() + 6 * PATIENCE;
    while server.exited().is_none() {
        assert!(Instant::now() < deadline, "the server goes on:\n{}", server.output());
        thread::sleep(Duration::from_millis(10));
    }
    let (status, output) = (server.exited().expect("it has"), server.output());
    assert_eq!(status.code(), Some(3), "{status}\n{output}");
    assert!(output.contains("the journal cannot go on: cannot "), "{output}");
    assert!(output.contains("Input/output error") || output.contains("Read-only file system"), "{output}");
    let sums = adders.map(|adder| adder.join().expect("a client found something"));
    drop(server);
    volume.free();
    volume.remount();
    let server = Server::with_flags(engine, &flags);
    for (key, (acked, sent)) in keys.into_iter().zip(sums) {
        let mut client = server.connect();
        client.send_words(&format!("INCRBY {key} 0"));
        let found = client.integer();
        assert!((acked..=sent).contains(&found), "{key}: acknowledged {acked}, sent {sent}, found {found}");
    }
}

on_both_engines!(a_failing_device_ends_the_server);
