//! Requests too large to be held: executed while they arrive, or dropped while they arrive.
//!
//! A multibulk request of which [`limits::Limits::stream_threshold`] bytes are there and which is not complete is
//! looked at with every block until its first arguments tell what it is:
//!
//! - **refused** (no such command, arity, permission): its bytes are dropped as they come, and the error leaves when
//!   the last of them has come, so that framing and order of replies are as for any other request; or
//! - one whose keys stand on their own (`MGET`, `DEL`, `MINCRBY` …): its complete arguments are executed and dropped; or
//! - held until it is complete, as all others.
//!
//! What was executed stays executed if the client goes away or sends something malformed.

use super::answers::no_space;
use super::execute::Scene;
use super::scribe::{Desk, Extent, Space};
use super::users::{Judged, Notes};
use super::{Shared, Token, Worker, token_of};
use crate::command::resolve::{foresee, long_key, long_key_error};
use crate::command::texts::MISCONF;
use crate::command::{Command, Flags, Now, Parts};
use crate::connection::{Connection, Phase, Stream};
use crate::limits;
use crate::resp::args::Args;
use crate::resp::codes::code_of;
use crate::resp::decode::{Framing, Part, ProtocolError, Rules, part, rewind};
use crate::resp::encode::{Encoder, Protocol, Spill};
use crate::table::effect::EFFECT_BYTES;

/// How a part ended.
enum Ended {
    /// More bytes are needed.
    Incomplete,
    /// The connection had its share of the turn, or its replies have to leave first.
    Full,
    /// The request is over.
    Complete,
    /// What came is not the protocol.
    Malformed(ProtocolError),
    /// Its next key is of so many bytes.
    LongKey(usize),
    /// The disk has no space for what it would change.
    NoSpace,
}

impl Worker {
    /// Decides whether the incomplete request at the start of a connection's carry is worked off as it arrives. True:
    /// it is from now on.
    pub(super) fn begin_stream(&mut self, slot: usize) -> bool {
        let rules = self.rules(slot);
        let Self { connections, batch, limits, counts, shared, .. } = self;
        let connection = connections.get_mut(slot).expect("the caller found it");
        if !connection.is_large(limits.stream_threshold) {
            return false;
        }
        let carry = connection.input.waiting();
        let mut framing = connection.framing;
        if !rewind(&mut framing, carry, &rules) {
            return false;
        }
        let declared = framing.declared();
        let spans = batch.scratch();
        let start = framing;
        let seen = part(&mut framing, carry, spans, (1, limits::SPANS), &rules);
        // Malformed further on: found by the decoder where it stands.
        if !matches!(seen, Part::Arguments { .. }) || spans.is_empty() {
            return false;
        }
        let seen = Args::new(carry, spans, spans.len());
        let stream = match foresee(&seen, declared) {
            Ok(Some(command)) => {
                let unix_ms = self.clock.unix_us() / 1000;
                let (now_ms, most) = (self.now_ms, limits.denials);
                let notes = Notes { shared, counts, now_ms, unix_ms, most };
                match notes.judge((&mut connection.session, &connection.client), (command, &seen), declared) {
                    Judged::Early => return false,
                    Judged::Gone => {
                        connection.phase = Phase::Closing;
                        return false;
                    }
                    Judged::Refused(text) => Stream::Refused(encoded(|reply| reply.error(text))),
                    // What waits for its transaction is held; and what is refused for one key is refused for all.
                    Judged::Fine
                        if command.flags.has(Flags::STREAMS)
                            && connection.session.queue().is_none()
                            && !connection.session.user.is_about_keys() =>
                    {
                        let parts = Parts { count: declared, done: 1, ..Parts::default() };
                        let refusal = lacking(&mut self.desk, &self.shared, command, carry.len());
                        refusal.map_or(Stream::Parts { command, parts }, Stream::Refused)
                    }
                    Judged::Fine if declared <= limits.max_args => {
                        connection.framing.hold();
                        return false;
                    }
                    Judged::Fine => {
                        let token = token_of(slot, connection);
                        self.refuse_malformed(token, ProtocolError::InvalidCount, "");
                        return false;
                    }
                }
            }
            Ok(None) => return false,
            Err(refusal) => {
                counts.note_refused(&refusal);
                Stream::Refused(encoded(|reply| refusal.encode(reply)))
            }
        };
        counts.streamed += 1;
        // The name is done with; what follows is decoded again, part by part.
        let mut framing = start;
        spans.clear();
        let Part::Arguments { bytes, .. } = part(&mut framing, carry, spans, (1, 1), &rules) else {
            unreachable!("the name was decoded a moment ago");
        };
        connection.framing = framing;
        connection.input.skip(bytes);
        if let Stream::Parts { command, .. } = stream {
            connection.client.last_command = Some(command);
        }
        connection.stream = Some(Box::new(stream));
        true
    }

    /// Works off what has arrived of a request in parts. Returns the bytes that are done with.
    pub(super) fn execute_parts(&mut self, slot: usize, input: &[u8]) -> usize {
        let rules = self.rules(slot);
        let now = Now { unix_us: self.clock.unix_us() };
        let mut used = 0;
        let ended = loop {
            let (bytes, ended) = self.execute_part(slot, &input[used..], &rules, now);
            used += bytes;
            if let Some(ended) = ended {
                break ended;
            }
        };
        let connection = self.connections.get_mut(slot).expect("the caller found it");
        let token = token_of(slot, connection);
        match ended {
            Ended::Incomplete | Ended::Full => return used,
            Ended::Complete => {
                let stream = connection.stream.take();
                let silence = connection.session.silence;
                connection.framing = Framing::default();
                if let Some(Stream::Refused(error)) = stream.as_deref() {
                    self.pool.errors.count(code_of(&error[1..]));
                    connection.session.refuse_transaction(None, &self.shared.table);
                    self.counts.errors += 1;
                    self.counts.commands += 1;
                    self.reply(slot, |reply| reply.raw(error));
                }
                self.connections[slot].session.silence = silence.after();
            }
            Ended::Malformed(error) => {
                let executed = self.abandon(slot, "the bytes that followed were not the protocol");
                self.refuse_malformed(token, error, &executed);
            }
            Ended::NoSpace => {
                let errno = self.desk.refused().unwrap_or_default();
                let cause = nix::errno::Errno::from_raw(errno).desc();
                let executed = self.abandon(slot, "the disk has no space for the journal");
                self.refuse(token, (MISCONF.to_owned() + cause + &executed).as_bytes());
            }
            Ended::LongKey(len) => {
                let executed = self.abandon(slot, "its next key is too long");
                self.counts.long_keys += 1;
                self.refuse(token, (long_key_error(len) + &executed).as_bytes());
            }
        }
        used
    }

    /// The rest of a request in parts will not come: logs what became of it, and gives that as the end of an error.
    pub(super) fn abandon(&mut self, slot: usize, cause: &str) -> String {
        let connection = self.connections.get_mut(slot).expect("the caller found it");
        let Some(Stream::Parts { command, parts }) = connection.stream.take().map(|stream| *stream) else {
            return String::new();
        };
        let (name, id) = (command.name, connection.session.id);
        let executed = format!("{} of {} arguments of {name} were executed", parts.done - 1, parts.count - 1);
        log::warn!(client = id, command = name; "client id={id}: a request was cut off, {executed}: {cause}");
        format!(" ({executed})")
    }

    /// Ends a connection whose bytes are not the protocol; `executed` tells what became of the request they are part of.
    pub(super) fn refuse_malformed(&mut self, token: Token, error: ProtocolError, executed: &str) {
        let mut text = Vec::with_capacity(128);
        error.write(&mut text);
        text.extend_from_slice(executed.as_bytes());
        self.counts.note_malformed(error);
        self.refuse(token, &text);
    }

    /// One part: at most [`limits::SPANS`] arguments. Gives the bytes that are done with, and whether that was all.
    fn execute_part(&mut self, slot: usize, input: &[u8], rules: &Rules, now: Now) -> (usize, Option<Ended>) {
        if self.throttle(slot) || self.hold_back(slot) {
            return (0, Some(Ended::Full));
        }
        if let Some(ended) = self.lacks_space(slot, input.len()) {
            return (0, Some(ended));
        }
        self.timing.begin();
        let Self { connections, batch, pool, shared, counts, limits, stalled, .. } = self;
        let connection = connections.get_mut(slot).expect("the caller found it");
        let Some(mut stream) = connection.stream.take() else { return (0, Some(Ended::Complete)) };
        let step = match &*stream {
            Stream::Parts { command, .. } => command.keys.step,
            Stream::Refused(_) => 1,
        };
        let spans = batch.scratch();
        let most = limits::SPANS / step * step;
        let (bytes, last) = match part(&mut connection.framing, input, spans, (step, most), rules) {
            Part::Arguments { bytes, last } => (bytes, last),
            Part::Malformed(error) => {
                connection.stream = Some(stream);
                return (0, Some(Ended::Malformed(error)));
            }
        };
        let executed = spans.len();
        let mut ended = match (last, executed) {
            (true, _) => Some(Ended::Complete),
            (false, 0) => Some(Ended::Incomplete),
            (false, _) => None,
        };
        connection.turn_bytes =
            connection.turn_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Stream::Parts { command, parts } = &mut *stream
            && executed > 0
        {
            let args = Args::new(input, spans, executed);
            if let Some(len) = long_key(command, &args) {
                connection.stream = Some(stream);
                return (bytes, Some(Ended::LongKey(len)));
            }
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
            scene.run_part(connection, command, parts, (args, last), now);
            parts.done += executed;
            let unsent = connection.unsent();
            if limits.refuse_unsent(unsent) {
                self.close_overflowing(slot);
                return (bytes, Some(Ended::Full));
            }
            if unsent > limits::STREAM_UNSENT && !connection.overrun && ended.is_none() {
                connection.stalled = true;
                stalled.push_back(token_of(slot, connection));
                ended = Some(Ended::Full);
            }
        }
        connection.stream = Some(stream);
        (bytes, ended)
    }

    /// Whether a connection's request waits for the end of a pause.
    fn hold_back(&mut self, slot: usize) -> bool {
        let (connection, pause) = (&self.connections[slot], &self.shared.pause);
        let Some(Stream::Parts { command, .. }) = connection.stream.as_deref() else { return false };
        let waits =
            !self.draining && pause.is_set() && pause.holds_back(command, &connection.session, self.now_ms);
        if waits {
            let token = token_of(slot, connection);
            self.pause(token);
        }
        waits
    }

    /// Why the journal has no space for the next part of a connection's request. Where it will have, it is asked again in a
    /// moment.
    fn lacks_space(&mut self, slot: usize, bytes: usize) -> Option<Ended> {
        let waits_in_line = self.line_up();
        let Self { connections, shared, desk, unwritten, unfiled, .. } = self;
        let connection = connections.get_mut(slot)?;
        let (Some(ring), Some(Stream::Parts { command, .. })) = (shared.ring(), connection.stream.as_deref())
        else {
            return None;
        };
        let writes = command.flags.has(Flags::WRITE);
        let space = match writes {
            true if waits_in_line => Space::Soon,
            true => desk.prepare(ring, part_of(bytes)),
            false => desk.prepare(ring, Extent::Looks),
        };
        let line = match space {
            Space::Enough => return None,
            Space::Refused => return Some(Ended::NoSpace),
            Space::Soon => unwritten,
            Space::Later => unfiled,
        };
        connection.throttled = true;
        line.push_back(token_of(slot, connection));
        Some(Ended::Full)
    }

    /// Whether a connection had its share of the turn; it is then served in the next.
    fn throttle(&mut self, slot: usize) -> bool {
        let connection = self.connections.get_mut(slot).expect("the caller found it");
        connection.begin_share(self.turn);
        let full = connection.turn_bytes as usize >= limits::TURN_BYTES;
        if full {
            connection.throttled = true;
            self.throttled.push_back(token_of(slot, connection));
        }
        full
    }

    /// What this connection's requests must keep to.
    pub(super) fn rules(&self, slot: usize) -> Rules {
        Rules { max_bulk: self.limits.max_bulk, authenticated: self.connections[slot].session.authenticated }
    }

    /// Whether the token's request is being worked off as it arrives.
    pub(super) fn streams(&mut self, token: Token) -> bool {
        self.get(token).is_some_and(|connection| connection.stream.is_some())
    }
}

impl Scene<'_> {
    /// Runs a command on a part of its arguments.
    fn run_part(
        &mut self,
        connection: &mut Connection,
        command: &'static Command,
        parts: &mut Parts,
        (args, last): (Args<'_>, bool),
        now: Now,
    ) {
        let mut outgoing = connection.take_replies(self.pool, self.now_ms);
        self.counts.commands += u64::from(last);
        parts.no_memory = self.lacks_memory(command.flags.has(Flags::DENYOOM), now);
        let border = self.timing.border;
        self.call(connection, command, args, (None, now), &mut outgoing, Some(parts));
        let nanos = self.part_done(command, parts, border, last);
        // Others waited for this part, and not for all of them.
        if self.timing.is_slow(nanos) {
            self.note_slow(connection, command, (args, true), nanos);
        }
        if last && let Some((number, _)) = self.timing.take_mark() {
            outgoing.mark(number, parts.since);
            self.timing.settle(&self.shared.posts[self.id].meters);
        }
        connection.give_replies(outgoing, self.pool);
    }
}

/// What a part of a request may change of which so many bytes are there: each key goes, and is set.
fn part_of(bytes: usize) -> Extent {
    let keys = bytes.min(limits::SPANS * limits::KEY_BYTES);
    Extent::Writes(2 * keys + EFFECT_BYTES * limits::SPANS)
}

/// The refusal of a command that would write, where the disk has no space for that; `None`: it has, or will have.
fn lacking(desk: &mut Desk, shared: &Shared, command: &Command, bytes: usize) -> Option<Vec<u8>> {
    let ring = shared.ring().filter(|_| command.flags.has(Flags::WRITE))?;
    desk.prepare(ring, part_of(bytes));
    let errno = desk.refused()?;
    Some(encoded(|reply| reply.error_parts(no_space(command, errno))))
}

/// What `encode` writes, in memory of its own. Errors are the same in both versions of the protocol.
fn encoded(encode: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut block = Vec::with_capacity(512);
    let mut whole = Whole(Vec::new());
    encode(&mut Encoder::new(&mut block, &mut whole, Protocol::Resp2));
    whole.spill(&mut block);
    whole.0
}

/// Puts what is spilled in a row.
struct Whole(Vec<u8>);

impl Spill for Whole {
    fn spill(&mut self, block: &mut Vec<u8>) {
        self.0.append(block);
    }

    fn attach(&mut self, bytes: bytes::Bytes) {
        self.0.extend_from_slice(&bytes);
    }
}
