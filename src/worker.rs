//! The core that an engine drives: connections in, requests decoded and executed, replies out.
//!
//! Sans-I/O. The engine says what happened (`open`, `handle_*`) between [`Worker::begin_turn`] and
//! [`Worker::end_turn`], and asks what is wanted ([`Worker::next_changed`], [`Worker::wants`]). Here the
//! protocol, the commands, the table and the other workers meet, and nowhere else.
//!
//! A turn: `begin_turn` → bytes, ends and sends that completed → `next_changed` until there is none, each
//! connection's wants applied, so that there is one send per connection and turn → `end_turn`.

mod admission;
mod answers;
mod batch;
mod clients_memory;
mod execute;
mod host;
mod journaling;
mod mail;
mod mailbox;
mod monitor;
mod patience;
mod pause;
mod questions;
mod readings;
mod refusals;
mod safe;
mod saving;
mod scribe;
mod secured;
mod strangers;
mod stream;
mod strikes;
#[cfg(all(test, not(model)))]
mod tests;
mod timing;
mod traffic;
mod upkeep;
mod users;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use slab::Slab;

use crate::buffer::outgoing::OutPool;
use crate::clock::Clock;
use crate::command::session::Session;
use crate::connection::{Client, Connection, Peer, Phase, Spare, Wants};
use crate::limits::{self, Limits};
use crate::metrics::busiest::Vote;
use crate::table::Sweep;
use crate::table::effect::Lsn;
use crate::tls::Profile;

pub use admission::TOO_MANY;
use batch::Batch;
pub use journaling::{Journal, Rest};
pub use mailbox::{Bell, Counts, Dealt, Identity, Message, Post, Settings, Shared, Stats};
pub use monitor::Executed;
use monitor::Monitoring;
use pause::Waiting;
use questions::Questions;
pub use readings::Readings;
pub use saving::{Begun, Busy, Running, SaveFacts, Saves, Wish};
use scribe::Desk;
use timing::Timing;
pub use watch::{Slow, Watch};

/// Names one connection of one worker, for as long as it lives and not a moment longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its slot; slots are reused.
    pub slot: u32,
    /// Differs from that of every recent connection in the same slot.
    pub generation: u32,
}

/// Bytes on their way to a client.
#[derive(Clone, Copy, Debug)]
pub struct Unsent<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Nothing is waiting for them to have left: when that becomes known does not matter.
    pub last: bool,
}

/// What an engine has between two turns: blocks to receive into, and operations that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Blocks there are.
    pub blocks: u32,
    /// Blocks that hold nobody's bytes.
    pub blocks_free: u32,
    /// Fewest blocks that were free at one time.
    pub blocks_low_water: u32,
    /// Operations that are not over.
    pub in_flight: u64,
}

/// Where a connection that was just accepted goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// To this worker.
    Here,
    /// To the worker of this number.
    To(usize),
    /// Nowhere: send this and close.
    Refused(&'static [u8]),
}

/// Bits of a token's generation, so that an engine can put it beside a slot and an operation into 64 bits.
pub const GENERATION_BITS: u32 = 24;

/// One thread's share of the server.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    id: usize,
    clock: Clock,
    mail: Receiver<Message>,
    /// Messages for which the receiver had no room.
    outbox: VecDeque<(usize, Message)>,
    dealt: VecDeque<Dealt>,
    connections: Slab<Connection>,
    generation: u32,
    limits: Limits,
    /// What new connections to the port for that are encrypted with.
    profile: Option<Profile>,
    /// Where their bytes are decrypted to; empty between calls.
    plain: Vec<u8>,
    batch: Batch,
    pool: OutPool,
    spare: Spare,
    /// Bytes freed since the kernel was to be given back what is free.
    released: usize,
    /// Most connections there were since a crowd has gone.
    crowd: usize,
    questions: Questions,
    monitoring: Monitoring,
    /// Its way through the table, what is due there, and whether it has come to an end.
    sweep: Sweep,
    sweeping: bool,
    /// Monotonic milliseconds before which it does not go on, since nothing can be journalled.
    sweep_at_ms: u64,
    /// How the sweep shares time with requests.
    sweep_pace: upkeep::Pace,
    /// Connections whose wants may have changed.
    changed: VecDeque<Token>,
    /// Connections that had their share of the turn.
    throttled: VecDeque<Token>,
    /// What it has for writing to the journal.
    desk: Desk,
    /// Connections whose next request the journal had no space for.
    unwritten: VecDeque<Token>,
    /// Those for whose next request the files are too short: it may change more than a frame in the ring can tell.
    unfiled: VecDeque<Token>,
    /// The first of either has its turn.
    first_in_line: bool,
    /// Connections whose replies wait until what they show is safe, and the least position up to which it was when one of
    /// them was looked at.
    waiting_for: Lsn,
    unsafe_replies: Vec<Token>,
    /// Connections whose replies wait to leave before more is executed.
    stalled: VecDeque<Token>,
    /// Connections whose next request waits for the end of a pause.
    paused: VecDeque<Token>,
    /// Connections whose reply comes later.
    waiting: Vec<Waiting>,
    /// Connections that wait for the end of a snapshot, with its number.
    savers: Vec<(u64, Token)>,
    /// Where replies go that nobody wants.
    scratch: Vec<u8>,
    /// Connections that linger, with the time at which that ends; in order, since all linger equally long.
    lingering: VecDeque<(u64, Token)>,
    /// Connections that had not authenticated when they were opened, with the time by which they must have; in order.
    strangers: VecDeque<(u64, Token)>,
    /// Connections whose next attempt at a password has to wait, in the order of the times until which.
    slowed: VecDeque<(u64, Token)>,
    /// What its connections take, where that is bounded.
    clients_bytes: usize,
    /// Monotonic milliseconds from which on it is logged again that connections cannot be accepted.
    complain_at_ms: u64,
    /// Slots of connections that were ever in use: no connection has a number from here on.
    slots: usize,
    /// Slot at which the search for idle connections goes on, and when.
    idle_at: usize,
    idle_due_ms: u64,
    counts: Counts,
    timing: Timing,
    /// Who sends most commands.
    vote: Vote,
    turn: u32,
    now_ms: u64,
    draining: bool,
    /// Monotonic milliseconds at which draining began, and at which connections are looked at next.
    drain_began_ms: u64,
    drain_due_ms: u64,
}

impl Worker {
    /// The worker of number `id`, reading its mail from `mail`.
    pub fn new(shared: Arc<Shared>, id: usize, clock: Clock, mail: Receiver<Message>) -> Self {
        let limits = shared.settings.limits();
        let now_ms = clock.monotonic_ms();
        Self {
            batch: Batch::new(&shared.table),
            timing: Timing::new(clock.clone(), &limits),
            monitoring: Monitoring::new(clock.clone(), shared.posts.len()),
            profile: shared.settings.tls(),
            plain: Vec::new(),
            shared,
            id,
            clock,
            mail,
            outbox: VecDeque::new(),
            dealt: VecDeque::new(),
            connections: Slab::with_capacity(limits.max_clients),
            generation: 0,
            limits,
            pool: OutPool::default(),
            spare: Spare::default(),
            released: 0,
            crowd: 0,
            questions: Questions::default(),
            sweep: Sweep::of_thread(id),
            sweeping: false,
            sweep_at_ms: 0,
            sweep_pace: upkeep::Pace::default(),
            changed: VecDeque::with_capacity(256),
            throttled: VecDeque::with_capacity(256),
            desk: Desk::of(id),
            unwritten: VecDeque::new(),
            unfiled: VecDeque::new(),
            first_in_line: false,
            waiting_for: Lsn::MAX,
            unsafe_replies: Vec::new(),
            stalled: VecDeque::with_capacity(256),
            paused: VecDeque::new(),
            waiting: Vec::new(),
            savers: Vec::new(),
            scratch: Vec::with_capacity(limits::SCRATCH_BYTES),
            lingering: VecDeque::new(),
            strangers: VecDeque::new(),
            slowed: VecDeque::new(),
            clients_bytes: 0,
            complain_at_ms: 0,
            slots: 0,
            idle_at: 0,
            idle_due_ms: 0,
            counts: Counts::default(),
            vote: Vote::default(),
            turn: 0,
            now_ms,
            draining: false,
            drain_began_ms: 0,
            drain_due_ms: 0,
        }
    }

    /// This worker's number.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Counters that the engine adds to.
    #[inline]
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// What the engine has, to be shown. It says so every turn.
    #[inline]
    pub fn note(&self, resources: Resources) {
        let readings = &self.shared.posts[self.id].readings;
        // Relaxed: for display.
        readings.blocks.store(u64::from(resources.blocks), Ordering::Relaxed);
        readings.blocks_free.store(u64::from(resources.blocks_free), Ordering::Relaxed);
        readings.blocks_low_water.store(u64::from(resources.blocks_low_water), Ordering::Relaxed);
        readings.in_flight.store(resources.in_flight, Ordering::Relaxed);
    }

    /// Monotonic milliseconds at the beginning of this turn.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether the server drains: no connection is to be accepted any more.
    pub fn draining(&self) -> bool {
        self.draining
    }

    /// Whether everything is over: the engine may end.
    pub fn finished(&self) -> bool {
        self.draining && self.connections.is_empty() && self.dealt.is_empty()
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Number of connections with replies that have not left: each has a chain of outgoing blocks.
    pub fn unsent_chains(&self) -> usize {
        self.pool.lent()
    }

    /// A connection that another worker accepted for this one.
    pub fn take_dealt(&mut self) -> Option<Dealt> {
        self.dealt.pop_front()
    }

    /// A connection admitted here is open; `fd` is its engine's number for it, shown by `CLIENT LIST`.
    pub fn open(&mut self, peer: Peer, fd: i32) -> Token {
        self.generation = (self.generation + 1) & ((1 << GENERATION_BITS) - 1);
        let session = Session::new(self.shared.client_id(), &self.shared.users);
        let is_stranger = !session.authenticated;
        let client = Client { peer, fd, since_ms: self.now_ms, active_ms: self.now_ms, last_command: None };
        let mut connection = Connection::new(session, client, self.generation);
        let is_encrypted = self.encrypt(&mut connection);
        self.counts.connections += 1;
        let slot = self.connections.insert(connection);
        self.slots = self.slots.max(slot + 1);
        self.crowd = self.crowd.max(self.connections.len());
        let slot = u32::try_from(slot).expect("connections are counted in descriptors, which fit 31 bits");
        let token = Token { slot, generation: self.generation };
        if is_stranger || is_encrypted {
            self.expect_password(token);
        }
        self.list(token);
        token
    }

    /// The engine has closed a connection and nothing of it is in flight.
    pub fn closed(&mut self, token: Token) {
        if self.streams(token) {
            self.abandon(token.slot as usize, "the client went away");
        }
        let Some(mut connection) = self.take(token) else { return };
        self.discount(&connection);
        self.note_gone();
        connection.input.clear(&mut self.spare);
        connection.session.forget_transaction(&self.shared.table);
        if let Some(outgoing) = connection.outgoing.take() {
            self.pool.recycle(outgoing);
        }
        // Relaxed: counts, as in `admit`.
        self.shared.connected.fetch_sub(1, Ordering::Relaxed);
        self.shared.posts[self.id].connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Begins a turn: reads the clock, gives every connection a new share, and serves those that wait for one.
    pub fn begin_turn(&mut self) {
        self.now_ms = self.clock.monotonic_ms();
        self.turn = self.turn.wrapping_add(1);
        self.counts.turns += 1;
        let post = &self.shared.posts[self.id];
        if post.pace(self.now_ms) {
            post.readings.set_busiest(self.vote.close());
        }
        if self.monitoring.watching {
            self.begin_watched_turn();
        }
        for _ in 0..self.throttled.len() {
            let Some(token) = self.throttled.pop_front() else { break };
            if let Some(connection) = self.get(token) {
                connection.throttled = false;
                self.resume(token);
            }
        }
        self.check_unwritten();
        self.check_unfiled();
        self.check_safe();
        self.check_paused();
        self.check_waiting();
        self.check_saved();
        self.check_stalled();
        self.check_lingering();
        self.check_strangers();
        self.check_slowed();
        self.bound_clients();
        self.check_idle();
        self.check_table();
        self.check_drain();
    }

    /// The next connection whose wants may have changed since it was named last.
    #[inline]
    pub fn next_changed(&mut self) -> Option<Token> {
        loop {
            let Some(token) = self.changed.pop_front() else {
                if self.monitoring.watching && self.report() {
                    continue;
                }
                return None;
            };
            if let Some(connection) = self.get(token) {
                connection.listed = false;
                return Some(token);
            }
        }
    }

    /// What a connection wants. `None`: there is no such connection any more.
    #[inline]
    pub fn wants(&mut self, token: Token) -> Option<Wants> {
        self.account(token);
        let reached = self.shared.reached(self.limits.sync);
        let connection = self.get(token)?;
        let wants = connection.wants(reached);
        if connection.waits_for(reached) && !std::mem::replace(&mut connection.is_unsafe, true) {
            self.unsafe_replies.push(token);
            self.waiting_for = self.waiting_for.min(reached);
        }
        Some(wants)
    }

    /// Whether replies of a connection have not left, be it that they wait or that they are in flight.
    pub fn has_unsent(&mut self, token: Token) -> bool {
        self.get(token).is_some_and(|connection| connection.unsent() > 0)
    }

    /// Lists a connection, because its engine may be able to do now what it wanted before.
    pub fn touch(&mut self, token: Token) {
        self.list(token);
    }

    /// Ends a turn. Returns how long the engine may wait for the next event, `None` = for ever.
    pub fn end_turn(&mut self) -> Option<Duration> {
        debug_assert!(self.changed.is_empty(), "the engine asks for changes until there are none");
        if self.monitoring.watching {
            self.end_watched_turn();
        }
        for _ in 0..self.outbox.len() {
            if let Some((to, message)) = self.outbox.pop_front() {
                self.post(to, message);
            }
        }
        self.shared.posts[self.id].stats.publish(&mut self.counts);
        if !self.pool.errors.is_empty() {
            self.shared.posts[self.id].add_errors(&mut self.pool.errors);
        }
        self.released +=
            self.pool.take_released() + self.spare.take_released() + self.shared.table.take_freed();
        if self.released >= limits::TRIM_BYTES {
            self.released = 0;
            self.shared.ask_for_trim();
        }
        if let Some(ring) = self.shared.ring() {
            // A worker that sleeps, or has ended, would keep from others what it does not need.
            self.desk.leave(ring, !self.unwritten.is_empty() || !self.unfiled.is_empty());
        }
        let is_safe_now = self.call_the_journal();
        self.longest_wait(is_safe_now)
    }

    /// Draws conclusions after anything happened to a connection, and lists it for the engine.
    fn settle(&mut self, token: Token) {
        let until = self.now_ms + limits::LINGER_MS;
        let Some(connection) = self.get(token) else { return };
        if connection.settle() && connection.phase == Phase::Lingering {
            self.lingering.push_back((until, token));
        }
        self.list(token);
    }

    fn list(&mut self, token: Token) {
        if let Some(connection) = self.get(token)
            && !std::mem::replace(&mut connection.listed, true)
        {
            self.changed.push_back(token);
        }
    }

    fn list_all(&mut self) {
        let tokens = self.connections.iter().map(|(slot, connection)| token_of(slot, connection));
        for token in tokens.collect::<Vec<_>>() {
            self.list(token);
        }
    }

    fn reload(&mut self) {
        self.limits = self.shared.settings.limits();
        self.profile = self.shared.settings.tls();
        self.timing.obey(&self.limits);
        self.check_users();
        self.account_for_all();
    }

    #[inline]
    fn get(&mut self, token: Token) -> Option<&mut Connection> {
        self.connections.get_mut(token.slot as usize).filter(|it| it.generation == token.generation)
    }

    fn take(&mut self, token: Token) -> Option<Connection> {
        self.get(token)?;
        self.connections.try_remove(token.slot as usize)
    }
}

fn token_of(slot: usize, connection: &Connection) -> Token {
    let slot = u32::try_from(slot).expect("connections are counted in descriptors, which fit 31 bits");
    Token { slot, generation: connection.generation }
}
