//! The command table and what a command may touch.
//!
//! A command is described once, as a [`Command`] in its family's file: name, arity, flags, key positions,
//! documentation and the function that runs it. It sees its arguments, the table, the session and one
//! timestamp; it hands effects to the sink and encodes its reply. It never sees a socket, a file, a thread or
//! a clock.
//!
//! The way of a request: [`resolve::resolve`] finds the command and checks what can be checked without running
//! it, [`resolve::permit`] asks whether this session may, [`Command::run`] runs it on a [`Call`].

use std::iter::Take;

use crate::limits::Limits;
use crate::metrics::events::Events;
use crate::metrics::meters::Reading;
use crate::metrics::slowlog::SlowLog;
use crate::resp::args::{Args, ArgsIter};
use crate::resp::codes::Codes;
use crate::resp::encode::Encoder;
use crate::table::effect::{EffectSink, Lsn};
use crate::table::{Figures, Holding, KeyHash, Table};

pub mod acl;
pub mod bulk;
pub mod client_list;
pub mod clients;
pub mod configure;
pub mod counter;
pub mod describe;
pub mod docs;
mod doctor;
mod expiration;
pub mod expire;
pub mod float;
pub mod flow;
pub mod glob;
mod graph;
pub mod hash;
pub mod help;
pub mod histogram;
pub mod increx;
pub mod info;
pub mod introspect;
pub mod keyspace;
pub mod latency;
mod listing;
pub mod lookup;
pub mod memory;
pub mod monitor;
pub mod object;
pub mod once;
pub mod operate;
pub mod place;
pub mod queue;
pub mod recorded;
pub mod redact;
pub mod rename;
pub mod resolve;
pub mod save;
pub mod scan;
pub mod session;
pub mod slowlog;
pub mod string;
pub mod substring;
pub mod texts;
pub mod throttle;
pub mod transaction;
pub mod window;

use acl::Users;
use client_list::Question;
use info::Facts;
use save::{Begun, Busy, Wish};
use session::Session;

/// A command or subcommand: everything that is known about it.
#[derive(Debug)]
pub struct Command {
    /// Lower-case name; a subcommand's own name without its parent's.
    pub name: &'static str,
    /// As Redis counts: the exact number of arguments, name included, or minus the least number.
    pub arity: i32,
    /// Properties, as `COMMAND INFO` lists them.
    pub flags: Flags,
    /// Where the keys stand.
    pub keys: Keys,
    /// What happens to the keys, in the words of Redis' key specifications (`RO`, `RW`, `access` …).
    pub access: &'static [&'static str],
    /// ACL categories beyond those the flags imply, without the `@`.
    pub categories: &'static [&'static str],
    /// Redis' hints to clients and proxies (`nondeterministic_output`, `request_policy:…`).
    pub tips: &'static [&'static str],
    /// What it is for.
    pub docs: Docs,
    /// What it does.
    pub run: Run,
    /// Its subcommands, if it is a container.
    pub subcommands: &'static [Self],
}

impl Command {
    /// Whether a request of `count` arguments, the name included, has as many as this command wants.
    ///
    /// Where each key of a pair stands on its own, none may lack its partner: a request in parts is refused for that by
    /// its count alone, and a whole one has to be refused at the same point. (`MSET` looks by itself, as Redis' does.)
    #[inline]
    pub fn accepts(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 {
            return count == wanted;
        }
        let paired = self.keys.step == 1 || !self.flags.has(Flags::STREAMS) || count % 2 == 1;
        count >= wanted && paired
    }

    /// The keys among `args`, in order. Linear in the arguments.
    pub fn keys_of<'a>(&self, args: &Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Keys { first, last, step } = self.keys;
        let distance = last.unsigned_abs() as usize;
        let end = if last < 0 { (args.len() + 1).saturating_sub(distance) } else { distance + 1 };
        let reach = if first == 0 { 0 } else { end.min(args.len()).saturating_sub(first) };
        let tail: Take<ArgsIter<'a>> = args.tail(first.min(args.len())).take(reach);
        tail.step_by(step.max(1))
    }
}

/// Documentation as `COMMAND DOCS` shows it.
#[derive(Debug)]
pub struct Docs {
    /// One sentence.
    pub summary: &'static str,
    /// Version of Redis, or of tallyring, that had it first.
    pub since: &'static str,
    /// Redis' name of the family: `string`, `generic`, `connection`, `server` …
    pub group: &'static str,
    /// In Redis' notation.
    pub complexity: &'static str,
    /// The arguments after the name, for hints and completion.
    pub arguments: &'static [Argument],
}

/// One argument, as `COMMAND DOCS` describes it.
#[derive(Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// Redis' type: `key`, `string`, `integer`, `pure-token`, `oneof`, `block` …
    pub kind: &'static str,
    /// The literal word before it, or that it consists of.
    pub token: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Alternatives of a `oneof`, members of a `block`.
    pub parts: &'static [Self],
}

impl Argument {
    /// The one key of a command.
    pub const KEY: Self = Self::new("key", "key");

    /// A plain argument, given once.
    pub const fn new(name: &'static str, kind: &'static str) -> Self {
        Self { name, kind, token: None, optional: false, multiple: false, parts: &[] }
    }

    /// A literal word.
    pub const fn word(name: &'static str, token: &'static str) -> Self {
        Self::new(name, "pure-token").after(token)
    }

    /// One of several alternatives.
    pub const fn choice(name: &'static str, parts: &'static [Self]) -> Self {
        Self { parts, ..Self::new(name, "oneof") }
    }

    /// Arguments that go together.
    pub const fn block(name: &'static str, parts: &'static [Self]) -> Self {
        Self { parts, ..Self::new(name, "block") }
    }

    /// The same, after a literal word.
    #[must_use]
    pub const fn after(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The same, but it may be left out.
    #[must_use]
    pub const fn maybe(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same, but it may be repeated.
    #[must_use]
    pub const fn many(self) -> Self {
        Self { multiple: true, ..self }
    }
}

/// Properties of a command, a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Changes the table.
    pub const WRITE: Self = Self(1);
    /// Reads the table and changes nothing.
    pub const READONLY: Self = Self(1 << 1);
    /// May need memory.
    pub const DENYOOM: Self = Self(1 << 2);
    /// For the operator.
    pub const ADMIN: Self = Self(1 << 3);
    /// Takes constant or logarithmic time.
    pub const FAST: Self = Self(1 << 4);
    /// Allowed before `AUTH`.
    pub const NO_AUTH: Self = Self(1 << 5);
    /// Allowed while data is loading.
    pub const LOADING: Self = Self(1 << 6);
    /// Allowed on a stale replica.
    pub const STALE: Self = Self(1 << 7);
    /// Not allowed in scripts.
    pub const NOSCRIPT: Self = Self(1 << 8);
    /// Not shown by `MONITOR` and the slow log.
    pub const SKIP_MONITOR: Self = Self(1 << 9);
    /// Each key stands on its own: a huge request may be executed in batches.
    pub const STREAMS: Self = Self(1 << 10);
    /// Not queued by `MULTI`.
    pub const NO_MULTI: Self = Self(1 << 11);
    /// Harmless while blocked by a busy command (`allow_busy`).
    pub const ALLOW_BUSY: Self = Self(1 << 12);
    /// Touches the session only.
    pub const SENTINEL: Self = Self(1 << 13);

    /// Not shown by the slow log.
    pub const SKIP_SLOWLOG: Self = Self(1 << 15);
    /// Executed inside `MULTI` instead of being queued.
    pub const AT_ONCE: Self = Self(1 << 16);
    /// Looks at keys that its arguments do not name: a transaction with it holds the whole table.
    pub const ALL_KEYS: Self = Self(1 << 17);

    /// Its first argument is a token of the whole server: a transaction with it holds the token's segment too.
    pub const TOKEN: Self = Self(1 << 19);

    /// Its reply, or none, comes outside of the usual order: it is no part of a transaction.
    pub const LATER: Self = Self(1 << 18);
    /// Ends a transaction without executing it, and so the memory that its requests take.
    pub const DROPS: Self = Self(1 << 21);

    /// Not allowed while data is loading in the background, which it never is here.
    pub const NO_ASYNC_LOADING: Self = Self(1 << 20);

    /// Copies what the table holds: the journal has to tell more of it than its own bytes.
    pub const COPIES: Self = Self(1 << 22);

    /// No command at all but a guard: known to look-up, shown by no list.
    pub const HIDDEN: Self = Self(1 << 14);
    /// No property.
    pub const NONE: Self = Self(0);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where the keys stand among the arguments, as `COMMAND INFO` gives it: 0, 0, 0 = none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key, 0 = none.
    pub first: usize,
    /// Index of the last key, negative from the end (-1 = the last argument).
    pub last: i32,
    /// Distance from one key to the next.
    pub step: usize,
}

impl Keys {
    /// A command without keys.
    pub const NONE: Self = Self { first: 0, last: 0, step: 0 };
    /// One key, right after the name.
    pub const ONE: Self = Self { first: 1, last: 1, step: 1 };
    /// Every argument is a key.
    pub const ALL: Self = Self { first: 1, last: -1, step: 1 };
    /// Keys and values in turn.
    pub const PAIRS: Self = Self { first: 1, last: -1, step: 2 };
}

/// The function that runs a command.
pub type Run = fn(&mut Call<'_>) -> Outcome;

/// How a command ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its reply is encoded.
    Done,
    /// Its reply is encoded, and is the connection's last (`QUIT`).
    Close,
    /// Nothing to say and nothing to serve: the connection is closed at once (an HTTP request).
    Drop,
    /// Its reply comes later; the connection's later requests wait. What it needs was copied out of the
    /// received bytes.
    Pending(Question),
    /// Its reply comes when this is there, or says after so many milliseconds (`None` = never) that it is not; the
    /// connection's later requests wait.
    Later(Awaited, Option<u64>),
    /// Its reply comes when the snapshot of this number is over; the connection's later requests wait.
    Saved(u64),
    /// Nothing is encoded and nothing has changed, since the journal has no space for what would ([`EffectSink::affords`]): it
    /// is run again when there is, or refused.
    Unwritten,
}

/// What a reply waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Replicas, of which there are none.
    Replicas,
    /// That all the client has seen and done survives a loss of power.
    Journal,
    /// That, and replicas.
    JournalAndReplicas,
}

/// The time at which a command runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds since the Unix epoch.
    pub unix_us: u64,
}

impl Now {
    /// Milliseconds since the Unix epoch.
    #[inline]
    pub const fn ms(self) -> u64 {
        self.unix_us / 1000
    }
}

/// What commands count on the side; the worker adds it up for `INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys that a reading command looked for and found.
    pub hits: u64,
    /// Keys that a reading command looked for in vain.
    pub misses: u64,
    /// Passwords that did not fit.
    pub wrong_passwords: u64,
    /// Refusals of a command that judges for itself who may run it.
    pub unauthenticated: u64,
}

/// What a command asks of the world around the core. The worker answers.
pub trait Host {
    /// The bounds as they stand.
    fn limits(&self) -> &Limits;
    /// The server's state, for `INFO`; what is known of the table is told.
    fn facts(&self, table: Figures) -> Facts;
    /// This connection's line of `CLIENT LIST`, its line end included (see [`client_list::ClientFacts::line`]).
    fn describe_client(&self, session: &Session) -> Vec<u8>;
    /// Calls `found` with the name and value of each directive that matches one of the glob patterns.
    fn config_get(&self, patterns: &[&[u8]], found: &mut dyn FnMut(&str, &str));
    /// Sets directives, all or none. The error names the directive at fault, and why.
    fn config_set(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError>;
    /// Writes the directives into the configuration file.
    fn config_rewrite(&mut self) -> Result<(), RewriteError>;
    /// Who may do what.
    fn users(&self) -> &Users;
    /// Users were changed, or are gone: their connections are to learn of it.
    fn users_changed(&mut self);
    /// Reads the users from their file; `Err` says what is wrong with it. `None`: there is no such file.
    fn load_users(&mut self) -> Option<Result<(), String>>;
    /// Writes the users into their file, likewise.
    fn save_users(&mut self) -> Option<Result<(), String>>;
    /// Sets the counters of `INFO`'s stats section to zero, and forgets what commands took.
    fn reset_stats(&mut self);
    /// The requests of a transaction are executed next.
    fn begin_within(&mut self);
    /// One of them was, and replied an error if it `failed`; `name` is that of its client.
    fn executed_within(&mut self, command: &'static Command, args: &Args<'_>, failed: bool, name: &[u8]);
    /// What commands took, since the last reset: those that were called or refused.
    fn readings(&mut self) -> Vec<Reading>;
    /// How often an error of each code was replied, likewise.
    fn error_codes(&self) -> Codes;
    /// Lets requests wait for so many milliseconds from now on: all, or those that write. A pause that is under way is
    /// only made longer and stricter.
    fn pause(&mut self, ms: u64, all: bool);
    /// Ends the pause.
    fn unpause(&mut self);
    /// Whether this connection may use `DEBUG`.
    fn may_debug(&self) -> bool;
    /// Lets the worker stand still for so many seconds.
    fn sleep(&mut self, seconds: f64);
    /// Whether all that this connection has seen and done survives a loss of power. `None`: there is no journal.
    fn is_synced(&self) -> Option<bool>;
    /// Has a snapshot taken.
    fn save(&mut self, wish: Wish) -> Result<Begun, Busy>;
    /// Whether a snapshot is to be taken when the server ends; `None`: if there are rules for it.
    fn save_at_end(&mut self, save: Option<bool>);
    /// Has freed memory given back to the system.
    fn give_memory_back(&mut self);
    /// Begins to end the server. False: that is not for clients to do.
    fn shut_down(&mut self) -> bool;
    /// A request of a transaction was executed, for those who monitor.
    fn show(&mut self, command: &'static Command, args: Args<'_>);
    /// What took long.
    fn slow_log(&self) -> &SlowLog;
    /// What the latency monitor has noted.
    fn events(&self) -> &Events;
}

/// Why `CONFIG SET` refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No directive of this name.
    Unknown(String),
    /// The directive is fixed at start.
    Immutable(String),
    /// The directive may not be set over the network.
    Protected(String),
    /// The same directive twice.
    Duplicate(String),
    /// The value does not do; the reason is in the second field.
    Invalid(String, String),
}

/// Why `CONFIG REWRITE` failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The server was started without a configuration file.
    NoFile,
    /// The file cannot be written; the reason.
    Failed(String),
}

/// One command on its way: what it was given and where its reply goes.
pub struct Call<'a> {
    /// Its description.
    pub command: &'static Command,
    /// The arguments; index 0 is the name, and index 1 the subcommand's where `command` is one.
    pub args: Args<'a>,
    /// The first key's hash, where the command has keys: it was needed for prefetching.
    pub hashed: Option<KeyHash>,
    /// The one time this command sees.
    pub now: Now,
    /// The counters.
    pub table: &'a Table,
    /// The connection's state that commands see.
    pub session: &'a mut Session,
    /// Where the reply goes.
    pub reply: Encoder<'a>,
    /// Where effects go.
    pub effects: &'a mut dyn EffectSink,
    /// Everything else.
    pub host: &'a mut dyn Host,
    /// Keys found and not found.
    pub tally: &'a mut Tally,
    /// Highest position that the reply must wait for: the last change of every segment it looked at.
    pub wait: Lsn,
    /// Where the request is executed in parts: `args` are this part's, without the name.
    pub parts: Option<&'a mut Parts>,
    /// Segments that are locked already, among them those of all its keys: inside a transaction.
    pub held: Option<&'a mut dyn Holding>,
}

/// How far a request has come that is executed while it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Arguments of the whole request, its name included.
    pub count: usize,
    /// Those of earlier parts, its name included: `done <= count`.
    pub done: usize,
    /// What earlier parts have counted.
    pub sum: usize,
    /// `maxmemory` is reached.
    pub no_memory: bool,
    /// An error was replied.
    pub failed: bool,
    /// Nanoseconds that earlier parts took, and a reading of the counter when the first began.
    pub nanos: u64,
    /// See above.
    pub since: u64,
}

impl Call<'_> {
    /// Arguments of the whole request, its name included.
    fn count(&self) -> usize {
        self.parts.as_ref().map_or(self.args.len(), |parts| parts.count)
    }

    /// Whether nothing of the request was executed before.
    fn begins(&self) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.done == 1)
    }

    /// Adds to what the request counts: the whole sum, once nothing of the request is left.
    fn sum(&mut self, counted: usize) -> Option<usize> {
        let Some(parts) = &mut self.parts else { return Some(counted) };
        parts.sum += counted;
        (parts.done + self.args.len() == parts.count).then_some(parts.sum)
    }
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("command", &self.command.name)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn every_flag_has_a_bit_of_its_own() {
        // Read from the source, so that no list has to be kept beside it.
        let flags = include_str!("mod.rs").lines().filter_map(|line| {
            let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": Self = Self(")?;
            Some((value.strip_suffix(");")?, name)).filter(|(value, _)| *value != "0")
        });
        let mut bits = BTreeMap::new();
        for (value, name) in flags {
            if let Some(other) = bits.insert(value, name) {
                panic!("{name} and {other} are the same bit, {value}");
            }
        }
        assert!(bits.len() > 20, "the flags are found: {bits:?}");
    }
}
