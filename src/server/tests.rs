//! Engines that read into registered blocks, seen from inside: where the arguments of commands lie, and what has become
//! of a block when the kernel gets it again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::{bell, identity, settings, wanted};
use crate::buffer::witness::{self, Seen};
use crate::clock::Clock;
use crate::config::{AdminPort, Config, EngineChoice, Password};
use crate::engine::{self, Choice, Setup};
use crate::limits;
use crate::table::Table;
use crate::worker::{Message, Post, Shared, Worker};

/// Whether the operator says that this kernel gives no ring.
fn no_ring() -> bool {
    let said = std::env::var_os("TALLYRING_NO_RING").is_some_and(|set| set == "1");
    if said {
        eprintln!("NOT RUN: TALLYRING_NO_RING=1 says that this kernel gives no ring");
    }
    said
}

/// Runs one worker on the engine that `config` asks for, lets `talk` speak to it, and tells what was seen of its
/// memory.
fn watched(config: Config, talk: impl FnOnce(&mut TcpStream)) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket can be told not to block");
    let addr = listener.local_addr().expect("a listener has an address");
    let Choice { engine, seats, .. } =
        engine::choose(&wanted(&Config { threads: 1, ..config.clone() })).expect("the engine can run here");
    let (bell, handle) = bell().expect("there are event descriptors");
    let (post, mail) = Post::new(handle);
    let clock = Clock::system();
    let identity = identity(&config, engine, &clock);
    let settings = settings::Directives::new(config, Password::default(), None);
    let settings = Box::new(Arc::new(settings.expect("there are no users")));
    let shared = Arc::new(Shared::new(Table::new(), settings, Box::new([post]), identity));
    let seat = seats.into_iter().next().expect("one worker was asked for");
    let setup = Setup { listeners: vec![listener.into()], bell };
    let worker = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            witness::watch();
            seat.run(setup, Worker::new(shared, 0, clock, mail)).expect("the engine goes on to the end");
            witness::tell()
        })
    };
    talk(&mut TcpStream::connect(addr).expect("the worker listens"));
    shared.posts[0].send(Message::Drain).expect("the mailbox has room");
    worker.join().expect("the worker does not panic")
}

/// Sends a request and expects this reply.
fn ask(client: &mut TcpStream, request: &str, reply: &str) {
    client.write_all(request.as_bytes()).expect("the worker listens");
    let mut received = vec![0; reply.len()];
    client.read_exact(&mut received).expect("the worker answers");
    assert_eq!(String::from_utf8_lossy(&received), reply);
}

fn arguments_lie_in_registered_memory(config: Config) {
    if no_ring() {
        return;
    }
    let (incr, set) =
        ("*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n");
    let seen = watched(config.clone(), |client| {
        for n in 1..=200 {
            ask(client, incr, &format!(":{n}\r\n"));
            ask(client, set, "+OK\r\n");
        }
    });
    assert_eq!((seen.inside, seen.outside), (200 * (2 + 3), 0), "every argument is read where it arrived");
    if cfg!(debug_assertions) {
        // Each request came alone, and last the end of the stream.
        let received = 200 * (incr.len() + set.len());
        let blocks = 401;
        assert_eq!(seen.poisoned, blocks * limits::BLOCK_BYTES - received, "blocks were lent poisoned");
    }

    // That it is seen when it is otherwise: an argument that does not fit a block is put together elsewhere.
    let value = "v".repeat(limits::BLOCK_BYTES);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
    let seen = watched(config, |client| ask(client, &set, "+OK\r\n"));
    assert_eq!((seen.inside, seen.outside), (0, 3));
}

#[cfg(feature = "uring")]
#[test]
fn arguments_lie_in_registered_memory_on_the_ring() {
    let recv = crate::config::ReceiveMode::Fixed;
    let config =
        Config { engine: EngineChoice::Uring, recv, admin_port: AdminPort::NONE, ..Config::default() };
    arguments_lie_in_registered_memory(config);
}

#[cfg(feature = "tokio-uring")]
#[test]
fn arguments_lie_in_registered_memory_of_a_runtime() {
    let config =
        Config { engine: EngineChoice::TokioUring, admin_port: AdminPort::NONE, ..Config::default() };
    arguments_lie_in_registered_memory(config);
}
