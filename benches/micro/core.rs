//! The core as an engine without sockets drives it: bytes in, replies out as if they had left at once.

use std::sync::Arc;

use tallyring::clock::Clock;
use tallyring::command::acl::Users;
use tallyring::command::{ConfigError, Now, RewriteError};
use tallyring::connection::Peer;
use tallyring::limits::Limits;
use tallyring::table::Table;
use tallyring::worker::{Admission, Identity, Post, Settings, Shared, Token, Worker};

/// A worker with one connection.
pub(crate) struct Core {
    worker: Worker,
    token: Token,
}

impl Core {
    /// A fresh table, and one client of it.
    pub(crate) fn new() -> Self {
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
    pub(crate) fn turn(&mut self, bytes: &mut [u8]) {
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

    fn rewrite(&self) -> Result<(), RewriteError> {
        Err(RewriteError::NoFile)
    }

    fn users(&self) -> Arc<Users> {
        Arc::new(Users::new(None))
    }
}
