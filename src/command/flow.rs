//! Whether and when clients are answered: `CLIENT REPLY`, `CLIENT PAUSE`, `CLIENT UNPAUSE`. What a pause means for a
//! connection is the worker's business.

use crate::resp::integer;

use super::texts::{SYNTAX, quotable};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `CLIENT REPLY ON | OFF | SKIP`
pub(super) const REPLY: Command = Command {
    name: "reply",
    arity: 3,
    // Inside a transaction it would take away a part of that one's reply.
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::LATER),
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Says whether this connection is answered: always, never, or not to the next request.",
        since: "3.2.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[Argument::choice(
            "on_off_skip",
            &[Argument::word("on", "ON"), Argument::word("off", "OFF"), Argument::word("skip", "SKIP")],
        )],
    },
    run: reply,
    subcommands: &[],
};

/// `CLIENT PAUSE milliseconds [WRITE | ALL]`
pub(super) const PAUSE: Command = Command {
    name: "pause",
    arity: -3,
    flags: OPERATES,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Lets requests of all connections, or those that write, wait for so many milliseconds.",
        since: "2.9.50",
        group: "connection",
        complexity: "O(1)",
        arguments: &[
            Argument::new("timeout", "integer"),
            Argument::choice("mode", &[Argument::word("write", "WRITE"), Argument::word("all", "ALL")])
                .maybe(),
        ],
    },
    run: pause,
    subcommands: &[],
};

/// `CLIENT UNPAUSE`
pub(super) const UNPAUSE: Command = Command {
    name: "unpause",
    arity: 2,
    flags: OPERATES,
    keys: Keys::NONE,
    access: &[],
    categories: &["connection"],
    tips: &[],
    docs: Docs {
        summary: "Ends a pause.",
        since: "6.2.0",
        group: "connection",
        complexity: "O(N) with N waiting connections",
        arguments: &[],
    },
    run: unpause,
    subcommands: &[],
};

const OPERATES: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);

/// Which replies a connection does not want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// It wants all.
    #[default]
    None,
    /// It wants none, until it says otherwise.
    Always,
    /// It will not want the next one.
    Next,
    /// It does not want this one.
    Now,
}

impl Silence {
    /// Whether the reply to the request being executed is not wanted.
    #[inline]
    pub fn mutes(self) -> bool {
        matches!(self, Self::Always | Self::Now)
    }

    /// A request is done with; this is so for the next.
    #[inline]
    #[must_use]
    pub fn after(self) -> Self {
        match self {
            Self::Next => Self::Now,
            Self::Now | Self::None => Self::None,
            Self::Always => Self::Always,
        }
    }
}

fn reply(call: &mut Call<'_>) -> Outcome {
    let mode = call.args.get(2);
    let silence = &mut call.session.silence;
    if mode.eq_ignore_ascii_case(b"on") {
        *silence = Silence::None;
        call.reply.ok();
    } else if mode.eq_ignore_ascii_case(b"off") {
        *silence = Silence::Always;
    } else if mode.eq_ignore_ascii_case(b"skip") {
        if *silence != Silence::Always {
            *silence = Silence::Next;
        }
    } else {
        call.reply.error(SYNTAX);
    }
    Outcome::Done
}

/// Reads how long to wait, in milliseconds; `Err`: the error to reply with.
pub(super) fn timeout(text: &[u8]) -> Result<u64, &'static str> {
    let timeout = integer::parse(text).ok_or("ERR timeout is not an integer or out of range")?;
    u64::try_from(timeout).map_err(|_| "ERR timeout is negative")
}

fn pause(call: &mut Call<'_>) -> Outcome {
    let all = match call.args.len() {
        3 => true,
        4 if call.args.get(3).eq_ignore_ascii_case(b"write") => false,
        4 if call.args.get(3).eq_ignore_ascii_case(b"all") => true,
        4 => {
            call.reply.error("ERR CLIENT PAUSE mode must be WRITE or ALL");
            return Outcome::Done;
        }
        _ => {
            call.reply.error_parts([
                b"ERR unknown subcommand or wrong number of arguments for '".as_slice(),
                quotable(call.args.get(1)),
                b"'. Try CLIENT HELP.",
            ]);
            return Outcome::Done;
        }
    };
    match timeout(call.args.get(2)) {
        Ok(ms) => {
            call.host.pause(ms, all);
            call.reply.ok();
        }
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

fn unpause(call: &mut Call<'_>) -> Outcome {
    call.host.unpause();
    call.reply.ok();
    Outcome::Done
}
