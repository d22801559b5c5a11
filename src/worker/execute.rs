//! From bytes to replies: what waits is decoded batch by batch and executed, until a request has to wait.

use std::sync::Arc;

use super::answers::{Unwanted, no_space};
use super::batch::{Request, Stop};
use super::host::CallHost;
use super::mailbox::{Counts, Shared};
use super::monitor::Gathering;
use super::pause::Waiting;
use super::scribe::{Changes, Desk, Extent, Space};
use super::timing::Timing;
use super::{Token, Worker, token_of};
use crate::buffer::outgoing::{OutPool, Outgoing};
use crate::buffer::witness;
use crate::command::client_list::Question;
use crate::command::flow::Silence;
use crate::command::monitor::bars;
use crate::command::queue::Admission;
use crate::command::recorded::recorded;
use crate::command::resolve::permit;
use crate::command::texts::LOADING;
use crate::command::transaction::no_memory;
use crate::command::{Awaited, Call, Command, Flags, Keys, Now, Outcome, Parts, Tally};
use crate::connection::{Connection, Phase};
use crate::journal::ring::Ring;
use crate::limits::{self, Limits};
use crate::resp::args::Args;
use crate::resp::decode::{Framing, ProtocolError, Rules};
use crate::resp::encode::{Encoder, Spill};
use crate::table::KeyHash;
use crate::table::effect::EFFECT_BYTES;

impl Worker {
    /// Executes what waits in a connection's carry, if it may.
    pub(super) fn resume(&mut self, token: Token) {
        let Some(connection) = self.get(token) else { return };
        if connection.runnable() && !connection.input.is_empty() {
            let (mut carry, consumed) = connection.input.take();
            let used = self.execute(token, &mut carry[consumed..]);
            let connection = self.connections.get_mut(token.slot as usize).expect("executing closes no slot");
            match connection.phase {
                Phase::Open => connection.input.put_back(carry, consumed + used, &mut self.spare),
                _ => connection.input.put_back(carry, 0, &mut self.spare),
            }
            if connection.phase != Phase::Open {
                connection.input.clear(&mut self.spare);
            }
        }
        self.settle(token);
    }

    /// Keeps bytes that could not be executed yet.
    pub(super) fn keep(&mut self, token: Token, bytes: &[u8]) {
        let most = self.limits.query_buffer;
        let slot = token.slot as usize;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.phase != Phase::Open || bytes.is_empty() {
            return;
        }
        if connection.input.len() + bytes.len() > most {
            let client = connection.session.id;
            log::warn!(
                client, limit = most;
                "closing client id={client}: its request is larger than client-query-buffer-limit ({most} bytes)"
            );
            self.counts.query_overflows += 1;
            self.refuse(token, b"ERR Protocol error: request is larger than client-query-buffer-limit");
            return;
        }
        connection.input.keep(bytes, &mut self.spare);
    }

    /// Executes requests from the start of `input` until it ends, a request has to wait, or the connection had
    /// its share. Returns the bytes that are done with.
    pub(super) fn execute(&mut self, token: Token, input: &mut [u8]) -> usize {
        let mut used = 0;
        loop {
            if self.streams(token) {
                used += self.execute_parts(token.slot as usize, &input[used..]);
                if !self
                    .get(token)
                    .is_some_and(|connection| connection.runnable() && connection.stream.is_none())
                {
                    return used;
                }
            }
            let before = self.counts.commands;
            let (bytes, question) = self.execute_batches(token.slot as usize, &mut input[used..]);
            let client = self.connections[token.slot as usize].session.id;
            self.vote.note(client, self.counts.commands - before);
            used += bytes;
            if self.monitoring.watching {
                self.send_many_lines();
            }
            let goes_on = question.is_some_and(|question| self.ask(token, question));
            if !goes_on {
                return used;
            }
        }
    }

    fn execute_batches(&mut self, slot: usize, input: &mut [u8]) -> (usize, Option<Question>) {
        let rules = self.rules(slot);
        let waits_in_line = self.line_up();
        let Self { connections, batch, pool, shared, counts, limits, .. } = self;
        let connection = connections.get_mut(slot).expect("the caller found it");
        connection.begin_share(self.turn);
        let mut outgoing = connection.take_replies(pool, self.now_ms);
        let mut used = 0;
        let mut scene = Scene {
            shared,
            counts,
            pool,
            id: self.id,
            now_ms: self.now_ms,
            limits,
            reload: false,
            scratch: &mut self.scratch,
            desk: &mut self.desk,
            ring: shared.ring(),
            timing: &mut self.timing,
            gathering: self.monitoring.gathering(),
        };
        let why = 'batches: loop {
            let budget = limits::TURN_BYTES.saturating_sub(connection.turn_bytes as usize);
            if budget == 0 {
                break Why::Throttled;
            }
            // The first of a batch may have been `AUTH`.
            let rules = Rules { authenticated: connection.session.authenticated, ..rules };
            let rest = &mut input[used..];
            scene.timing.begin();
            let stop = batch.fill(&mut connection.framing, rest, &rules, budget, &scene.shared.table);
            scene.timing.decoded(batch.len());
            let now = Now { unix_us: self.clock.unix_us() };
            for index in 0..batch.len() {
                let request = batch.request(index);
                let args = batch.args(&request, rest);
                let held_back = scene.held_back(connection, &request, &args, (self.draining, waits_in_line));
                let why = if let Some(why) = held_back {
                    why
                } else {
                    connection.turn_bytes = connection.turn_bytes.saturating_add(request.len());
                    match scene.run(connection, &request, args, now, &mut outgoing) {
                        Outcome::Done if outgoing.unsent() <= limits::UNSENT_SOFT => continue,
                        // More than the operator allows, which is judged by `conclude`.
                        Outcome::Done if limits.refuse_unsent(outgoing.unsent()) => Why::Over,
                        Outcome::Done if connection.overrun => continue,
                        Outcome::Done => Why::Stalled,
                        Outcome::Close => Why::Ends(Phase::Finishing),
                        Outcome::Drop => Why::Ends(Phase::Closing),
                        Outcome::Pending(question) => Why::Asks(question),
                        Outcome::Later(awaited, ms) => Why::Waits(awaited, ms),
                        Outcome::Saved(number) => Why::Saves(number),
                        Outcome::Unwritten => Why::Unfiled,
                    }
                };
                // What was decoded behind this request is decoded again when its time comes; and it itself, if it waits.
                connection.framing = Framing::default();
                used += batch.leave(&request, rest, why.holds_back());
                break 'batches why;
            }
            used += batch.bytes;
            match stop {
                Stop::Full if used < input.len() => {}
                Stop::Full | Stop::Incomplete => break Why::Over,
                Stop::Malformed(error) => break Why::Malformed(error),
            }
        };
        let reload = scene.reload;
        let question = self.conclude(slot, outgoing, why);
        if reload {
            self.reload();
        }
        (used, question)
    }

    /// Whether others wait for space in the journal, before whom no request that writes is executed. Those that wait for
    /// longer files are before those alone that want such.
    #[inline]
    pub(super) fn line_up(&mut self) -> bool {
        self.desk.line_up(!self.unfiled.is_empty() && !self.first_in_line);
        !self.unwritten.is_empty() && !self.first_in_line
    }

    /// Gives a connection its replies back, closes it if these are too many, and does what has to be done before its
    /// next request. Gives the question that this is.
    fn conclude(&mut self, slot: usize, outgoing: Box<Outgoing>, why: Why) -> Option<Question> {
        self.timing.settle(&self.shared.posts[self.id].meters);
        let Self { connections, pool, limits, .. } = self;
        let connection = connections.get_mut(slot).expect("the caller found it");
        connection.give_replies(outgoing, pool);
        let (token, overflows) = (token_of(slot, connection), limits.refuse_unsent(connection.unsent()));
        match why {
            Why::Over => {}
            Why::Malformed(_) if overflows => {}
            Why::Malformed(error) => self.refuse_malformed(token, error, ""),
            Why::Throttled => {
                connection.throttled = true;
                self.throttled.push_back(token);
            }
            Why::Unwritten => {
                connection.throttled = true;
                self.unwritten.push_back(token);
            }
            Why::Unfiled => {
                connection.throttled = true;
                self.unfiled.push_back(token);
            }
            Why::Stalled => {
                connection.stalled = true;
                self.stalled.push_back(token);
            }
            Why::Paused => self.pause(token),
            Why::Slowed(ms) => {
                connection.throttled = true;
                self.slow_down(token, ms);
            }
            Why::Ends(phase) => connection.phase = phase,
            Why::Waits(awaited, ms) => {
                connection.pending = true;
                let until = ms.map_or(u64::MAX, |ms| self.now_ms.saturating_add(ms));
                let lsn = connection.wait;
                self.waiting.push(Waiting { until, token, awaited, lsn });
                if awaited == Awaited::Journal
                    && let Some(journal) = self.shared.journal()
                {
                    journal.want_sync(lsn);
                }
            }
            Why::Saves(number) => {
                connection.pending = true;
                self.savers.push((number, token));
            }
            Why::Asks(question) => {
                if overflows {
                    self.close_overflowing(slot);
                }
                return Some(question);
            }
        }
        if overflows {
            self.close_overflowing(slot);
        }
        None
    }

    /// Closes a connection whose client does not take its replies.
    pub(super) fn close_overflowing(&mut self, slot: usize) {
        let connection = self.connections.get_mut(slot).expect("the caller found it");
        let (id, unsent, most) = (connection.session.id, connection.unsent(), self.limits.output_buffer);
        log::warn!(
            client = id, bytes = unsent, limit = most;
            "closing client id={id}: {unsent} bytes of replies wait, client-output-buffer-limit is {most}"
        );
        self.counts.output_overflows += 1;
        connection.phase = Phase::Closing;
    }
}

/// Why no more requests of a connection are executed for now.
enum Why {
    /// There is none.
    Over,
    /// What follows is no request.
    Malformed(ProtocolError),
    /// It had its share of the turn.
    Throttled,
    /// The journal has no space for its next request, and will have in a moment.
    Unwritten,
    /// It will, once its files are longer.
    Unfiled,
    /// Its replies have to leave first.
    Stalled,
    /// The next one has to wait for the end of a pause.
    Paused,
    /// The next one, which gives a password, has to wait so many milliseconds.
    Slowed(u64),
    /// The last one was its last.
    Ends(Phase),
    /// The last one's reply comes when this is there, or after so many milliseconds, `None` = never.
    Waits(Awaited, Option<u64>),
    /// The last one's reply comes when the snapshot of this number is over.
    Saves(u64),
    /// The last one's reply is the answer to this.
    Asks(Question),
}

impl Why {
    /// Whether the next request was not executed.
    fn holds_back(&self) -> bool {
        matches!(self, Self::Unwritten | Self::Unfiled | Self::Paused | Self::Slowed(_))
    }
}

/// Arguments of a request with one key, up to which that stands in three effects at most.
const USUAL_ARGUMENTS: usize = 4;

/// What a command runs in, besides its connection.
pub(super) struct Scene<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) counts: &'a mut Counts,
    pub(super) pool: &'a mut OutPool,
    pub(super) id: usize,
    pub(super) now_ms: u64,
    pub(super) limits: &'a Limits,
    /// A directive was changed.
    pub(super) reload: bool,
    /// Where replies go that nobody wants.
    pub(super) scratch: &'a mut Vec<u8>,
    /// What the worker has for writing to the journal.
    pub(super) desk: &'a mut Desk,
    /// The way there, if there is a journal.
    pub(super) ring: Option<&'a Ring>,
    /// What commands are timed with.
    pub(super) timing: &'a mut Timing,
    /// Where lines for those who monitor go, if there are any.
    pub(super) gathering: Option<&'a mut Gathering>,
}

impl Scene<'_> {
    /// Why a request is not executed yet.
    #[inline]
    fn held_back(
        &mut self,
        connection: &Connection,
        request: &Request,
        args: &Args<'_>,
        (draining, waits_in_line): (bool, bool),
    ) -> Option<Why> {
        if !draining && self.must_wait(connection, request, args) {
            return Some(Why::Paused);
        }
        if let Some(ms) = self.slowed(connection, request.command, args) {
            return Some(Why::Slowed(ms));
        }
        match self.space(connection, request, args, waits_in_line) {
            Space::Enough | Space::Refused => None,
            Space::Soon => Some(Why::Unwritten),
            Space::Later => Some(Why::Unfiled),
        }
    }

    /// Whether a request has to wait for the end of a pause. One that is refused anyway has not.
    #[inline]
    fn must_wait(&self, connection: &Connection, request: &Request, args: &Args<'_>) -> bool {
        self.shared.pause.is_set()
            && request.command.is_some_and(|command| {
                permit(&connection.session, command, args).is_ok()
                    && self.shared.pause.holds_back(command, &connection.session, self.now_ms)
            })
    }

    /// Obtains space in the journal for what a request may change.
    #[inline]
    fn space(
        &mut self,
        connection: &Connection,
        request: &Request,
        args: &Args<'_>,
        waits_in_line: bool,
    ) -> Space {
        let Some(ring) = self.ring else { return Space::Enough };
        let Some(command) = request.command else { return Space::Enough };
        let extent = if command.flags.has(Flags::WRITE) {
            // The usual: a key may go, be set, and have a token; that of a hash stands before each of its fields.
            let fields = if request.count() > USUAL_ARGUMENTS && command.keys == Keys::ONE {
                request.count() * args.get(1).len()
            } else {
                0
            };
            let bytes = 3 * request.len() as usize + EFFECT_BYTES * request.count() + fields;
            Extent::Writes(if bytes as u64 <= ring.longest() { bytes } else { recorded(command, args) })
        } else if connection.session.writes(command) {
            Extent::Writes(connection.session.recorded())
        } else {
            Extent::Looks
        };
        if waits_in_line && extent != Extent::Looks { Space::Soon } else { self.desk.prepare(ring, extent) }
    }

    /// Runs one request of a batch, or refuses it.
    #[inline]
    fn run(
        &mut self,
        connection: &mut Connection,
        request: &Request,
        args: Args<'_>,
        now: Now,
        outgoing: &mut Outgoing,
    ) -> Outcome {
        let muted = connection.session.silence.mutes();
        let before = self.lines();
        let outcome = self.dispatch(connection, request, args, now, outgoing);
        if let Some(before) = before.filter(|_| !matches!(outcome, Outcome::Unwritten)) {
            self.show_refused(&connection.client, args, before);
        }
        let mark = self.timing.take_mark();
        match outcome {
            Outcome::Done | Outcome::Close if muted => {
                drop(self.timing.take_within());
            }
            Outcome::Done | Outcome::Close => {
                if let Some((number, since)) = mark {
                    self.timing.take_within().for_each(|within| outgoing.mark(within, since));
                    outgoing.mark(number, since);
                }
            }
            // A reply that is still to come is the one that counts.
            Outcome::Pending(_) | Outcome::Later(..) | Outcome::Saved(_) => {
                connection.late = mark.unwrap_or_default();
                return outcome;
            }
            Outcome::Drop => {}
            // Nothing was done: it is run again.
            Outcome::Unwritten => return outcome,
        }
        if connection.session.silence != Silence::None {
            connection.session.silence = connection.session.silence.after();
        }
        outcome
    }

    #[inline]
    fn dispatch(
        &mut self,
        connection: &mut Connection,
        request: &Request,
        args: Args<'_>,
        now: Now,
        outgoing: &mut Outgoing,
    ) -> Outcome {
        self.counts.commands += 1;
        // What streams is not kept, unless it waits for its transaction.
        let kept =
            |command: &Command| !command.flags.has(Flags::STREAMS) || connection.session.queue().is_some();
        if args.len() > self.limits.max_args && request.command.is_none_or(kept) {
            self.counts.note_malformed(ProtocolError::InvalidCount);
            self.refuse(connection, outgoing, |reply| {
                let mut text = Vec::with_capacity(64);
                ProtocolError::InvalidCount.write(&mut text);
                reply.error(text);
            });
            return Outcome::Close;
        }
        let Some(command) = request.command else {
            return self.refuse_unresolved(connection, &args, outgoing);
        };
        if self.shared.is_loading() && !command.flags.has(Flags::LOADING) {
            return self.reject(connection, command, outgoing, |reply| reply.error(LOADING));
        }
        if !connection.session.refresh(&self.shared.users) {
            // Its user is gone, and with it the right to an answer; those before have theirs.
            return Outcome::Close;
        }
        if let Err(forbidden) = permit(&connection.session, command, &args) {
            self.notes(now).forbidden(forbidden, (&connection.session, &connection.client), (command, &args));
            return self.reject(connection, command, outgoing, |reply| reply.error(forbidden.text(command)));
        }
        connection.client.last_command = Some(command);
        if self.lacks_memory(connection.session.needs_memory(command), now) {
            return self.reject(connection, command, outgoing, |reply| reply.error_parts(no_memory(command)));
        }
        if let Some(errno) = self.desk.refused() {
            let text = no_space(command, errno);
            return self.reject(connection, command, outgoing, |reply| reply.error_parts(text));
        }
        if let Some(text) = bars(&connection.session, command) {
            return self.reject(connection, command, outgoing, |reply| reply.error(text));
        }
        match connection.session.admit(command, &args, self.limits.query_buffer) {
            Admission::Run => {
                let outcome = self.call(connection, command, args, (request.hash, now), outgoing, None);
                let lacks = matches!(outcome, Outcome::Unwritten);
                if lacks { self.lacks_files(connection, command, outgoing) } else { outcome }
            }
            Admission::Queued => {
                self.reply(connection, outgoing, |reply| reply.simple("QUEUED"));
                Outcome::Done
            }
            Admission::Refused(text) => {
                self.count_rejected(command);
                self.refuse(connection, outgoing, |reply| reply.error(text))
            }
            Admission::Full => {
                let (client, limit) = (connection.session.id, self.limits.query_buffer);
                log::warn!(
                    client, limit;
                    "closing client id={client}: its transaction is larger than client-query-buffer-limit ({limit} bytes)"
                );
                self.counts.query_overflows += 1;
                self.refuse(connection, outgoing, |reply| {
                    reply.error("ERR Protocol error: transaction is larger than client-query-buffer-limit");
                });
                Outcome::Close
            }
        }
    }

    /// Runs a command on its arguments, or on a part of them. `hashed` is the first key's hash, where it is known.
    #[inline]
    pub(super) fn call(
        &mut self,
        connection: &mut Connection,
        command: &'static Command,
        args: Args<'_>,
        (hashed, now): (Option<KeyHash>, Now),
        outgoing: &mut Outgoing,
        parts: Option<&mut Parts>,
    ) -> Outcome {
        if cfg!(test) {
            args.tail(0).for_each(witness::argument);
        }
        let muted = connection.session.silence.mutes();
        let border = self.timing.border;
        let meters = &self.shared.posts[self.id].meters;
        let (block, mut spiller) = outgoing.writer(self.pool);
        let mut unwanted = Unwanted::default();
        let (block, spill): (&mut Vec<u8>, &mut dyn Spill) =
            if muted { (self.scratch, &mut unwanted) } else { (block, &mut spiller) };
        let reply = Encoder::new(block, spill, connection.session.protocol);
        let mut host = CallHost {
            shared: self.shared,
            client: &connection.client,
            id: self.id,
            limits: self.limits,
            now_ms: self.now_ms,
            wait: connection.wait,
            reload: &mut self.reload,
            timing: self.timing,
            meters,
            gathering: self.gathering.as_deref_mut(),
        };
        // Of a request in parts the first is shown.
        let declared = parts.as_ref().map(|parts| parts.count);
        let shown = parts.as_ref().is_none_or(|parts| parts.done == 1);
        let mut tally = Tally::default();
        let mut call = Call {
            command,
            args,
            hashed,
            now,
            table: &self.shared.table,
            session: &mut connection.session,
            reply,
            effects: &mut Changes { count: &mut self.counts.changes, desk: self.desk, ring: self.ring },
            host: &mut host,
            tally: &mut tally,
            wait: 0,
            parts,
            held: None,
        };
        let outcome = (command.run)(&mut call);
        connection.wait = connection.wait.max(call.wait);
        if matches!(outcome, Outcome::Unwritten) {
            return outcome;
        }
        let errors = call.reply.errors();
        match call.parts {
            Some(parts) => parts.failed |= errors > 0,
            None => {
                let nanos = self.timing.lap_all(border);
                self.timing.served(meters, command, nanos, errors > 0);
                if self.timing.is_slow(nanos) || self.reload {
                    self.note_slow(connection, command, (args, false), nanos);
                }
            }
        }
        self.counts.errors += u64::from(errors);
        self.add(&tally, connection);
        if let Some(gathering) = self.gathering.as_deref_mut().filter(|_| shown) {
            gathering.add(&connection.client, command, args, declared);
        }
        if muted {
            self.pool.errors.take_from(&mut unwanted.0);
            self.forget_reply(connection, outgoing);
        }
        outcome
    }

    /// Adds up what a command has counted on the side.
    #[inline]
    fn add(&mut self, tally: &Tally, connection: &mut Connection) {
        self.counts.hits += tally.hits;
        self.counts.misses += tally.misses;
        self.counts.unauthenticated += tally.unauthenticated;
        if tally.wrong_passwords > 0 {
            self.counts.wrong_passwords += tally.wrong_passwords;
            // Whoever has waited has spent one by that; a transaction may hold several.
            let spent = u64::from(std::mem::take(&mut connection.waited));
            for _ in spent..tally.wrong_passwords {
                self.shared.strikes.count(&connection.client.peer, self.now_ms);
            }
        }
    }
}
