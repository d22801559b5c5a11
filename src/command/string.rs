//! Single values: `GET`, `SET` and their older forms. Knows values as bytes; which of them are counters is the
//! table's business.

use crate::resp::args::ArgsIter;
use crate::table::{NewDeadline, WrongType};

use super::expiration::{Expiration, NewTime};
use super::expire::{self, Base, Unit};
use super::place::Place;
use super::texts::{SYNTAX, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `GET key`
pub static GET: Command = Command {
    name: "get",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Shows the value of a key.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: get,
    subcommands: &[],
};

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT ts | PXAT tms | KEEPTTL]`
pub static SET: Command = Command {
    name: "set",
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    keys: Keys::ONE,
    access: &["RW", "access", "update", "variable_flags"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Sets a key to a value, whatever it held, and drops its deadline unless told otherwise.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[
            Argument::KEY,
            VALUE,
            Argument::choice("condition", &[Argument::word("nx", "NX"), Argument::word("xx", "XX")]).maybe(),
            Argument::word("get", "GET").maybe(),
            Argument::choice(
                "expiration",
                &[
                    SECONDS.after("EX"),
                    MILLISECONDS.after("PX"),
                    Argument::new("unix-time-seconds", "unix-time").after("EXAT"),
                    Argument::new("unix-time-milliseconds", "unix-time").after("PXAT"),
                    Argument::word("keepttl", "KEEPTTL"),
                ],
            )
            .maybe(),
        ],
    },
    run: set,
    subcommands: &[],
};

/// `SETNX key value`
pub static SETNX: Command = Command {
    name: "setnx",
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["OW", "insert"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Sets a key that does not exist yet.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, VALUE],
    },
    run: setnx,
    subcommands: &[],
};

/// `SETEX key seconds value`
pub static SETEX: Command = Command {
    name: "setex",
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    keys: Keys::ONE,
    access: &["OW", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Sets a key to a value that goes away after so many seconds.",
        since: "2.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, SECONDS, VALUE],
    },
    run: |call| set_for(call, Unit::Seconds),
    subcommands: &[],
};

/// `PSETEX key milliseconds value`
pub static PSETEX: Command = Command {
    name: "psetex",
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    keys: Keys::ONE,
    access: &["OW", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Sets a key to a value that goes away after so many milliseconds.",
        since: "2.6.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, MILLISECONDS, VALUE],
    },
    run: |call| set_for(call, Unit::Milliseconds),
    subcommands: &[],
};

/// `GETSET key value`
pub static GETSET: Command = Command {
    name: "getset",
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Sets a key to a value and shows the value before.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, VALUE],
    },
    run: getset,
    subcommands: &[],
};

/// `GETEX key [EX s | PX ms | EXAT ts | PXAT ms | PERSIST]`
pub static GETEX: Command = Command {
    name: "getex",
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Shows the value of a key and sets its deadline or takes it away.",
        since: "6.2.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[
            Argument::KEY,
            Argument::choice(
                "expiration",
                &[
                    SECONDS.after("EX"),
                    MILLISECONDS.after("PX"),
                    Argument::new("unix-time-seconds", "unix-time").after("EXAT"),
                    Argument::new("unix-time-milliseconds", "unix-time").after("PXAT"),
                    Argument::word("persist", "PERSIST"),
                ],
            )
            .maybe(),
        ],
    },
    run: getex,
    subcommands: &[],
};

/// `GETDEL key`
pub static GETDEL: Command = Command {
    name: "getdel",
    arity: 2,
    flags: Flags::WRITE.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "delete"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Shows the value of a key and removes the key.",
        since: "6.2.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: getdel,
    subcommands: &[],
};

const VALUE: Argument = Argument::new("value", "string");
const SECONDS: Argument = Argument::new("seconds", "integer");
const MILLISECONDS: Argument = Argument::new("milliseconds", "integer");

fn get(call: &mut Call<'_>) -> Outcome {
    if let Err(error) = call.at(1, |place| place.show()) {
        error.reply(&mut call.reply);
    }
    Outcome::Done
}

/// The options of `SET`.
#[derive(Clone, Copy, Debug)]
struct Options<'a> {
    /// Only where there is no key.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Reply with the value before.
    get: bool,
    expiration: Expiration<'a>,
}

impl<'a> Options<'a> {
    /// Reads the options; `None` is a syntax error. The same option may come twice, and then the last one
    /// counts, as in Redis; different ones that exclude each other may not.
    fn read(mut options: ArgsIter<'a>) -> Option<Self> {
        let mut read = Self { nx: false, xx: false, get: false, expiration: Expiration::Absent };
        while let Some(option) = options.next() {
            if option.eq_ignore_ascii_case(b"nx") && !read.xx {
                read.nx = true;
            } else if option.eq_ignore_ascii_case(b"xx") && !read.nx {
                read.xx = true;
            } else if option.eq_ignore_ascii_case(b"get") {
                read.get = true;
            } else {
                read.expiration = read.expiration.and(b"keepttl", option, &mut options)?;
            }
        }
        Some(read)
    }
}

fn set(call: &mut Call<'_>) -> Outcome {
    let value = call.args.get(2);
    if call.args.len() == 3 {
        call.at(1, |place| place.set(value, NewDeadline::Clear));
        call.reply.ok();
        return Outcome::Done;
    }
    let Some(options) = Options::read(call.args.tail(3)) else {
        call.reply.error(SYNTAX);
        return Outcome::Done;
    };
    let deadline = match options.expiration.read(call.now) {
        Ok(NewTime::Absent) => NewDeadline::Clear,
        Ok(NewTime::Word) => NewDeadline::Keep,
        Ok(NewTime::At(deadline)) => NewDeadline::At(deadline),
        Err(error) => {
            error.reply(call);
            return Outcome::Done;
        }
    };
    let done = call.at(1, |place| {
        let found = if options.get { place.show()? } else { (options.nx || options.xx) && place.exists() };
        let wanted = !(options.nx && found || options.xx && !found);
        if wanted {
            place.set(value, deadline);
        }
        Ok(wanted)
    });
    match (options.get, done) {
        (_, Err(WrongType)) => call.reply.error(WRONG_TYPE),
        // The value before is the whole reply, whether or not it was replaced.
        (true, Ok(_)) => {}
        (false, Ok(true)) => call.reply.ok(),
        (false, Ok(false)) => call.reply.null(),
    }
    Outcome::Done
}

fn setnx(call: &mut Call<'_>) -> Outcome {
    let value = call.args.get(2);
    let done = call.at(1, |place| {
        let free = !place.exists();
        if free {
            place.set(value, NewDeadline::Clear);
        }
        free
    });
    call.reply.integer(i64::from(done));
    Outcome::Done
}

fn set_for(call: &mut Call<'_>, unit: Unit) -> Outcome {
    let value = call.args.get(3);
    match expire::deadline(call.args.get(2), unit, Base::Now, call.now) {
        Ok(deadline) => {
            call.at(1, |place| place.set(value, NewDeadline::At(deadline)));
            call.reply.ok();
        }
        Err(error) => error.reply(call),
    }
    Outcome::Done
}

fn getset(call: &mut Call<'_>) -> Outcome {
    let value = call.args.get(2);
    let shown = call.at(1, |place| {
        place.show()?;
        place.set(value, NewDeadline::Clear);
        Ok(())
    });
    tell(call, shown)
}

fn getdel(call: &mut Call<'_>) -> Outcome {
    let shown = call.at(1, |place| {
        if place.show()? {
            place.remove();
        }
        Ok(())
    });
    tell(call, shown)
}

/// Replies with the error where nothing could be shown.
fn tell(call: &mut Call<'_>, shown: Result<(), WrongType>) -> Outcome {
    if let Err(error) = shown {
        error.reply(&mut call.reply);
    }
    Outcome::Done
}

fn getex(call: &mut Call<'_>) -> Outcome {
    let mut expiration = Expiration::Absent;
    let mut options = call.args.tail(2);
    while let Some(option) = options.next() {
        match expiration.and(b"persist", option, &mut options) {
            Some(both) => expiration = both,
            None => {
                call.reply.error(SYNTAX);
                return Outcome::Done;
            }
        }
    }
    // A time that makes no sense is told only where there is a string.
    let time = expiration.read(call.now);
    let refused = call.at(1, |place| {
        let time = match time {
            Err(error) if place.is_string() == Some(true) => {
                place.find();
                return Ok(Some(error));
            }
            Err(_) => NewTime::Absent,
            Ok(time) => time,
        };
        if place.show()? {
            match time {
                NewTime::Absent => {}
                NewTime::Word => persist(place),
                NewTime::At(deadline) => {
                    place.set_deadline(Some(deadline));
                }
            }
        }
        Ok(None)
    });
    match refused {
        Ok(Some(error)) => error.reply(call),
        Ok(None) => {}
        Err(WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}

/// Takes the deadline away, if there is one: what does not change is no change to those who watch.
fn persist(place: &mut Place<'_, '_>) {
    if matches!(place.deadline(), Some(Some(_))) {
        place.set_deadline(None);
    }
}
