//! A worker by itself, and time that stands still unless it is moved. Knows nothing of what clients send: they are in
//! [`client`](super::client).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tallyring::clock::Clock;
use tallyring::command::acl::{Digest, Users};
use tallyring::command::{ConfigError, Now, RewriteError};
use tallyring::limits::{self, Limits};
use tallyring::table::{Table, Value};
use tallyring::worker::{Identity, Post, Settings, Shared, Worker};

/// The password, where one is set.
pub const PASSWORD: &[u8] = b"pw";

/// When every stage begins, in microseconds since the Unix epoch.
pub const START_US: u64 = 1_800_000_000_000_000;

/// Seed of every table: nothing may depend on it.
const SEED: u64 = 7;

/// A key, its value and its deadline.
pub type Entry = (Vec<u8>, Vec<u8>, Option<u64>);

/// The directives.
struct Fixed {
    limits: Limits,
    password: bool,
}

impl Settings for Fixed {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn get(&self, _: &dyn Fn(&str) -> bool, _: &mut dyn FnMut(&str, &str)) {}

    fn set(&self, _: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        Ok(())
    }

    fn rewrite(&self) -> Result<(), RewriteError> {
        Err(RewriteError::NoFile)
    }

    fn users(&self) -> Arc<Users> {
        Arc::new(Users::new(self.password.then(|| Digest::of(PASSWORD))))
    }
}

/// The usual bounds, with room for a few clients only: a stage is built for every input.
pub fn roomless() -> Limits {
    Limits { max_clients: 8, ..Limits::default() }
}

/// One worker, what it shares with nobody, and its time.
#[derive(Debug)]
pub struct Stage {
    /// The worker.
    pub worker: Worker,
    shared: Arc<Shared>,
    unix_us: Arc<AtomicU64>,
}

impl Stage {
    /// A worker with an empty table.
    pub fn new(limits: Limits, password: bool) -> Self {
        let unix_us = Arc::new(AtomicU64::new(START_US));
        let clock = Clock::virtual_time(Arc::clone(&unix_us));
        let (post, mail) = Post::new(Box::new(|| {}));
        let identity = Identity {
            run_id: "0".repeat(40),
            started: Now { unix_us: START_US },
            started_ms: clock.monotonic_ms(),
            startup_bytes: 0,
            executable: String::new(),
            process: 1,
            port: 6379,
            config_file: String::new(),
            engine: "none",
            rung: String::new(),
            os: String::new(),
        };
        let settings = Box::new(Fixed { limits, password });
        let shared = Arc::new(Shared::new(Table::with_seed(SEED), settings, Box::new([post]), identity));
        Self { worker: Worker::new(Arc::clone(&shared), 0, clock, mail), shared, unix_us }
    }

    /// Lets time pass.
    pub fn pass_ms(&self, ms: u64) {
        // Relaxed: there is one thread.
        self.unix_us.fetch_add(ms * 1000, Ordering::Relaxed);
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.unix_us.load(Ordering::Relaxed) / 1000
    }

    /// The counters.
    pub fn table(&self) -> &Table {
        &self.shared.table
    }

    /// Requests that were worked off while they arrived.
    pub fn streamed(&self) -> u64 {
        self.shared.counts().streamed
    }

    /// Every key, in order.
    pub fn contents(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.table().for_each(&mut |key, value, deadline| {
            let value = match value {
                Value::Int(number) => number.to_string().into_bytes(),
                Value::Str(bytes) => bytes.to_vec(),
                Value::Throttle(time) => format!("throttle {time}").into_bytes(),
                Value::Window(window) => format!("{window:?}").into_bytes(),
                Value::Hash(fields) => format!("{fields:?}").into_bytes(),
            };
            entries.push((key.to_vec(), value, deadline));
        });
        entries.sort_unstable();
        entries
    }

    /// Everybody has gone: nothing may be left of them.
    pub fn is_swept(&mut self) {
        self.pass_ms(limits::LINGER_MS + limits::UNSENT_PATIENCE_MS);
        self.worker.begin_turn();
        assert!(self.worker.next_changed().is_none(), "nobody is there to look at");
        let wait = self.worker.end_turn();
        assert!(
            wait.is_none() || self.table().next_task() < u64::MAX,
            "something but the table is waited for"
        );
        assert_eq!(self.worker.connections(), 0, "slots of connections");
        assert_eq!(self.worker.unsent_chains(), 0, "chains of outgoing blocks");
        // Relaxed: there is one thread.
        assert_eq!(self.shared.connected.load(Ordering::Relaxed), 0, "connections of the server");
        assert_eq!(self.shared.posts[0].connections.load(Ordering::Relaxed), 0, "connections of the worker");
    }
}
