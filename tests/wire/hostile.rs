//! Clients that mean harm, or might as well: slow, many, greedy, gone. Whatever they do, others are served, memory
//! follows the bytes that were received, and everything comes back when they are gone.
//!
//! A file per kind of harm. What they share is here: what a server has, what it counts, what may be open at a time.

mod crowd;
mod declared;
mod ends;
mod floods;
mod gigabyte;
mod huge;
mod refusals;
mod slow;

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::Client;
use crate::introspection::info;
use crate::server::{Engine, Server, wait_until};

/// Connections that one runtime of the `tokio-uring` engine serves: it registers so many blocks and no more.
const RUNTIME_BLOCKS: usize = 1024;

/// How many of `wanted` connections one worker of this engine serves beside a few others.
fn served(engine: Engine, wanted: usize) -> usize {
    if engine.name() == "tokio-uring" { wanted.min(RUNTIME_BLOCKS - 24) } else { wanted }
}

/// Bytes of receive blocks that a connection to this engine has for itself.
fn own_block(engine: Engine) -> usize {
    if engine.reads_fixed() { 4096 } else { 0 }
}

/// Lets this process have `count` files open; whoever needs thousands has its turn until the guard is dropped.
#[track_caller]
fn many_files(count: u64) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is such a limit");
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count.max(hard), count.max(hard)).unwrap_or_else(|errno| {
            panic!(
                "this test needs {count} open files, {hard} are allowed: {errno} (remedy: raise `ulimit -Hn`)"
            )
        });
    }
    turn
}

/// A number that `INFO` shows.
#[track_caller]
fn number(client: &mut Client, field: &str) -> u64 {
    let all = info(client, &[]);
    let value = all.get(field).unwrap_or_else(|| panic!("INFO has {field}"));
    value.parse().unwrap_or_else(|_| panic!("{field} is a number, not {value:?}"))
}

/// What a server has in use beside memory.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    connected: u64,
    descriptors: usize,
    blocks_free: u64,
    in_flight: u64,
}

impl Belongings {
    /// As they stand; `client` asks and is among them.
    fn of(server: &Server, client: &mut Client) -> Self {
        Self {
            connected: number(client, "connected_clients"),
            descriptors: server.descriptors(),
            blocks_free: number(client, "blocks_free"),
            in_flight: number(client, "ring_in_flight"),
        }
    }

    /// Everything has come back.
    #[track_caller]
    fn expect_back(&self, server: &Server, client: &mut Client) {
        let mut now = Self::of(server, client);
        wait_until(&format!("connections, files, blocks and operations are as before: {self:?}"), || {
            now = Self::of(server, client);
            now == *self
        });
    }
}

/// KiB of anonymous memory that a server of our own holds.
#[track_caller]
fn memory(server: &Server) -> u64 {
    server.anonymous_kb().expect("a running process has a size")
}
