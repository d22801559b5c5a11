//! One key under its segment's lock, with everything a command needs beside it. The only way commands reach
//! the table's values, so that no reply forgets the change it must wait for. Knows no command.

use arrayvec::ArrayVec;

use crate::limits::BATCH;
use crate::resp::args::ArgsIter;
use crate::resp::encode::Encoder;
use crate::table::{
    AddError, Fields, Key, Memo, Moment, NewDeadline, SEGMENTS, Scalar, Segment, SegmentSet, Table, Used,
    Value, Window, WindowError, WrongType,
};

use super::listing::Words;
use super::recorded::Content;
use super::texts::WRONG_TYPE;
use super::{Call, Flags, Tally};

mod held;

/// A key whose segment is locked.
pub struct Place<'p, 'a> {
    key: Key<'a>,
    segment: &'p mut Segment,
    at: Moment<'p>,
    tally: &'p mut Tally,
    /// Where the reply goes.
    pub reply: &'p mut Encoder<'a>,
}

impl std::fmt::Debug for Place<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Place<'_, '_> {
    /// Looks for the key as a reading command does, which counts as a hit or a miss.
    #[inline]
    pub fn find(&mut self) -> bool {
        let found = self.segment.get(self.key, &mut self.at).is_some();
        self.tally.count(found);
        found
    }

    /// Replies with the string at the key, or with null where there is none; counts as a hit or a miss. Whether there was
    /// one; where there is another kind of value, the reply is not written yet.
    #[inline]
    pub fn show(&mut self) -> Result<bool, WrongType> {
        if let Some(number) = self.segment.peek(self.key, self.at.now_ms) {
            self.tally.hits += 1;
            self.reply.bulk_integer(number);
            return Ok(true);
        }
        self.show_other()
    }

    /// The same for what is not simply a number.
    #[inline(never)]
    fn show_other(&mut self) -> Result<bool, WrongType> {
        let value = self.segment.get(self.key, &mut self.at);
        self.tally.count(value.is_some());
        match value {
            Some(Value::Int(number)) => self.reply.bulk_integer(number),
            Some(Value::Str(bytes)) => self.reply.bulk(bytes),
            Some(Value::Hash(_) | Value::Throttle(_) | Value::Window(_)) => return Err(WrongType),
            None => {
                self.reply.null();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The name of the value's kind for a reading command, which counts as a hit or a miss.
    pub fn find_kind(&mut self) -> Option<&'static str> {
        let kind = self.segment.get(self.key, &mut self.at).map(|value| value.kind());
        self.tally.count(kind.is_some());
        kind
    }

    /// Whether there is a string, `None` where there is no key.
    pub fn is_string(&mut self) -> Option<bool> {
        self.segment.get(self.key, &mut self.at).map(|value| value.scalar().is_some())
    }

    /// The time of the rate limit at the key.
    pub fn throttle(&mut self) -> Result<Option<i64>, WrongType> {
        match self.segment.get(self.key, &mut self.at) {
            None => Ok(None),
            Some(Value::Throttle(time)) => Ok(Some(time)),
            Some(Value::Int(_) | Value::Str(_) | Value::Hash(_) | Value::Window(_)) => Err(WrongType),
        }
    }

    /// Adds to the window at the key, of so many milliseconds and buckets, and gives its sum.
    pub fn add_window(&mut self, shape: (u64, Option<u16>, u16), delta: i64) -> Result<i64, WindowError> {
        self.segment.add_window(self.key, shape, delta, &mut self.at)
    }

    /// The sum of the window at the key, for a reading command, which counts as a hit or a miss.
    pub fn window_sum(&mut self) -> Result<Option<i64>, WrongType> {
        self.find();
        self.segment.window_sum(self.key, &mut self.at)
    }

    /// The number at the key; `None`: there is no key.
    pub fn number(&mut self) -> Result<Option<i64>, AddError> {
        match self.segment.get(self.key, &mut self.at) {
            None => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Str(_)) => Err(AddError::NotInteger),
            Some(Value::Hash(_) | Value::Throttle(_) | Value::Window(_)) => Err(AddError::WrongType),
        }
    }

    /// What a token of the key's name was used for.
    pub fn token(&mut self, token: &[u8]) -> Option<Used> {
        self.segment.token(Some(self.key.bytes), token, &self.at)
    }

    /// Remembers a token of the key's name.
    pub fn use_token(&mut self, token: &[u8], used: Used) {
        self.segment.use_token(Some(self.key.bytes), token, used, &mut self.at);
    }

    /// Sets the string to `whole`, in which only `bytes` at `offset` are new, or zeros before them.
    pub fn splice(&mut self, whole: &[u8], offset: usize, bytes: &[u8]) {
        self.segment.splice(self.key, whole, (offset, bytes), &mut self.at);
    }

    /// Keeps a rate limit's time until a deadline.
    pub fn set_throttle(&mut self, time: i64, deadline: u64) {
        self.segment.put(self.key, Value::Throttle(time), deadline, &mut self.at);
    }

    /// Sets a field of the hash, which is made where there is none. Whether the field is new.
    pub fn set_field(&mut self, field: &[u8], value: &[u8]) -> Result<bool, WrongType> {
        self.segment.set_field(self.key, field, value, &mut self.at)
    }

    /// Adds to a field of the hash, both 0 where there are none.
    pub fn add_field(&mut self, field: &[u8], delta: i64) -> Result<i64, AddError> {
        self.segment.add_field(self.key, field, delta, &mut self.at)
    }

    /// Removes a field of the hash, and the hash with its last one. False: there was none.
    pub fn remove_field(&mut self, field: &[u8]) -> Result<bool, WrongType> {
        self.segment.remove_field(self.key, field, &mut self.at)
    }

    /// Whether the key exists; for commands that write, which count no hits and misses.
    #[inline]
    pub fn exists(&mut self) -> bool {
        self.segment.get(self.key, &mut self.at).is_some()
    }

    /// The key's deadline: outer `None` = no such key, inner `None` = no deadline.
    #[inline]
    pub fn deadline(&mut self) -> Option<Option<u64>> {
        self.segment.deadline(self.key, &mut self.at)
    }

    /// The key's deadline for a reading command, which counts as a hit or a miss.
    pub fn find_deadline(&mut self) -> Option<Option<u64>> {
        let deadline = self.deadline();
        self.tally.count(deadline.is_some());
        deadline
    }

    /// Adds to the counter, which is 0 where there is none, and keeps its deadline.
    #[inline]
    pub fn add(&mut self, delta: i64) -> Result<i64, AddError> {
        self.segment.add(self.key, delta, &mut self.at)
    }

    /// Sets the value. A deadline that has passed leaves no key behind.
    #[inline]
    pub fn set(&mut self, value: &[u8], deadline: NewDeadline) {
        match deadline {
            NewDeadline::At(at) if at <= self.at.now_ms => {
                self.segment.remove(self.key, &mut self.at);
            }
            NewDeadline::Clear | NewDeadline::Keep | NewDeadline::At(_) => {
                self.segment.set(self.key, value, deadline, &mut self.at);
            }
        }
    }

    /// Gives the key a deadline or takes it away; one that has passed removes the key. False: no such key.
    pub fn set_deadline(&mut self, deadline: Option<u64>) -> bool {
        self.segment.set_deadline(self.key, deadline, &mut self.at)
    }

    /// Removes the key. False: there was none.
    #[inline]
    pub fn remove(&mut self) -> bool {
        self.segment.remove(self.key, &mut self.at)
    }
}

/// All that is at a key.
#[derive(Debug)]
pub struct Copied {
    held: Held,
    deadline: Option<u64>,
}

#[derive(Debug)]
enum Held {
    Text(Vec<u8>),
    /// Fields and values in turn.
    Fields(Words),
    Throttle(i64),
    /// All of a window.
    Window(Vec<u8>),
}

impl Place<'_, '_> {
    /// A copy of all that is at the key.
    pub fn copied(&mut self) -> Option<Copied> {
        let deadline = self.deadline()?;
        let digits = |number: i64| itoa::Buffer::new().format(number).as_bytes().to_vec();
        let held = match self.segment.get(self.key, &mut self.at)? {
            Value::Int(number) => Held::Text(digits(number)),
            Value::Str(bytes) => Held::Text(bytes.to_vec()),
            Value::Throttle(time) => Held::Throttle(time),
            Value::Window(window) => Held::Window(window.bytes().to_vec()),
            Value::Hash(fields) => {
                let mut words = Words::default();
                fields.for_each(&mut |field, value| {
                    words.push(field);
                    match value {
                        Scalar::Int(number) => words.push(&digits(number)),
                        Scalar::Str(bytes) => words.push(bytes),
                    }
                });
                Held::Fields(words)
            }
        };
        Some(Copied { held, deadline })
    }

    /// How much there is at the key, for the journal.
    pub(super) fn content(&mut self) -> Content {
        Content::of(self.segment.get(self.key, &mut self.at))
    }

    /// Puts a copy in the place of what is there.
    pub fn put(&mut self, copied: &Copied) {
        match &copied.held {
            Held::Text(text) => self.set(text, copied.deadline.map_or(NewDeadline::Clear, NewDeadline::At)),
            Held::Throttle(time) => self.set_throttle(*time, copied.deadline.unwrap_or(u64::MAX)),
            Held::Window(bytes) => {
                let window = Value::Window(Window::read(bytes).expect("it was copied from one"));
                self.segment.put(self.key, window, copied.deadline.unwrap_or(u64::MAX), &mut self.at);
            }
            Held::Fields(words) => {
                self.remove();
                let mut words = words.iter();
                while let (Some(field), Some(value)) = (words.next(), words.next()) {
                    self.set_field(field, value).expect("there was nothing, and now there is a hash");
                }
                if copied.deadline.is_some() {
                    self.set_deadline(copied.deadline);
                }
            }
        }
    }

    /// Bytes that the key takes, its share of what keys have in common included.
    pub fn bytes(&mut self) -> Option<usize> {
        self.segment.bytes_of(self.key, &mut self.at)
    }
}

impl WrongType {
    /// Replies with the error.
    pub fn reply(self, reply: &mut Encoder<'_>) {
        reply.error(WRONG_TYPE);
    }
}

impl<'a> Place<'_, 'a> {
    /// The key.
    pub fn name(&self) -> &'a [u8] {
        self.key.bytes
    }

    /// Hands `work` the string at the key, `None` where there is no key, and the reply.
    #[inline]
    pub fn string<R>(
        &mut self,
        work: impl FnOnce(Option<Scalar<'_>>, &mut Encoder<'a>) -> R,
    ) -> Result<R, WrongType> {
        match self.segment.get(self.key, &mut self.at) {
            None => Ok(work(None, self.reply)),
            Some(value) => value.scalar().map(|value| work(Some(value), self.reply)).ok_or(WrongType),
        }
    }

    /// Hands `work` the fields of the hash at the key, `None` where there is no key, and the reply.
    pub fn fields<R>(
        &mut self,
        work: impl FnOnce(Option<Fields<'_>>, &mut Encoder<'a>) -> R,
    ) -> Result<R, WrongType> {
        let fields = self.segment.fields(self.key, &mut self.at)?;
        Ok(work(fields, self.reply))
    }

    /// The same for a reading command, which counts as a hit or a miss.
    pub fn read_fields<R>(
        &mut self,
        work: impl FnOnce(Option<Fields<'_>>, &mut Encoder<'a>) -> R,
    ) -> Result<R, WrongType> {
        self.find();
        self.fields(work)
    }

    /// Hands `work` the value at the key for a reading command, which counts as a hit or a miss.
    pub fn look<R>(&mut self, work: impl FnOnce(Option<Value<'_>>, &mut Encoder<'a>) -> R) -> R {
        let value = self.segment.get(self.key, &mut self.at);
        self.tally.count(value.is_some());
        work(value, self.reply)
    }

    /// The same for a reading command, which counts as a hit or a miss.
    pub fn read_string<R>(
        &mut self,
        work: impl FnOnce(Option<Scalar<'_>>, &mut Encoder<'a>) -> R,
    ) -> Result<R, WrongType> {
        self.find();
        self.string(work)
    }
}

impl Tally {
    #[inline]
    fn count(&mut self, found: bool) {
        if found {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
    }
}

impl<'a> Call<'a> {
    /// The argument at `index` as a key.
    #[inline]
    fn key(&self, index: usize) -> Key<'a> {
        let bytes = self.args.get(index);
        match self.hashed {
            Some(hash) if index == self.command.keys.first => Key { bytes, hash },
            _ => self.table.key(bytes),
        }
    }

    /// Runs `work` on the key at argument `index` with its segment locked. The reply will wait for that
    /// segment's last change, be it this one or an earlier one.
    #[inline]
    pub fn at<R>(&mut self, index: usize, work: impl FnOnce(&mut Place<'_, 'a>) -> R) -> R {
        self.at_one::<false, R>(index, work)
    }

    /// [`Call::at`] for several changes to one key, which are one group: done again as a whole or not at all.
    pub fn at_group<R>(&mut self, index: usize, work: impl FnOnce(&mut Place<'_, 'a>) -> R) -> R {
        self.at_one::<true, R>(index, work)
    }

    #[inline]
    fn at_one<const GROUP: bool, R>(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Place<'_, 'a>) -> R,
    ) -> R {
        if self.held.is_some() {
            // The group is the transaction's.
            return self.at_held(index, work);
        }
        let key = self.key(index);
        let mut guard = self.table.lock(key.hash);
        if GROUP {
            self.effects.begin();
        }
        let result = work(&mut Place {
            key,
            segment: &mut guard,
            at: Moment { now_ms: self.now.ms(), effects: self.effects },
            tally: self.tally,
            reply: &mut self.reply,
        });
        if GROUP {
            guard.mark(self.effects.end());
        }
        self.wait = self.wait.max(guard.changed());
        result
    }

    /// Lets the reply wait for a flush that has just been done: it was the last change of every segment, so that
    /// any one of them tells.
    fn await_flush(&mut self) {
        let any = self.table.key(b"");
        self.wait = self.wait.max(self.table.lock(any.hash).changed());
    }

    /// Runs `work` on every key of a command that takes keys up to its last argument, in order, with all their
    /// segments locked from the first to the last. With `STEP` 2, each key's value comes along. What it changes is one
    /// group; of a request in parts, each part is one.
    pub fn at_each<const STEP: usize>(&mut self, mut work: impl FnMut(&mut Place<'_, 'a>, &'a [u8])) {
        const { assert!(STEP == 1 || STEP == 2, "keys alone, or keys and values in turn") };
        let first = usize::from(self.parts.is_none());
        if self.args.len() == first + STEP {
            let value = if STEP == 2 { self.args.get(first + 1) } else { &[] };
            return self.at(first, |place| work(place, value));
        }
        if self.held.is_some() {
            return self.at_each_held::<STEP>(1, work);
        }
        let mut rest = self.args.tail(first);
        let mut set = SegmentSet::default();
        let mut groups = [Group::new(), Group::new()];
        let mut memo = self.table.memo();
        groups[0].fill::<STEP>(self.table, &mut memo, &mut rest);
        if (self.args.len() - first) / STEP >= MANY {
            set = SegmentSet::all();
        } else {
            for &(key, _) in &groups[0].members {
                set.insert(key.hash);
            }
            // A request larger than a group is hashed twice: to know its segments, then to visit its keys.
            for bytes in rest.clone().step_by(STEP) {
                set.insert(self.table.key_after(&mut memo, bytes).hash);
            }
        }
        let mut guards = self.table.lock_all(&set);
        // What a command finds to be over by the way, where it only looks, goes by itself.
        let writes = self.command.flags.has(Flags::WRITE);
        if writes {
            self.effects.begin();
        }
        let now_ms = self.now.ms();
        let mut turn = 0;
        while !groups[turn].members.is_empty() {
            groups[1 - turn].fill::<STEP>(self.table, &mut memo, &mut rest);
            for &(key, value) in &groups[turn].members {
                work(
                    &mut Place {
                        key,
                        segment: guards.segment(key.hash),
                        at: Moment { now_ms, effects: self.effects },
                        tally: self.tally,
                        reply: &mut self.reply,
                    },
                    value,
                );
            }
            turn = 1 - turn;
        }
        if writes {
            guards.mark(self.effects.end());
        }
        self.wait = self.wait.max(guards.changed());
    }
}

/// Keys of a request from which on all segments are locked without a look: so many would leave an eighth of them out.
const MANY: usize = 2 * SEGMENTS;

/// Keys that are fetched into the cache together, while the group before them is executed.
struct Group<'a> {
    members: ArrayVec<(Key<'a>, &'a [u8]), BATCH>,
}

impl<'a> Group<'a> {
    fn new() -> Self {
        Self { members: ArrayVec::new() }
    }

    /// Takes the next keys (and values) out of `rest`, hashes them and starts to fetch what they will touch.
    fn fill<const STEP: usize>(&mut self, table: &Table, memo: &mut Memo, rest: &mut ArgsIter<'a>) {
        self.members.clear();
        while !self.members.is_full()
            && let Some(bytes) = rest.next()
        {
            let key = table.key_after(memo, bytes);
            table.prefetch(key.hash);
            let value = if STEP == 2 { rest.next().unwrap_or_default() } else { &[] };
            self.members.push((key, value));
        }
    }
}
