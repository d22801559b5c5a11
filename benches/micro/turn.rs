//! A turn of the core without a socket: bytes in, requests decoded and executed, replies taken out as if they had
//! left.
//!
//! What a server takes per command beyond this is its engine's and the kernel's. A million keys are used in an order
//! in which none comes again before all others have; the requests (34 MB) then come from memory too, where a real
//! receive has just put them into the cache.

use std::sync::Arc;

use tallyring::clock::Clock;
use tallyring::command::{ConfigError, Now};
use tallyring::connection::Peer;
use tallyring::limits::Limits;
use tallyring::table::Table;
use tallyring::worker::{Admission, Identity, Post, Settings, Shared, Token, Worker};

use crate::shuffle::shuffled;
use crate::timing::Bench;

/// Commands of a full turn: what a receive block holds.
const COUNT: u32 = 64;

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    for keys in [1_000, 1_000_000] {
        for count in [COUNT, 1] {
            let name = format!("turn::INCR, {keys} keys, {count} a turn");
            if bench.wants(&name) {
                let mut requests = requests(bench.scaled(keys), count);
                let mut core = Core::new();
                requests.iter_mut().for_each(|block| core.turn(block));
                let blocks = requests.len();
                let mut turn = 0;
                bench.case(&name, count, || {
                    core.turn(&mut requests[turn]);
                    turn = (turn + 1) % blocks;
                });
            }
        }
    }
}

/// Blocks of `count` requests, one for each of `keys` keys in random order but for a rest that fills no block.
fn requests(keys: u32, count: u32) -> Vec<Vec<u8>> {
    let request = |index: &u32| format!("*2\r\n$4\r\nINCR\r\n$14\r\ncounter:{index:06}\r\n").into_bytes();
    let order = shuffled(keys);
    order.chunks_exact(count as usize).map(|block| block.iter().flat_map(request).collect()).collect()
}

/// A worker with one connection.
struct Core {
    worker: Worker,
    token: Token,
}

impl Core {
    fn new() -> Self {
        let (post, mail) = Post::new(Box::new(|| {}));
        let identity = Identity {
            run_id: String::new(),
            started: Now::default(),
            started_ms: 0,
            startup_bytes: 0,
            executable: String::new(),
            process: 0,
            port: 0,
            config_file: String::new(),
            engine: "none",
            rung: String::new(),
            os: String::new(),
        };
        let shared = Shared::new(Table::with_seed(1), Box::new(Defaults), Box::new([post]), identity);
        let mut worker = Worker::new(Arc::new(shared), 0, Clock::system(), mail);
        worker.begin_turn();
        assert_eq!(worker.admit(&Peer::Unix), Admission::Here, "there is no other worker");
        let token = worker.open(Peer::Unix, -1);
        let mut core = Self { worker, token };
        core.finish();
        core
    }

    /// One turn in which the client's `bytes` arrive.
    fn turn(&mut self, bytes: &mut [u8]) {
        self.worker.begin_turn();
        self.worker.handle_bytes(self.token, bytes);
        self.finish();
    }

    /// Does what is wanted, every send at once and whole, and ends the turn.
    fn finish(&mut self) {
        while let Some(token) = self.worker.next_changed() {
            while self.worker.wants(token).is_some_and(|wants| wants.send) {
                let sent = self.worker.start_send(token).map_or(0, |unsent| unsent.bytes.len());
                self.worker.handle_sent(token, sent);
            }
        }
        self.worker.end_turn();
    }
}

/// The directives as they are without a configuration.
struct Defaults;

impl Settings for Defaults {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn get(&self, _: &dyn Fn(&str) -> bool, _: &mut dyn FnMut(&str, &str)) {}

    fn set(&self, _: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        Ok(())
    }

    fn has_password(&self) -> bool {
        false
    }

    fn check_password(&self, _: &[u8]) -> Option<bool> {
        None
    }
}
