//! Greedy senders: pipelines without end, read or not. Neighbours have their turn all the same.
//!
//! Fairness is counted, not timed: the server is stopped, the flood is poured into its sockets, neighbours ask how far
//! the flood has come, and only then it goes on. What they are answered is how much of the flood was executed first.

use std::io::{ErrorKind, Write};
use std::thread;

use super::{Belongings, memory, number};
use crate::client::{Arrival, Client, request};
use crate::server::{Engine, PATIENCE, Server, wait_until};

on_every_engine![
    neighbours_wait_for_a_turn_of_a_flood_and_no_longer,
    neighbours_of_many_floods_are_served,
    who_floods_without_reading_is_cut_off,
];

/// Bytes of one connection's requests that are executed in a turn, see `ARCHITECTURE.md`.
const TURN: usize = 64 * 1024;

/// Requests that are decoded together: a turn ends with a whole batch.
const BATCH: usize = 32;

/// Turns of a flood that may pass before a neighbour's: the one under way, the one in which the neighbour starves for
/// want of a block that the flood has, and its own.
const TURNS: usize = 3;

/// A client that pours out requests `INCR <key>` and reads when it is told to.
struct Flood {
    client: Client,
    requests: Vec<u8>,
    each: usize,
    sent: usize,
    read: usize,
}

impl Flood {
    fn new(server: &Server, key: &str) -> Self {
        let client = server.connect();
        let one = request(&["INCR", key]);
        let each = one.len();
        // A whole number of them, so that one buffer follows another.
        Self { client, requests: one.repeat(16 * 1024), each, sent: 0, read: 0 }
    }

    /// Sends until the sockets take no more.
    fn pour(&mut self) {
        self.client.tcp().set_nonblocking(true).expect("a socket can be non-blocking");
        loop {
            let at = self.sent % self.requests.len();
            match self.client.tcp().write(&self.requests[at..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the flood was stopped: {error}"),
            }
        }
        self.client.tcp().set_nonblocking(false).expect("a socket can be blocking");
    }

    /// Whole requests sent so far.
    fn requests(&self) -> usize {
        self.sent / self.each
    }

    /// Reads a reply to every whole request.
    fn read_all(&mut self) {
        let expected: String = (self.read + 1..=self.requests()).map(|n| format!(":{n}\r\n")).collect();
        self.client.follow(expected.as_bytes(), |_| {});
        self.read = self.requests();
    }
}

/// Sets each flood going anew several times, and checks how far it comes before neighbours are answered.
fn check_fairness(engine: Engine, floods: usize, neighbours: usize, rounds: usize) {
    let server = Server::with_flags(engine, &[]);
    let keys: Vec<String> = (0..floods).map(|n| format!("flood:{n}")).collect();
    let mut floods: Vec<Flood> = keys.iter().map(|key| Flood::new(&server, key)).collect();
    let mut neighbours: Vec<Client> = (0..neighbours).map(|_| server.connect()).collect();
    neighbours.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    for round in 0..rounds {
        server.freeze();
        floods.iter_mut().for_each(Flood::pour);
        for client in &mut neighbours {
            keys.iter().for_each(|key| client.send(request(&["INCRBY", key, "0"])));
        }
        server.thaw();
        for flood in &floods {
            let poured = flood.requests() - flood.read;
            let share = TURNS * (TURN / flood.each + BATCH);
            assert!(poured > 2 * share, "{poured} requests are no flood, {share} are a few turns");
            for client in &mut neighbours {
                let executed = usize::try_from(client.integer()).expect("counters are positive");
                let first = executed - flood.read;
                assert!(
                    first <= share,
                    "round {round}: {first} requests of {poured} came before a neighbour's"
                );
            }
        }
        floods.iter_mut().for_each(Flood::read_all);
    }
}

fn neighbours_wait_for_a_turn_of_a_flood_and_no_longer(engine: Engine) {
    check_fairness(engine, 1, 50, 5);
}

fn neighbours_of_many_floods_are_served(engine: Engine) {
    check_fairness(engine, 8, 10, 2);
}

fn who_floods_without_reading_is_cut_off(engine: Engine) {
    const LIMIT_KB: u64 = 8 * 1024;
    let server = Server::with_flags(engine, &["--client-output-buffer-limit", "normal", "8mb", "0", "0"]);
    let mut witness = server.connect();
    witness.ask(&["SET", "k", &"v".repeat(1000)], "+OK\r\n");
    let before = Belongings::of(&server, &mut witness);
    let base = memory(&server);
    let mut mute = server.connect();
    let flood = thread::spawn(move || {
        let many = request(&["GET", "k"]).repeat(10_000);
        while mute.try_send(&many).is_ok() {}
        // What the sockets held still comes; then it is over.
        while let Arrival::Bytes = mute.receive(PATIENCE) {
            mute.take();
        }
    });
    let (mut asked, mut most) = (0, 0);
    wait_until("the client that never reads is gone", || {
        asked += 1;
        witness.ask(&["INCR", "quick"], format!(":{asked}\r\n"));
        most = most.max(memory(&server).saturating_sub(base));
        number(&mut witness, "refused_output_buffer") == 1
    });
    flood.join().expect("the flood ends when its connection does");
    assert!(most < LIMIT_KB + 4096, "{most} KiB were held for it, {LIMIT_KB} KiB are allowed");
    before.expect_back(&server, &mut witness);
}
