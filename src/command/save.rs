//! Snapshots at a client's wish: `SAVE`, `BGSAVE`, `BGREWRITEAOF`. Asks the host for one, and knows nothing of files.

use super::texts::SYNTAX;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `SAVE`
pub static SAVE: Command = Command {
    name: "save",
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Takes a snapshot and replies when it is safe. Other clients are served meanwhile.",
        since: "1.0.0",
        group: "server",
        complexity: "O(N) with N keys",
        arguments: &[],
    },
    run: save,
    subcommands: &[],
};

/// `BGSAVE [SCHEDULE]`
pub static BGSAVE: Command = Command {
    name: "bgsave",
    arity: -1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Begins to take a snapshot in the background.",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[Argument::word("schedule", "SCHEDULE").maybe()],
    },
    run: bgsave,
    subcommands: &[],
};

/// `BGREWRITEAOF`
pub static BGREWRITEAOF: Command = Command {
    name: "bgrewriteaof",
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: Docs {
        summary: "Begins to take a snapshot, after which the journal before it is dropped.",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: bgrewriteaof,
    subcommands: &[],
};

/// What kind of snapshot is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One for which somebody waits.
    Wait,
    /// One in the background.
    Begin,
    /// One in the background, after another one if one is under way.
    BeginOrLater,
    /// One after which the journal is short; after another one if one is under way.
    Rewrite,
}

/// What came of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is to be waited for: its number.
    Number(u64),
    /// It begins.
    Started,
    /// It comes after the one that is under way.
    Scheduled,
}

/// Why a wish is not fulfilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// A snapshot is being taken.
    Saving,
    /// One is being taken to shorten the journal.
    Rewriting,
    /// Nothing is kept on disk.
    NoDirectory,
    /// The server ends.
    Ending,
}

/// How saving stands. Times in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveFacts {
    /// Changes are kept on disk.
    pub in_use: bool,
    /// Changes since the start that the last snapshot has.
    pub saved_changes: u64,
    /// Unix time of the last snapshot, or of the start.
    pub last_save_unix_s: u64,
    /// The one that is under way: whether it is to shorten the journal, for how long, and how much of it is done.
    pub running: Option<Running>,
    /// Another one comes after it.
    pub scheduled: bool,
    /// Snapshots since the start.
    pub saves: u64,
    /// The last one failed.
    pub failed: bool,
    /// How long the last one took.
    pub last_s: Option<u64>,
    /// The disk has no space for the journal.
    pub refusing: bool,
    /// Bytes of the last snapshot and of the journal since.
    pub current_bytes: u64,
    /// Bytes of the last snapshot.
    pub base_bytes: u64,
}

/// A snapshot that is under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// It is to shorten the journal.
    pub rewrites: bool,
    /// For how long.
    pub seconds: u64,
    /// How much of it is done.
    pub percent: f64,
}

fn save(call: &mut Call<'_>) -> Outcome {
    match call.host.save(Wish::Wait) {
        Ok(Begun::Number(number)) => return Outcome::Saved(number),
        Ok(Begun::Started | Begun::Scheduled) => call.reply.ok(),
        Err(busy) => call.reply.error(text_of(busy)),
    }
    Outcome::Done
}

fn bgsave(call: &mut Call<'_>) -> Outcome {
    let wish = match call.args.len() {
        1 => Wish::Begin,
        2 if call.args.get(1).eq_ignore_ascii_case(b"schedule") => Wish::BeginOrLater,
        _ => {
            call.reply.error(SYNTAX);
            return Outcome::Done;
        }
    };
    match call.host.save(wish) {
        Ok(Begun::Scheduled) => call.reply.simple("Background saving scheduled"),
        Ok(Begun::Started | Begun::Number(_)) => call.reply.simple("Background saving started"),
        Err(Busy::Rewriting) => call.reply.error(
            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
             schedule a BGSAVE whenever possible.",
        ),
        Err(busy) => call.reply.error(text_of(busy)),
    }
    Outcome::Done
}

fn bgrewriteaof(call: &mut Call<'_>) -> Outcome {
    match call.host.save(Wish::Rewrite) {
        Ok(Begun::Scheduled) => call.reply.simple("Background append only file rewriting scheduled"),
        Ok(Begun::Started | Begun::Number(_)) => {
            call.reply.simple("Background append only file rewriting started");
        }
        Err(busy) => call.reply.error(text_of(busy)),
    }
    Outcome::Done
}

fn text_of(busy: Busy) -> &'static str {
    match busy {
        Busy::Saving => "ERR Background save already in progress",
        Busy::Rewriting => "ERR Background append only file rewriting already in progress",
        Busy::NoDirectory => "ERR there is no data directory in use (appendonly is no)",
        Busy::Ending => "ERR the server is ending",
    }
}
