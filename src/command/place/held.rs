//! Keys whose segments are locked already, by the transaction that their command is part of; and the locking of more
//! than one command's keys. What looks at the whole table goes through here too, so that it finds locks it has.

use crate::resp::args::Args;
use crate::table::{Cursor, Figures, Holding, Moment, Segment, SegmentSet, Used, Visit};

use super::Place;
use crate::command::{Call, Command, Flags};

impl<'a> Call<'a> {
    /// [`Call::at`] on a held segment.
    #[cold]
    pub(super) fn at_held<R>(&mut self, index: usize, work: impl FnOnce(&mut Place<'_, 'a>) -> R) -> R {
        let key = self.key(index);
        let segment = self.held.as_mut().expect("the caller saw that segments are held").segment(key.hash);
        let mut place = Place {
            key,
            segment,
            at: Moment { now_ms: self.now.ms(), effects: self.effects },
            tally: self.tally,
            reply: &mut self.reply,
        };
        let result = work(&mut place);
        self.wait = self.wait.max(place.segment.changed());
        result
    }

    /// [`Call::at_each`] on held segments, for keys from the argument at `first` on.
    #[cold]
    pub(in crate::command) fn at_each_held<const STEP: usize>(
        &mut self,
        first: usize,
        mut work: impl FnMut(&mut Place<'_, 'a>, &'a [u8]),
    ) {
        let held = self.held.as_mut().expect("the caller saw that segments are held");
        let mut rest = self.args.tail(first);
        while let Some(bytes) = rest.next() {
            let key = self.table.key(bytes);
            let value = if STEP == 2 { rest.next().unwrap_or_default() } else { &[] };
            let mut place = Place {
                key,
                segment: held.segment(key.hash),
                at: Moment { now_ms: self.now.ms(), effects: self.effects },
                tally: self.tally,
                reply: &mut self.reply,
            };
            work(&mut place, value);
            self.wait = self.wait.max(place.segment.changed());
        }
    }

    /// Runs `work` on this call with the segments of all its keys locked from its beginning to its end; what it changes
    /// is one group.
    pub(in crate::command) fn holding<R>(&mut self, work: impl FnOnce(&mut Call<'_>) -> R) -> R {
        if self.held.is_some() {
            return work(self);
        }
        let mut set = SegmentSet::default();
        self.add_segments(self.command, &self.args, &mut set);
        let mut held = self.table.hold(&set);
        let (command, args) = (self.command, self.args);
        self.effects.begin();
        let result = self.within(command, args, &mut held, work);
        held.mark(self.effects.end());
        self.wait = self.wait.max(held.changed());
        result
    }

    /// What a token of the whole server was used for, by a command whose segments are held.
    pub(in crate::command) fn server_token(&mut self, token: &[u8]) -> Option<Used> {
        self.at_token(token, |segment, at| segment.token(None, token, at))
    }

    /// Remembers a token of the whole server.
    pub(in crate::command) fn use_server_token(&mut self, token: &[u8], used: Used) {
        self.at_token(token, |segment, at| segment.use_token(None, token, used, at));
    }

    fn at_token<R>(&mut self, token: &[u8], work: impl FnOnce(&mut Segment, &mut Moment<'_>) -> R) -> R {
        let hash = self.table.token_hash(token);
        let held = self.held.as_mut().expect("commands with such tokens hold their segments");
        let segment = held.segment(hash);
        let result = work(segment, &mut Moment { now_ms: self.now.ms(), effects: self.effects });
        self.wait = self.wait.max(segment.changed());
        result
    }

    /// Adds the segments that a command touches to `set`.
    pub(in crate::command) fn add_segments(&self, command: &Command, args: &Args<'_>, set: &mut SegmentSet) {
        if command.flags.has(Flags::ALL_KEYS) {
            *set = SegmentSet::all();
        }
        if command.flags.has(Flags::TOKEN) {
            set.insert(self.table.token_hash(args.get(1)));
        }
        for key in command.keys_of(args) {
            set.insert(self.table.key(key).hash);
        }
    }

    /// Runs `work` on a call of `command` with `args` that replies, changes and counts as part of this one, on segments
    /// that are held.
    pub(in crate::command) fn within<R>(
        &mut self,
        command: &'static Command,
        args: Args<'_>,
        held: &mut dyn Holding,
        work: impl FnOnce(&mut Call<'_>) -> R,
    ) -> R {
        let mut call = Call {
            command,
            args,
            hashed: None,
            now: self.now,
            table: self.table,
            session: &mut *self.session,
            reply: self.reply.lend(),
            effects: &mut *self.effects,
            host: &mut *self.host,
            tally: &mut *self.tally,
            wait: 0,
            parts: None,
            held: Some(held),
        };
        let result = work(&mut call);
        let (wait, protocol, errors) = (call.wait, call.reply.protocol(), call.reply.errors());
        self.wait = self.wait.max(wait);
        self.reply.catch_up(protocol, errors);
        result
    }

    /// Removes every key as one change.
    pub(in crate::command) fn flush(&mut self) {
        let mut at = Moment { now_ms: self.now.ms(), effects: self.effects };
        match &mut self.held {
            Some(held) => {
                held.flush(&mut at);
                // The last change of every segment, so that any one of them tells.
                let any = self.table.key(b"");
                self.wait = self.wait.max(held.segment(any.hash).changed());
            }
            None => {
                self.table.flush(&mut at);
                self.await_flush();
            }
        }
    }

    /// Number of keys.
    pub(in crate::command) fn keys(&mut self) -> usize {
        match &mut self.held {
            Some(held) => held.figures().keys,
            None => self.table.len(),
        }
    }

    /// What is known of the whole table.
    pub(in crate::command) fn figures(&mut self) -> Figures {
        match &mut self.held {
            Some(held) => held.figures(),
            None => Figures {
                keys: self.table.len(),
                timed: self.table.deadlines(),
                expired: self.table.expired(),
                evicted: self.table.evicted(),
                census: self.table.census(),
            },
        }
    }

    /// Visits keys from a cursor on, about `count` of them and none beyond one segment, those whose deadline has passed
    /// included. Gives the cursor to go on with.
    pub(in crate::command) fn step(
        &mut self,
        cursor: Cursor,
        count: usize,
        visit: &mut Visit<'_>,
    ) -> Option<Cursor> {
        let (next, changed) = match &mut self.held {
            Some(held) => held.step(cursor, count, visit),
            None => self.table.step(cursor, count, visit),
        };
        self.wait = self.wait.max(changed);
        next
    }

    /// A key chosen at random; `None`: there is none.
    pub(in crate::command) fn random_key(&mut self) -> Option<Vec<u8>> {
        let mut at = Moment { now_ms: self.now.ms(), effects: self.effects };
        let mut key = None;
        let visit = &mut |bytes: &[u8]| key = Some(bytes.to_vec());
        let table = self.table;
        match &mut self.held {
            Some(held) => {
                // The transaction waits for all that it holds.
                held.random_key(&mut || table.random(), &mut at, visit);
            }
            None => {
                let changed = table.random_key(&mut at, visit).unwrap_or(0);
                self.wait = self.wait.max(changed);
            }
        }
        key
    }
}
