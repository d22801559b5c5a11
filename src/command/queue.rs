//! The requests that a transaction has queued, and the keys it watches. Knows no command by name.

use std::collections::HashSet;

use crate::resp::args::{Args, Span};
use crate::table::{Key, Moment, Table, Watcher};

use super::recorded::recorded;
use super::session::Session;
use super::transaction::is_exec;
use super::{Command, Flags};

/// What a connection has queued since `MULTI`, and watches.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Between `MULTI` and `EXEC`.
    pub(super) queue: Option<Queue>,
    watched: HashSet<Box<[u8]>>,
    /// Bytes of the watched keys, and what each takes besides.
    watched_bytes: usize,
    watcher: Watcher,
}

/// Bytes that a watched key takes besides its own: its places in two maps.
const WATCH_BYTES: usize = 128;

impl Transaction {
    /// Watches a key whose segment is locked. False: together with the others it takes more than `most` bytes.
    pub(super) fn watch(
        &mut self,
        key: Key<'_>,
        segment: &mut crate::table::Segment,
        at: &mut Moment<'_>,
        most: usize,
    ) -> bool {
        if self.watched.contains(key.bytes) {
            return true;
        }
        let bytes = self.watched_bytes + key.bytes.len() + WATCH_BYTES;
        if bytes > most {
            return false;
        }
        segment.watch(key, &self.watcher, at);
        self.watched.insert(key.bytes.into());
        self.watched_bytes = bytes;
        true
    }

    /// The watched keys.
    pub(super) fn watched(&self) -> impl Iterator<Item = &[u8]> {
        self.watched.iter().map(|key| &**key)
    }

    /// What learns of changes to them.
    pub(super) fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Bytes of the watched keys, and what each takes besides.
    pub(super) fn watched_bytes(&self) -> usize {
        self.watched_bytes
    }

    /// Watches nothing any more.
    fn unwatch(&mut self, table: &Table) {
        for key in self.watched.drain() {
            table.lock(table.key(&key).hash).unwatch(&key, &self.watcher);
        }
        self.watched_bytes = 0;
        self.watcher = Watcher::default();
    }
}

/// Requests in the order in which they will be executed, copied out of the bytes they were received in.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    requests: Vec<Queued>,
    /// Bytes that the journal may have to tell of them, but for what they copy.
    recorded: usize,
    /// One of them copies what the table holds.
    pub(super) copies: bool,
    /// A request was refused: the whole transaction will be.
    pub(super) refused: bool,
}

/// One request: where it begins in its queue's bytes and spans, and its number of arguments.
#[derive(Clone, Copy, Debug)]
struct Queued {
    command: &'static Command,
    byte: usize,
    span: usize,
    count: usize,
}

impl Queue {
    /// Number of requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.spans) + size_of_val(&*self.requests)
    }

    fn push(&mut self, command: &'static Command, args: &Args<'_>) {
        let (byte, span, count) = (self.bytes.len(), self.spans.len(), args.len());
        args.copy_to(&mut self.bytes, &mut self.spans);
        self.recorded += recorded(command, args);
        self.copies |= command.flags.has(Flags::COPIES);
        self.requests.push(Queued { command, byte, span, count });
    }

    /// Bytes of effects at most, but for those of copies.
    pub(super) fn recorded(&self) -> usize {
        self.recorded
    }

    /// The requests.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static Command, Args<'_>)> {
        let ends = self.requests.iter().skip(1).map(|next| (next.byte, next.span));
        let ends = ends.chain([(self.bytes.len(), self.spans.len())]);
        self.requests.iter().zip(ends).map(|(request, (byte, span))| {
            let (bytes, spans) = (&self.bytes[request.byte..byte], &self.spans[request.span..span]);
            (request.command, Args::new(bytes, spans, request.count))
        })
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is executed.
    Run,
    /// It waits for `EXEC`: to be answered with `QUEUED`.
    Queued,
    /// It may not be part of a transaction, which is therefore refused: to be answered with this error.
    Refused(&'static str),
    /// The queue would take more bytes than are allowed.
    Full,
}

impl Session {
    /// Requests that are queued, where a transaction was begun.
    #[inline]
    pub fn queue(&self) -> Option<&Queue> {
        self.transaction.as_ref()?.queue.as_ref()
    }

    /// Whether a command is the end of a transaction that writes.
    pub fn writes(&self, command: &Command) -> bool {
        let writes = |queue: &Queue| queue.requests.iter().any(|it| it.command.flags.has(Flags::WRITE));
        is_exec(command) && self.queue().is_some_and(writes)
    }

    /// Bytes of effects that a transaction has at most, but for what it copies: of its requests, and of keys it watches, which
    /// may be found to be over.
    pub fn recorded(&self) -> usize {
        let Some(transaction) = &self.transaction else { return 0 };
        transaction.watched_bytes + transaction.queue.as_ref().map_or(0, Queue::recorded)
    }

    /// Whether a command may need memory: for what it does, for what the transaction does that it executes, or, whatever
    /// it is, for its place in the queue of a transaction.
    #[inline]
    pub fn needs_memory(&self, command: &Command) -> bool {
        let Some(queue) = self.queue() else { return command.flags.has(Flags::DENYOOM) };
        if is_exec(command) {
            return queue.requests.iter().any(|it| it.command.flags.has(Flags::DENYOOM));
        }
        // What ends the transaction frees memory; what may not be part of one is refused for that.
        !command.flags.has(Flags::DROPS) && !command.flags.has(Flags::NO_MULTI)
    }

    /// Queues a request of a transaction, of which all together may take `most` bytes.
    #[inline]
    pub fn admit(&mut self, command: &'static Command, args: &Args<'_>, most: usize) -> Admission {
        match self.transaction.as_mut().and_then(|transaction| transaction.queue.as_mut()) {
            Some(queue) if !command.flags.has(Flags::AT_ONCE) => admit(queue, command, args, most),
            Some(_) | None => Admission::Run,
        }
    }

    /// A request was refused before it reached its command: so will be the transaction it was meant for. A refused
    /// `EXEC` ends it there and then, what is watched included.
    pub fn refuse_transaction(&mut self, by: Option<&Command>, table: &Table) {
        let Some(transaction) = &mut self.transaction else { return };
        if by.is_some_and(is_exec) {
            self.forget_transaction(table);
        } else if let Some(queue) = &mut transaction.queue {
            queue.refused = true;
        }
    }

    /// Drops what is queued and watches nothing any more.
    pub fn forget_transaction(&mut self, table: &Table) {
        if let Some(mut transaction) = self.transaction.take() {
            transaction.unwatch(table);
        }
    }
}

#[cold]
fn admit(queue: &mut Queue, command: &'static Command, args: &Args<'_>, most: usize) -> Admission {
    if command.flags.has(Flags::NO_MULTI) || command.flags.has(Flags::LATER) {
        queue.refused = true;
        return Admission::Refused("ERR Command not allowed inside a transaction");
    }
    if queue.memory() + args.extent() > most {
        return Admission::Full;
    }
    // What is refused anyway need not be kept.
    if !queue.refused {
        queue.push(command, args);
    }
    Admission::Queued
}
