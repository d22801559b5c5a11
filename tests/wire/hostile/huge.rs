//! Huge requests: a million arguments pass through a small window, and a client that writes all of them before it reads
//! a reply does not hang.

use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::{Belongings, memory};
use crate::client::{Client, bulk, request};
use crate::server::{Engine, Server};

on_every_engine![
    a_million_keys_in_one_request,
    a_million_increments_in_one_request,
    fifty_million_keys_at_once,
    a_million_keys_written_before_anything_is_read,
    a_million_requests_written_before_anything_is_read,
];

/// Keys that exist; a huge request names each of them many times.
const KEYS: usize = 1000;
const ARGUMENTS: usize = 1_000_000;

/// KiB by which the server may grow for one such request, and for each of many.
const ONE_KB: u64 = 1024;
const EACH_KB: u64 = 128;

/// A server whose keys exist, each with its number as its value, and a connection to it.
fn server_with_keys(engine: Engine) -> (Server, Client) {
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    for n in 0..KEYS {
        witness.ask(&["SET", &format!("key:{n}"), &n.to_string()], "+OK\r\n");
    }
    (server, witness)
}

/// A request of all keys, over and over, and its reply.
fn mget() -> (Vec<u8>, Vec<u8>) {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for n in 0..KEYS {
        keys.extend(bulk(format!("key:{n}")));
        values.extend(bulk(n.to_string()));
    }
    let times = ARGUMENTS / KEYS;
    let head = format!("*{}\r\n$4\r\nMGET\r\n", ARGUMENTS + 1);
    ([head.as_bytes(), &keys.repeat(times)].concat(), [b"*1000000\r\n", &values.repeat(times)[..]].concat())
}

/// Sends a request while its reply is read, and gives the KiB by which the server had grown at most. Memory is looked
/// at after each receive.
fn exchange(server: &Server, client: &mut Client, request: &[u8], reply: &[u8]) -> u64 {
    let base = memory(server);
    let mut sender = client.tcp().try_clone().expect("a descriptor can be duplicated");
    thread::scope(|scope| {
        let sending = scope.spawn(move || sender.write_all(request));
        let (mut most, mut looked) = (0, 0);
        client.follow(reply, |seen| {
            if seen >= looked {
                most = most.max(memory(server).saturating_sub(base));
                looked = seen + 64 * 1024;
            }
        });
        sending.join().expect("the sender does not panic").expect("the server takes it all");
        most
    })
}

fn a_million_keys_in_one_request(engine: Engine) {
    let (server, mut witness) = server_with_keys(engine);
    let before = Belongings::of(&server, &mut witness);
    let (request, reply) = mget();
    let mut client = server.connect();
    client.ask(&["PING"], "+PONG\r\n");
    let grown = exchange(&server, &mut client, &request, &reply);
    eprintln!("{}: grew by {grown} KiB", engine.name());
    assert!(grown < ONE_KB, "the server grew by {grown} KiB for one request of a million keys");
    client.ask(&["PING"], "+PONG\r\n");
    drop(client);
    before.expect_back(&server, &mut witness);
}

fn a_million_increments_in_one_request(engine: Engine) {
    let (server, mut witness) = server_with_keys(engine);
    let before = Belongings::of(&server, &mut witness);
    // As many arguments, which are half as many pairs.
    let pairs: Vec<u8> = (0..KEYS).flat_map(|n| [bulk(format!("key:{n}")), bulk("3")].concat()).collect();
    let times = ARGUMENTS / KEYS / 2;
    let head = format!("*{}\r\n$7\r\nMINCRBY\r\n", ARGUMENTS + 1);
    let request = [head.as_bytes(), &pairs.repeat(times)].concat();
    let values = (1..=times).flat_map(|round| (0..KEYS).map(move |n| format!(":{}\r\n", n + 3 * round)));
    let reply = format!("*{}\r\n{}", ARGUMENTS / 2, values.collect::<String>());
    let mut client = server.connect();
    client.ask(&["PING"], "+PONG\r\n");
    let grown = exchange(&server, &mut client, &request, reply.as_bytes());
    eprintln!("{}: grew by {grown} KiB", engine.name());
    assert!(grown < ONE_KB, "the server grew by {grown} KiB for one request of a million arguments");
    client.ask(&["GET", "key:7"], bulk((7 + 3 * times).to_string()));
    drop(client);
    before.expect_back(&server, &mut witness);
}

fn fifty_million_keys_at_once(engine: Engine) {
    const AT_ONCE: usize = 50;
    let (server, mut witness) = server_with_keys(engine);
    let before = Belongings::of(&server, &mut witness);
    let (request, reply) = mget();
    let base = memory(&server);
    let mut clients: Vec<Client> = (0..AT_ONCE).map(|_| server.connect()).collect();
    let (over, most, looked) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in &mut clients {
            let mut sender = client.tcp().try_clone().expect("a descriptor can be duplicated");
            let (server, request, reply) = (&server, &request, &reply);
            let (over, most, looked) = (&over, &most, &looked);
            scope.spawn(move || sender.write_all(request).expect("the server takes it all"));
            scope.spawn(move || {
                client.follow(reply, |seen| {
                    // All of them together look about a thousand times.
                    if looked.fetch_add(1, Ordering::Relaxed) % 64 == 0 || seen == reply.len() {
                        most.fetch_max(memory(server).saturating_sub(base), Ordering::Relaxed);
                    }
                });
                over.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(over.into_inner(), AT_ONCE);
    let grown = most.into_inner();
    let allowed = AT_ONCE as u64 * EACH_KB;
    eprintln!("{}: grew by {grown} KiB", engine.name());
    assert!(
        grown < allowed,
        "the server grew by {grown} KiB for {AT_ONCE} requests at once, not below {allowed}"
    );
    drop(clients);
    before.expect_back(&server, &mut witness);
}

fn a_million_keys_written_before_anything_is_read(engine: Engine) {
    let (server, mut witness) = server_with_keys(engine);
    let before = Belongings::of(&server, &mut witness);
    let (request, reply) = mget();
    let mut client = server.connect();
    client.send(&request);
    client.follow(&reply, |_| {});
    client.ask(&["PING"], "+PONG\r\n");
    drop(client);
    before.expect_back(&server, &mut witness);
}

fn a_million_requests_written_before_anything_is_read(engine: Engine) {
    let (server, mut witness) = server_with_keys(engine);
    let before = Belongings::of(&server, &mut witness);
    let requests: Vec<u8> = (0..KEYS).flat_map(|n| request(&["GET", &format!("key:{n}")])).collect();
    let replies: Vec<u8> = (0..KEYS).flat_map(|n| bulk(n.to_string())).collect();
    let mut client = server.connect();
    client.send(requests.repeat(ARGUMENTS / KEYS));
    client.follow(&replies.repeat(ARGUMENTS / KEYS), |_| {});
    client.ask(&["PING"], "+PONG\r\n");
    drop(client);
    before.expect_back(&server, &mut witness);
}
