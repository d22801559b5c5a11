//! Ends in peace, and two servers on one directory.

use std::time::{Duration, Instant};

use crate::load::Crowd;
use crate::model::Random;
use crate::place::{Place, seed};
use crate::server::{Engine, Server, wait_until};

fn a_directory_is_one_servers(engine: Engine) {
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir];
    let first = Server::with_flags(engine, &flags);
    first.connect().talk("> INCR n\n< :1");
    let mut second = Server::spawn(engine, first.addr().port(), &flags);
    wait_until("the second one gives up", || second.exited().is_some());
    assert_eq!(second.exited().and_then(|status| status.code()), Some(1));
    let output = second.output();
    assert!(output.contains("another server uses the data directory") && output.contains(&dir), "{output}");
    first.connect().talk("> INCR n\n< :2");
    drop(first);
    // The lock goes with its process.
    Server::with_flags(engine, &flags).connect().talk("> INCR n\n< :3");
}

fn an_end_under_load_loses_nothing(engine: Engine, mode: &str) {
    let mut random = Random(seed(&format!("ends under load, appendfsync {mode}")));
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir, "--appendfsync", mode, "--threads", "2"];
    let mut crowd = Crowd::new(4, random.next());
    for _ in 0..2 {
        let mut server = Server::with_flags(engine, &flags);
        let debt = crowd.debt();
        crowd.settle(&server, &debt);
        let running = crowd.start(&server);
        wait_until("some requests are acknowledged", || running.acked() > 100);
        let began = Instant::now();
        server.terminate();
        wait_until("the server ends", || server.exited().is_some());
        assert_eq!(server.exited().and_then(|status| status.code()), Some(0), "{}", server.output());
        assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
        crowd = running.join();
    }
    let server = Server::with_flags(engine, &flags);
    let output = server.output();
    assert!(output.contains("the server before closed it") && !output.contains("cut"), "{output}");
    assert!(!output.contains("had not yet written"), "{output}");
    let debt = crowd.debt();
    crowd.settle(&server, &debt);
}

/// What clients know is an address: a server that is started again has to have it at once.
fn a_killed_servers_port_is_free(engine: Engine) {
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir];
    let server = Server::with_flags(engine, &flags);
    let port = server.addr().port();
    let clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    drop(server);
    let mut again = Server::spawn(engine, port, &flags);
    wait_until("it answers", || {
        assert!(again.exited().is_none(), "{}", again.output());
        std::net::TcpStream::connect(again.addr()).is_ok()
    });
    drop(clients);
}

/// Workers obtain space in the log ring before they know what they need of it. What one has left over is no use to it while its
/// clients are silent, and the ring is small.
fn silent_workers_keep_no_space(engine: Engine) {
    let place = Place::new();
    let dir = place.dir();
    let server = Server::with_flags(engine, &["--dir", &dir, "--threads", "6"]);
    let long = "x".repeat(9_000);
    // A connection goes to the worker that has the fewest.
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    let mut sum = 0;
    for _ in 0..3 {
        for client in &mut clients {
            client.ask(&["SET", "s", &long], "+OK\r\n");
            sum += 1;
            client.ask_words("INCR n", format!(":{sum}\r\n"));
        }
    }
}

fn an_end_with_a_sync_for_each_reply(engine: Engine) {
    an_end_under_load_loses_nothing(engine, "always");
}

fn an_end_with_a_sync_each_second(engine: Engine) {
    an_end_under_load_loses_nothing(engine, "everysec");
}

fn an_end_without_syncs(engine: Engine) {
    an_end_under_load_loses_nothing(engine, "no");
}

on_both_engines!(
    silent_workers_keep_no_space,
    a_directory_is_one_servers,
    an_end_with_a_sync_for_each_reply,
    an_end_with_a_sync_each_second,
    an_end_without_syncs,
    a_killed_servers_port_is_free
);
