//! `MONITOR`: every worker gathers lines of what it executes, sends them to the workers with connections that monitor,
//! and those put them in the order of time.
//!
//! ```text
//!  worker 0   executes ─▶ lines ──────────────────────────┐
//!  worker 1   executes ─▶ lines ──┐ one message a turn    ├ held: a queue for each worker
//!  worker 2   executes ─▶ lines ──┴───────── mailbox ─────┘ └▶ the earliest first ─▶ connections that monitor
//! ```
//! Without monitors a request pays one branch. `MONITOR` asks all workers, and is answered when each has begun to gather;
//! that it may end is seen by each for itself, from counts that are shared.
//!
//! A line is passed on when no earlier one can come. Each worker says in its [`Feed`] from when on what it executes is,
//! and that it is between two turns. Who merges reads the clock, then what all have said, then its mail: what is
//! executed after that is later than the clock was.
//!
//! Nobody waits for a monitor. Where a mailbox has no room a worker keeps its lines for a while, and then those that
//! monitor there are closed: what they see has no gaps.

mod lines;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use bytes::Bytes;

use super::execute::Scene;
use super::{Message, Post, Token, Worker};
use crate::clock::Clock;
use crate::command::lookup;
use crate::connection::{Client, Phase};
use crate::limits;
use crate::resp::args::Args;
use crate::resp::encode::Encoder;

pub use lines::Executed;
pub(super) use lines::{Feed, Gathering};
use lines::{Held, IDLE, Lines};

/// A worker's part in monitoring.
#[derive(Debug)]
pub(super) struct Monitoring {
    /// It gathers lines.
    pub(super) watching: bool,
    gathering: Gathering,
    /// Its connections that monitor.
    tokens: Vec<Token>,
    /// Lines that wait here, by the worker they came from; empty without monitors.
    held: Vec<VecDeque<Held>>,
    held_bytes: usize,
    /// Monotonic milliseconds since when lines wait.
    held_since_ms: u64,
    /// This turn's lines have been passed on.
    reported: bool,
}

impl Monitoring {
    pub(super) fn new(clock: Clock, workers: usize) -> Self {
        Self {
            watching: false,
            gathering: Gathering::new(clock),
            tokens: Vec::new(),
            held: (0..workers).map(|_| VecDeque::new()).collect(),
            held_bytes: 0,
            held_since_ms: 0,
            reported: false,
        }
    }

    /// Where lines go, if there are to be any.
    #[inline]
    pub(super) fn gathering(&mut self) -> Option<&mut Gathering> {
        self.watching.then_some(&mut self.gathering)
    }

    /// Whether there are lines that have not been passed on.
    pub(super) fn waits(&self) -> bool {
        self.watching && (self.held_bytes > 0 || !self.gathering.lines.ends.is_empty())
    }

    fn hold(&mut self, from: usize, lines: Arc<Lines>, now_ms: u64) {
        if self.held_bytes == 0 {
            self.held_since_ms = now_ms;
        }
        self.held_bytes += lines.text.len();
        self.held[from].push_back(Held { lines, passed: 0 });
    }

    fn forget_held(&mut self) {
        self.held.iter_mut().for_each(VecDeque::clear);
        self.held_bytes = 0;
    }

    /// Takes the lines before which none can come any more, in the order of time: those up to `now_us` for which no
    /// worker without lines here has a lower floor. `all`: those for which one has, too.
    fn merge(&mut self, now_us: u64, floors: &[u64], all: bool) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            let heads = self.held.iter().enumerate();
            let heads = heads.filter_map(|(from, queue)| Some((queue.front()?.next_us(), from)));
            let Some((unix_us, from)) = heads.min() else { break };
            let silent = self.held.iter().zip(floors).filter(|(queue, _)| queue.is_empty());
            let horizon = silent.map(|(_, floor)| *floor).min().unwrap_or(IDLE).min(now_us);
            if unix_us > horizon && !all {
                break;
            }
            let queue = &mut self.held[from];
            let held = queue.front_mut().expect("its next line was found");
            text.extend_from_slice(held.next_text());
            held.passed += 1;
            if held.passed == held.lines.ends.len() {
                self.held_bytes -= held.lines.text.len();
                queue.pop_front();
            }
        }
        text
    }
}

impl Worker {
    fn feed_of(&self, worker: usize) -> &Feed {
        &self.shared.posts[worker].feed
    }

    /// A connection of this worker wants to monitor: all workers will be asked to gather lines.
    pub(super) fn expect_monitor(&self) {
        self.feed_of(self.id).monitors.fetch_add(1, Ordering::Relaxed);
    }

    /// It will not, or does not any more.
    pub(super) fn lose_monitor(&self) {
        self.feed_of(self.id).monitors.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gathers lines from now on.
    pub(super) fn begin_watching(&mut self) {
        if std::mem::replace(&mut self.monitoring.watching, true) {
            return;
        }
        self.monitoring.reported = false;
        self.feed_of(self.id).wake(&self.clock);
        let unix = &mut self.monitoring.gathering.unix;
        unix.clear();
        self.shared.settings.get(&|name| name == "unixsocket", &mut |_, path| unix.push_str(path));
    }

    /// All workers gather lines: a connection is shown them from now on.
    pub(super) fn begin_monitor(&mut self, token: Token) {
        let Some(connection) = self.get(token) else { return self.lose_monitor() };
        connection.session.monitors = true;
        if self.monitoring.tokens.contains(&token) {
            // It was reset a moment ago, and has not been taken off yet.
            self.lose_monitor();
        } else {
            self.monitoring.tokens.push(token);
        }
    }

    /// A turn begins; where nobody monitors any more, no lines are gathered from now on.
    pub(super) fn begin_watched_turn(&mut self) {
        self.monitoring.reported = false;
        if self.shared.posts.iter().any(|post| post.feed.has_monitors()) {
            // Lines that were kept set the floor until they are sent.
            if self.monitoring.gathering.lines.ends.is_empty() {
                self.feed_of(self.id).wake(&self.clock);
            }
            return;
        }
        self.feed_of(self.id).rest(IDLE);
        self.monitoring.watching = false;
        self.monitoring.gathering.lines = Lines::default();
        self.monitoring.forget_held();
    }

    /// A turn ends: what was executed since `report` is sent, too.
    pub(super) fn end_watched_turn(&mut self) {
        self.send_lines();
        let first = self.monitoring.gathering.lines.ends.first();
        self.feed_of(self.id).rest(first.map_or(IDLE, |(unix_us, _)| *unix_us));
    }

    /// Lines of a long turn do not wait for its end.
    pub(super) fn send_many_lines(&mut self) {
        if self.monitoring.gathering.lines.text.len() >= limits::MONITOR_CHUNK_BYTES {
            self.send_lines();
        }
    }

    /// Sends the lines gathered to all with monitors. They are kept where one of those has much to read.
    fn send_lines(&mut self) {
        let (shared, own) = (Arc::clone(&self.shared), self.id);
        let lines = &mut self.monitoring.gathering.lines;
        let bytes = lines.text.len();
        let others = || {
            let posts = shared.posts.iter().enumerate();
            posts.filter(|(id, post)| *id != own && post.feed.has_monitors()).map(|(_, post)| post)
        };
        let is_full = |post: &Post| post.feed.is_full();
        if lines.ends.is_empty() || bytes < limits::MONITOR_BACKLOG_BYTES && others().any(is_full) {
            return;
        }
        let lines = Arc::new(std::mem::take(lines));
        for post in others() {
            let full = is_full(post);
            post.feed.comes(bytes);
            let mail = Message::Executed(Executed { from: own, lines: Arc::clone(&lines) });
            if full || post.send(mail).is_err() {
                post.feed.came(bytes);
                // Relaxed: seen in its next turn or the one after that.
                post.feed.lost.store(true, Ordering::Relaxed);
            }
        }
        if self.feed_of(own).has_monitors() {
            self.monitoring.hold(own, lines, self.now_ms);
        }
    }

    /// Lines of another worker have come.
    pub(super) fn take_lines(&mut self, Executed { from, lines }: Executed) {
        self.feed_of(self.id).came(lines.text.len());
        if self.feed_of(self.id).has_monitors() {
            self.monitoring.hold(from, lines, self.now_ms);
        }
    }

    /// Passes on what was gathered and held, once in each turn, behind all that changed in it. True: there is more to look
    /// at.
    #[cold]
    pub(super) fn report(&mut self) -> bool {
        if std::mem::replace(&mut self.monitoring.reported, true) {
            return false;
        }
        self.send_lines();
        self.forget_monitors();
        if self.monitoring.tokens.is_empty() {
            self.monitoring.forget_held();
            return false;
        }
        let (now_us, floors) = self.horizon();
        self.handle_mail();
        let waited_ms = self.now_ms.saturating_sub(self.monitoring.held_since_ms);
        let all = self.monitoring.held_bytes > 0 && waited_ms >= limits::MONITOR_PATIENCE_MS;
        let text = Bytes::from(self.monitoring.merge(now_us, &floors, all));
        if !text.is_empty() {
            self.monitoring.held_since_ms = self.now_ms;
            for at in 0..self.monitoring.tokens.len() {
                self.show(self.monitoring.tokens[at], &text);
            }
        }
        // Relaxed: pairs with nothing; who sets it again is seen in the next turn.
        let lost = self.feed_of(self.id).lost.swap(false, Ordering::Relaxed);
        if lost || self.monitoring.held_bytes > limits::MONITOR_BACKLOG_BYTES {
            self.close_monitors();
        }
        true
    }

    /// The time before which everything has been executed, and what each worker says of what it has not sent.
    fn horizon(&self) -> (u64, Vec<u64>) {
        let now_us = self.clock.unix_us();
        // SeqCst: pairs with the one in `Feed::wake`.
        fence(Ordering::SeqCst);
        // What this worker has executed is held here already, unless it had to be kept.
        let kept = self.monitoring.gathering.lines.ends.first();
        let own = kept.map_or(now_us, |(unix_us, _)| *unix_us);
        let floors = self.shared.posts.iter().enumerate().map(|(id, post)| {
            // Acquire: pairs with the Release in `Feed::rest`.
            if id == self.id { own } else { post.feed.floor.load(Ordering::Acquire) }
        });
        (now_us, floors.collect())
    }

    /// Takes connections off that do not monitor any more.
    fn forget_monitors(&mut self) {
        let mut tokens = std::mem::take(&mut self.monitoring.tokens);
        tokens.retain(|token| {
            let connection = self.get(*token);
            let stays = connection.is_some_and(|it| it.session.monitors && it.phase == Phase::Open);
            if !stays {
                self.lose_monitor();
            }
            stays
        });
        self.monitoring.tokens = tokens;
    }

    /// Shows lines to a connection that monitors.
    fn show(&mut self, token: Token, text: &Bytes) {
        let (now_ms, slot) = (self.now_ms, token.slot as usize);
        let Self { connections, pool, limits, .. } = self;
        let found = connections.get_mut(slot).filter(|it| it.generation == token.generation);
        let Some(connection) = found.filter(|it| it.session.monitors && it.phase == Phase::Open) else {
            return;
        };
        if connection.session.silence.mutes() {
            return;
        }
        let mut outgoing = connection.take_replies(pool, now_ms);
        let (block, mut spiller) = outgoing.writer(pool);
        Encoder::new(block, &mut spiller, connection.session.protocol).encoded(text.clone());
        connection.give_replies(outgoing, pool);
        if limits.refuse_unsent(connection.unsent()) {
            self.close_overflowing(slot);
        }
        self.settle(token);
    }

    /// Closes all connections that monitor here: not all could be passed on to them.
    fn close_monitors(&mut self) {
        for token in std::mem::take(&mut self.monitoring.tokens) {
            self.lose_monitor();
            let Some(connection) = self.get(token) else { continue };
            connection.phase = Phase::Closing;
            let id = connection.session.id;
            log::warn!(client = id; "closing client id={id}: it monitors more than its worker could take in");
            self.counts.monitor_overflows += 1;
            self.list(token);
        }
        self.monitoring.forget_held();
    }
}

impl Scene<'_> {
    /// How many lines there are; `None`: nobody monitors.
    #[inline]
    pub(super) fn lines(&self) -> Option<usize> {
        self.gathering.as_ref().map(|gathering| gathering.lines.ends.len())
    }

    /// Shows an `EXEC` that was refused, as Redis does: a monitor has seen its `MULTI`. `before`: the lines before it.
    #[cold]
    pub(super) fn show_refused(&mut self, client: &Client, args: Args<'_>, before: usize) {
        if let Some(gathering) = self.gathering.as_deref_mut()
            && gathering.lines.ends.len() == before
            && args.get(0).eq_ignore_ascii_case(b"exec")
            && let Some(command) = lookup::lookup(b"exec")
        {
            gathering.add(client, command, args, None);
        }
    }
}
