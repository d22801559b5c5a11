//! Deadlines: how commands name them, and the commands that set, show and drop them. Knows milliseconds since
//! the Unix epoch and no clock.

use crate::resp::integer;

use super::texts::{NOT_INTEGER, quotable};
use super::{Argument, Call, Command, Docs, Flags, Keys, Now, Outcome};

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub static EXPIRE: Command = Command {
    name: "expire",
    arity: -3,
    flags: SETS,
    keys: Keys::ONE,
    access: &["RW", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Lets a key go away after so many seconds.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("seconds", "integer"), CONDITION],
    },
    run: |call| expire(call, Unit::Seconds, Base::Now),
    subcommands: &[],
};

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub static PEXPIRE: Command = Command {
    name: "pexpire",
    arity: -3,
    flags: SETS,
    keys: Keys::ONE,
    access: &["RW", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Lets a key go away after so many milliseconds.",
        since: "2.6.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("milliseconds", "integer"), CONDITION],
    },
    run: |call| expire(call, Unit::Milliseconds, Base::Now),
    subcommands: &[],
};

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
pub static EXPIREAT: Command = Command {
    name: "expireat",
    arity: -3,
    flags: SETS,
    keys: Keys::ONE,
    access: &["RW", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Lets a key go away at a Unix time in seconds.",
        since: "1.2.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("unix-time-seconds", "unix-time"), CONDITION],
    },
    run: |call| expire(call, Unit::Seconds, Base::Epoch),
    subcommands: &[],
};

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
pub static PEXPIREAT: Command = Command {
    name: "pexpireat",
    arity: -3,
    flags: SETS,
    keys: Keys::ONE,
    access: &["RW", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Lets a key go away at a Unix time in milliseconds.",
        since: "2.6.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("unix-time-milliseconds", "unix-time"), CONDITION],
    },
    run: |call| expire(call, Unit::Milliseconds, Base::Epoch),
    subcommands: &[],
};

/// `TTL key`
pub static TTL: Command = Command {
    name: "ttl",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Tells how many seconds a key has left: -1 without a deadline, -2 without a key.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: |call| show_left(call, Unit::Seconds),
    subcommands: &[],
};

/// `PTTL key`
pub static PTTL: Command = Command {
    name: "pttl",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Tells how many milliseconds a key has left: -1 without a deadline, -2 without a key.",
        since: "2.6.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: |call| show_left(call, Unit::Milliseconds),
    subcommands: &[],
};

/// `EXPIRETIME key`
pub static EXPIRETIME: Command = Command {
    name: "expiretime",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Tells the Unix time in seconds at which a key goes away: -1 without a deadline, -2 without a key.",
        since: "7.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: |call| show_deadline(call, Unit::Seconds),
    subcommands: &[],
};

/// `PEXPIRETIME key`
pub static PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Tells the Unix time in milliseconds at which a key goes away: -1 without a deadline, -2 without a \
                  key.",
        since: "7.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: |call| show_deadline(call, Unit::Milliseconds),
    subcommands: &[],
};

/// `PERSIST key`
pub static PERSIST: Command = Command {
    name: "persist",
    arity: 2,
    flags: SETS,
    keys: Keys::ONE,
    access: &["RW", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Takes a key's deadline away.",
        since: "2.2.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: persist,
    subcommands: &[],
};

const SETS: Flags = Flags::WRITE.and(Flags::FAST);

const CONDITION: Argument = Argument::choice(
    "condition",
    &[
        Argument::word("nx", "NX"),
        Argument::word("xx", "XX"),
        Argument::word("gt", "GT"),
        Argument::word("lt", "LT"),
    ],
)
.maybe();

/// In what a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds
    Seconds,
    /// Milliseconds
    Milliseconds,
}

/// From when on a time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// From the command's time on.
    Now,
    /// From the Unix epoch on.
    Epoch,
}

/// Why a time was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeError {
    /// No decimal integer.
    NotInteger,
    /// It leaves the range of an `i64` in milliseconds, or is not positive where it must be.
    Invalid,
}

impl TimeError {
    /// Replies with the error, in the name of the running command.
    pub(super) fn reply(self, call: &mut Call<'_>) {
        match self {
            Self::NotInteger => call.reply.error(NOT_INTEGER),
            Self::Invalid => call.reply.error_parts([
                b"ERR invalid expire time in '".as_slice(),
                call.command.name.as_bytes(),
                b"' command",
            ]),
        }
    }
}

/// A point in time in milliseconds since the Unix epoch, negative before it.
fn point(amount: i64, unit: Unit, base: Base, now: Now) -> Result<i64, TimeError> {
    let scale = match unit {
        Unit::Seconds => 1000,
        Unit::Milliseconds => 1,
    };
    let start = match base {
        Base::Now => i64::try_from(now.ms()).map_err(|_| TimeError::Invalid)?,
        Base::Epoch => 0,
    };
    amount.checked_mul(scale).and_then(|ms| ms.checked_add(start)).ok_or(TimeError::Invalid)
}

/// The deadline that an option of `SET` or an argument of `SETEX` names: only positive times will do.
pub(super) fn deadline(text: &[u8], unit: Unit, base: Base, now: Now) -> Result<u64, TimeError> {
    let amount = integer::parse(text).ok_or(TimeError::NotInteger)?;
    if amount <= 0 {
        return Err(TimeError::Invalid);
    }
    let point = point(amount, unit, base, now)?;
    u64::try_from(point).map_err(|_| TimeError::Invalid)
}

/// Which deadlines `EXPIRE` may replace.
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    /// Only where there is none.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Only an earlier one: deadlines move back alone. None counts as the latest of all.
    gt: bool,
    /// Only a later one: deadlines move forward alone.
    lt: bool,
}

impl Condition {
    /// Reads the options from argument 3 on; `None`: refused, and the reply says why.
    fn read(call: &mut Call<'_>) -> Option<Self> {
        let mut condition = Self::default();
        for option in call.args.tail(3) {
            let flag = if option.eq_ignore_ascii_case(b"nx") {
                &mut condition.nx
            } else if option.eq_ignore_ascii_case(b"xx") {
                &mut condition.xx
            } else if option.eq_ignore_ascii_case(b"gt") {
                &mut condition.gt
            } else if option.eq_ignore_ascii_case(b"lt") {
                &mut condition.lt
            } else {
                call.reply.error_parts([b"ERR Unsupported option ".as_slice(), quotable(option)]);
                return None;
            };
            *flag = true;
        }
        let Self { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            call.reply.error("ERR NX and XX, GT or LT options at the same time are not compatible");
            return None;
        }
        if gt && lt {
            call.reply.error("ERR GT and LT options at the same time are not compatible");
            return None;
        }
        Some(condition)
    }

    fn allows(self, current: Option<u64>, wanted: u64) -> bool {
        match current {
            None => !self.xx && !self.gt,
            Some(current) => !self.nx && (!self.gt || wanted > current) && (!self.lt || wanted < current),
        }
    }
}

fn expire(call: &mut Call<'_>, unit: Unit, base: Base) -> Outcome {
    let Some(condition) = Condition::read(call) else {
        return Outcome::Done;
    };
    let wanted = match integer::parse(call.args.get(2)) {
        Some(amount) => point(amount, unit, base, call.now),
        None => Err(TimeError::NotInteger),
    };
    let wanted = match wanted {
        // Any time before the epoch has passed just as the epoch has.
        Ok(point) => u64::try_from(point).unwrap_or(0),
        Err(error) => {
            error.reply(call);
            return Outcome::Done;
        }
    };
    let done = call.at(1, |place| match place.deadline() {
        Some(current) if condition.allows(current, wanted) => place.set_deadline(Some(wanted)),
        Some(_) | None => false,
    });
    call.reply.integer(i64::from(done));
    Outcome::Done
}

fn persist(call: &mut Call<'_>) -> Outcome {
    let done = call.at(1, |place| match place.deadline() {
        Some(Some(_)) => place.set_deadline(None),
        Some(None) | None => false,
    });
    call.reply.integer(i64::from(done));
    Outcome::Done
}

/// Milliseconds until a key's deadline: -1 without a deadline, -2 without a key.
pub(super) fn left(deadline: Option<Option<u64>>, now: Now) -> i64 {
    match deadline {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => i64::try_from(deadline.saturating_sub(now.ms())).unwrap_or(i64::MAX),
    }
}

fn show_left(call: &mut Call<'_>, unit: Unit) -> Outcome {
    let now = call.now;
    let left = call.at(1, |place| left(place.find_deadline(), now));
    show(call, left, unit)
}

fn show_deadline(call: &mut Call<'_>, unit: Unit) -> Outcome {
    let deadline = match call.at(1, |place| place.find_deadline()) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => i64::try_from(deadline).unwrap_or(i64::MAX),
    };
    show(call, deadline, unit)
}

/// Replies with milliseconds or, to the nearest one as Redis does, seconds; the markers below zero stay as they are.
fn show(call: &mut Call<'_>, ms: i64, unit: Unit) -> Outcome {
    call.reply.integer(match unit {
        Unit::Seconds if ms >= 0 => ms.saturating_add(500) / 1000,
        Unit::Seconds | Unit::Milliseconds => ms,
    });
    Outcome::Done
}
