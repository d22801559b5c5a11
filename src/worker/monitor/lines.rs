//! Lines for those who monitor: how a worker gathers its own, how they travel, and what is known of those to come.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crate::clock::Clock;
use crate::command::Command;
use crate::command::monitor::{Shown, is_shown};
use crate::connection::Client;
use crate::limits;
use crate::resp::args::Args;

/// What others have to know of a worker for this.
#[derive(Debug)]
pub(in crate::worker) struct Feed {
    /// Its connections that monitor, or are about to.
    pub(super) monitors: AtomicUsize,
    /// Microseconds since the epoch: what it has not sent yet is not earlier. [`IDLE`]: it is between two turns.
    pub(super) floor: AtomicU64,
    /// Messages with lines in its mailbox, and their bytes.
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Lines for it were dropped.
    pub(super) lost: AtomicBool,
}

/// Floor of a worker that executes nothing before it says so.
pub(super) const IDLE: u64 = u64::MAX;

impl Default for Feed {
    fn default() -> Self {
        Self {
            monitors: AtomicUsize::new(0),
            floor: AtomicU64::new(IDLE),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        }
    }
}

impl Feed {
    // Relaxed, in all of these: counts. That there is a monitor is known from its worker's question, and that there is
    // none any more may be seen late.

    pub(super) fn has_monitors(&self) -> bool {
        self.monitors.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.load(Ordering::Relaxed) >= limits::MONITOR_MESSAGES
            || self.bytes.load(Ordering::Relaxed) >= limits::MONITOR_BACKLOG_BYTES
    }

    pub(super) fn comes(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn came(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A turn begins: what is executed from now on is not earlier than `clock` is after this was said.
    pub(super) fn wake(&self, clock: &Clock) {
        self.floor.store(0, Ordering::Relaxed);
        // SeqCst: pairs with the one in `Worker::horizon`. Who has not seen this store has read the clock before us.
        fence(Ordering::SeqCst);
        self.floor.store(clock.unix_us(), Ordering::Relaxed);
    }

    /// What has not been sent is not earlier than this.
    pub(super) fn rest(&self, floor: u64) {
        // Release: pairs with the Acquire in `Worker::horizon`; what was sent before is found in the mailbox.
        self.floor.store(floor, Ordering::Release);
    }
}

/// Lines of what one worker executed, in order.
#[derive(Debug, Default)]
pub(in crate::worker) struct Lines {
    pub(super) text: Vec<u8>,
    /// When each was executed, in microseconds since the epoch, and where it ends.
    pub(super) ends: Vec<(u64, usize)>,
}

/// What a worker sends to those with monitors.
#[derive(Debug)]
pub struct Executed {
    pub(super) from: usize,
    pub(super) lines: Arc<Lines>,
}

/// Lines as they are made.
#[derive(Debug)]
pub(in crate::worker) struct Gathering {
    clock: Clock,
    /// Path of the Unix socket, by which its clients are shown.
    pub(super) unix: String,
    pub(super) lines: Lines,
}

impl Gathering {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, unix: String::new(), lines: Lines::default() }
    }

    /// A request was executed.
    pub(in crate::worker) fn add(
        &mut self,
        client: &Client,
        command: &'static Command,
        args: Args<'_>,
        declared: Option<usize>,
    ) {
        if !is_shown(command) {
            return;
        }
        let Self { clock, unix, lines } = self;
        let unix_us = clock.unix_us();
        let shown = Shown {
            unix_us,
            // What is executed in parts has lost its name by now.
            name: declared.is_some().then_some(command.name),
            args,
            count: declared.unwrap_or(args.len()),
        };
        shown.line(&mut lines.text, |out| {
            match client.peer.ends() {
                Some((remote, _)) => write!(out, "{remote}"),
                None => write!(out, "unix:{unix}"),
            }
            .expect("writing to memory does not fail");
        });
        lines.ends.push((unix_us, lines.text.len()));
    }
}

/// Lines of a worker that wait for earlier ones of others, and how many of them have been passed on.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lines: Arc<Lines>,
    pub(super) passed: usize,
}

impl Held {
    pub(super) fn next_us(&self) -> u64 {
        self.lines.ends[self.passed].0
    }

    pub(super) fn next_text(&self) -> &[u8] {
        let start = self.passed.checked_sub(1).map_or(0, |before| self.lines.ends[before].1);
        &self.lines.text[start..self.lines.ends[self.passed].1]
    }
}
