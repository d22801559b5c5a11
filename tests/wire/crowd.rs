//! Many connections at once, on one worker and on several.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, request};
use crate::server::{Engine, Server, wait_until};

on_every_ring![
    eight_threads_count_together,
    increments_of_one_key_are_all_different,
    two_hundred_connections_become_one,
    thousands_of_connections_come_and_go,
    a_reset_right_behind_some_bytes_ends_the_connection,
    client_list_shows_every_workers_connections,
    client_kill_reaches_every_worker,
    one_connection_too_many_is_told,
    idle_connections_are_closed_in_time,
];

/// Who has a turn on a ring whose completions always overflow is up to the kernel: whoever is armed first fills the queue.
mod turns {
    use super::*;

    on_every_engine_and_rung![those_who_send_too_much_take_turns];
}

fn eight_threads_count_together(engine: Engine) {
    const ROUNDS: i64 = 200;
    const DEEP: usize = 20;
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (server, start) = (&server, &start);
            scope.spawn(move || {
                let mut client = server.connect();
                let own = format!("own:{thread}");
                start.wait();
                for round in 0..ROUNDS {
                    client.send(
                        [request(&["INCR", "shared"]), request(&["INCRBY", &own, "3"])].concat().repeat(DEEP),
                    );
                    for step in 1..=DEEP {
                        client.integer();
                        let step = i64::try_from(step).expect("it is small");
                        assert_eq!(client.integer(), 3 * (round * 20 + step), "nobody else counts on {own}");
                    }
                }
            });
        }
    });
    let mut client = server.connect();
    client.ask(&["GET", "shared"], "$5\r\n32000\r\n");
    for thread in 0..8 {
        client.ask(&["GET", &format!("own:{thread}")], "$5\r\n12000\r\n");
    }
}

fn increments_of_one_key_are_all_different(engine: Engine) {
    const EACH: usize = 2000;
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let seen: Vec<Vec<i64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    client.send(request(&["INCR", "n"]).repeat(EACH));
                    (0..EACH).map(|_| client.integer()).collect::<Vec<i64>>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no client failed")).collect()
    });
    for one in &seen {
        assert!(one.is_sorted(), "a connection sees the counter grow");
    }
    let all: BTreeSet<i64> = seen.into_iter().flatten().collect();
    assert_eq!(all.len(), 4 * EACH, "no increment is answered with another's value");
    assert_eq!(all.last(), Some(&8000));
}

fn two_hundred_connections_become_one(engine: Engine) {
    let server = Server::start(engine);
    let mut crowd: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for round in 1..=10 {
        for client in &mut crowd {
            client.send(request(&["INCR", "n"]).repeat(5));
        }
        for client in &mut crowd {
            (0..5).for_each(|_| assert!(client.integer() <= round * 1000));
        }
    }
    let mut last = crowd.pop().expect("there are 200");
    last.ask(&["GET", "n"], "$5\r\n10000\r\n");
    drop(crowd);
    // A server that still waits for the replies of many would answer each of these late.
    let total = (0..500)
        .map(|_| {
            let asked = Instant::now();
            last.ask(&["PING"], "+PONG\r\n");
            asked.elapsed()
        })
        .sum::<Duration>();
    assert!(total < Duration::from_secs(3), "500 round trips of the one that is left took {total:?}");
}

/// Each sends as fast as the server reads, and far more than it executes of one connection in a turn. Whoever is served
/// first must not be served alone until it has nothing more to ask.
fn those_who_send_too_much_take_turns(engine: Engine) {
    const REQUESTS: usize = 24;
    const KEYS: usize = 4000;
    let server = Server::start(engine);
    let words: Vec<String> = ["MGET".to_owned()]
        .into_iter()
        .chain((0..KEYS).map(|n| format!("a-key-of-some-length:{n}")))
        .collect();
    let asked = request(&words);
    let reply = [format!("*{KEYS}\r\n").into_bytes(), b"$-1\r\n".repeat(KEYS)].concat();
    let (start, done) = (Barrier::new(4), [const { AtomicUsize::new(0) }; 4]);
    let least = thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|one| {
                let mut client = server.connect();
                let mut writer = client.tcp().try_clone().expect("there are descriptors");
                let (asked, reply, start, done) = (&asked, &reply, &start, &done);
                scope.spawn(move || {
                    start.wait();
                    (0..REQUESTS).for_each(|_| writer.write_all(asked).expect("the server reads"));
                });
                scope.spawn(move || {
                    for _ in 0..REQUESTS {
                        client.expect(reply);
                        done[one].fetch_add(1, Ordering::Relaxed);
                    }
                    done.iter().map(|count| count.load(Ordering::Relaxed)).min()
                })
            })
            .collect();
        // Who is done first has seen the others least far.
        readers.into_iter().filter_map(|reader| reader.join().expect("no client failed")).min()
    });
    assert!(
        least.is_some_and(|least| least >= REQUESTS / 2),
        "one had {REQUESTS} replies when another had {least:?}"
    );
}

fn thousands_of_connections_come_and_go(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2", "--maxclients", "200"]);
    for round in 0..3000 {
        let mut client = server.connect();
        match round % 4 {
            // Closed before it said anything.
            0 => drop(client),
            1 => {
                client.send("*2\r\n$4\r\nINCR");
                client.reset();
            }
            2 => client.send(request(&["INCR", "unread"])),
            _ => client.ask(&["PING"], "+PONG\r\n"),
        }
        if round % 100 == 99 {
            // No slot may stay behind: with 200 of them, three thousand connections need each one again.
            wait_until("closed connections are gone", || connected(&mut server.connect()) < 10);
        }
    }
    wait_until("only the one that asks is connected", || connected(&mut server.connect()) == 1);
    server.connect().ask(&["GET", "unread"], "$3\r\n750\r\n");
}

/// Bytes and reset reach the server together, often before it looks at the connection for the first time: the
/// kernel tells of the bytes, and the reset must not be missed behind them.
fn a_reset_right_behind_some_bytes_ends_the_connection(engine: Engine) {
    let server = Server::start(engine);
    for _ in 0..1000 {
        let mut client = server.connect();
        client.send("*2\r\n$4\r\nINCR");
        client.reset();
    }
    let mut witness = server.connect();
    wait_until("connections that were reset are gone", || connected(&mut witness) == 1);
    // The same where the reply is owed until the disk has the change.
    witness.ask_words("CONFIG SET appendfsync always", "+OK\r\n");
    for _ in 0..300 {
        let mut client = server.connect();
        client.send(request(&["INCR", "unread"]));
        client.reset();
    }
    wait_until("connections that were reset are gone", || connected(&mut witness) == 1);
}

/// What `INFO clients` counts.
pub(crate) fn connected(client: &mut Client) -> u64 {
    client.send(request(&["INFO", "clients"]));
    let text = client.text();
    let field = text.lines().find_map(|line| line.strip_prefix("connected_clients:"));
    field.and_then(|digits| digits.parse().ok()).expect("INFO clients counts connections")
}

fn client_list_shows_every_workers_connections(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let mut crowd: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    for (n, client) in crowd.iter_mut().enumerate() {
        client.ask(&["CLIENT", "SETNAME", &format!("crowd-{n}")], "+OK\r\n");
    }
    crowd[0].send(request(&["CLIENT", "LIST"]));
    let list = crowd[0].text();
    for n in 0..40 {
        assert!(list.contains(&format!(" name=crowd-{n} ")), "CLIENT LIST lacks connection {n}:\n{list}");
    }
    let ids: BTreeSet<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids.len(), 40, "each connection has a line and a number of its own");
}

fn client_kill_reaches_every_worker(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let mut killer = server.connect();
    let mut crowd: Vec<Client> = (0..40).map(|_| server.connect()).collect();
    for (n, client) in crowd.iter_mut().enumerate() {
        client.send(request(&["CLIENT", "ID"]));
        let number = client.integer().to_string();
        if n % 2 == 0 {
            killer.ask(&["CLIENT", "KILL", "ID", &number], ":1\r\n");
        } else {
            let addr = client.tcp().local_addr().expect("a connected socket has an address").to_string();
            killer.ask(&["CLIENT", "KILL", "ADDR", &addr], ":1\r\n");
        }
        client.expect_closed();
    }
    crowd = (0..20).map(|_| server.connect()).collect();
    crowd.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    killer.ask(&["CLIENT", "KILL", "TYPE", "normal"], ":20\r\n");
    crowd.iter_mut().for_each(Client::expect_closed);
    killer.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"], ":1\r\n");
    killer.expect_closed();
}

fn one_connection_too_many_is_told(engine: Engine) {
    let server = Server::with_flags(engine, &["--maxclients", "10", "--threads", "2"]);
    let mut crowd: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    crowd.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    for _ in 0..20 {
        let mut refused = server.connect();
        refused.expect("-ERR max number of clients reached\r\n");
        refused.expect_closed();
    }
    crowd.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    crowd.pop();
    wait_until("the place of one that left is given away", || {
        let mut next = server.connect();
        next.send("PING\r\n");
        next.line() == "+PONG"
    });
}

/// A runtime of this engine registers 1,024 blocks and no more, and each connection needs one to receive into: whoever
/// comes next is told so, whatever `maxclients` says. The other engines have no such bound.
#[cfg(feature = "tokio-uring")]
#[test]
fn a_runtime_out_of_blocks_refuses() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const BLOCKS: usize = 1024;
    if !Engine::TokioUring.is_expected() {
        return;
    }
    // The usual soft limit is 1,024 descriptors, and the clients are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is such a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised that far");
    let server = Server::with_flags(Engine::TokioUring, &["--maxclients", "2000"]);
    let mut crowd: Vec<Client> = (0..BLOCKS).map(|_| server.connect()).collect();
    // One at a time: above 960 connections, sends of others could have the last blocks.
    crowd.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    let mut refused = server.connect();
    refused.expect("-ERR max number of clients reached\r\n");
    refused.expect_closed();
    crowd.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    crowd.pop();
    wait_until("the block of one that left is given away", || {
        let mut next = server.connect();
        next.send("PING\r\n");
        next.line() == "+PONG"
    });
}

fn idle_connections_are_closed_in_time(engine: Engine) {
    let server = Server::with_flags(engine, &["--timeout", "1"]);
    let mut idle = server.connect();
    idle.ask(&["PING"], "+PONG\r\n");
    idle.expect_closed();
    server.connect().ask(&["PING"], "+PONG\r\n");
}
