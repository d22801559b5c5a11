//! Sliding-window counters: `WINCRBY`, which adds to the bucket of now, and `WGET`, which sums the window.

use crate::resp::integer;
use crate::table::{WindowError, WindowShape};

use super::texts::{NOT_INTEGER, OVERFLOW, SYNTAX, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `WINCRBY key delta WINDOW ms [BUCKETS n]`
pub static WINCRBY: Command = Command {
    name: "wincrby",
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Adds to a sliding window of time, and tells the sum of what is in it.",
        since: "0.1.0",
        group: "generic",
        complexity: "O(N) with N buckets in which something was counted",
        arguments: &[
            Argument::KEY,
            Argument::new("delta", "integer"),
            Argument::new("milliseconds", "integer").after("WINDOW"),
            Argument::new("buckets", "integer").after("BUCKETS").maybe(),
        ],
    },
    run: wincrby,
    subcommands: &[],
};

/// `WGET key`
pub static WGET: Command = Command {
    name: "wget",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Tells the sum of what is in a sliding window of time, 0 where there is none.",
        since: "0.1.0",
        group: "generic",
        complexity: "O(N) with N buckets in which something was counted",
        arguments: &[Argument::KEY],
    },
    run: wget,
    subcommands: &[],
};

/// Buckets of a window for which none are given.
const BUCKETS: u16 = 60;

/// Reads what is added, and the window's length and buckets.
fn read(call: &Call<'_>) -> Result<(i64, u64, Option<u16>), &'static str> {
    let delta = integer::parse(call.args.get(2)).ok_or(NOT_INTEGER)?;
    let (mut length, mut buckets) = (None, None);
    let mut rest = call.args.tail(3);
    while let Some(option) = rest.next() {
        let text = rest.next().ok_or(SYNTAX)?;
        let number = |bound: i64, error| {
            let number = integer::parse(text).ok_or(NOT_INTEGER)?;
            if (1..=bound).contains(&number) { Ok(number) } else { Err(error) }
        };
        if option.eq_ignore_ascii_case(b"window") && length.is_none() {
            // As many milliseconds as a deadline may be away in Redis.
            let number = number(i64::MAX / 2, "ERR WINDOW must be a positive number of milliseconds")?;
            length = Some(number.unsigned_abs());
        } else if option.eq_ignore_ascii_case(b"buckets") && buckets.is_none() {
            let number = number(WindowShape::MOST_BUCKETS.into(), "ERR BUCKETS must be between 1 and 1024")?;
            buckets = u16::try_from(number).ok();
        } else {
            return Err(SYNTAX);
        }
    }
    Ok((delta, length.ok_or(SYNTAX)?, buckets))
}

fn wincrby(call: &mut Call<'_>) -> Outcome {
    let (delta, length_ms, buckets) = match read(call) {
        Ok(read) => read,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    match call.at(1, |place| place.add_window((length_ms, buckets, BUCKETS), delta)) {
        Ok(sum) => call.reply.integer(sum),
        Err(WindowError::WrongType) => call.reply.error(WRONG_TYPE),
        Err(WindowError::Overflow) => call.reply.error(OVERFLOW),
        Err(WindowError::Shape(WindowShape { length_ms, buckets })) => {
            let text =
                format!("ERR the window was made with WINDOW {length_ms} BUCKETS {buckets} and keeps these");
            call.reply.error(text);
        }
    }
    Outcome::Done
}

fn wget(call: &mut Call<'_>) -> Outcome {
    match call.at(1, |place| place.window_sum()) {
        Ok(sum) => call.reply.integer(sum.unwrap_or(0)),
        Err(error) => error.reply(&mut call.reply),
    }
    Outcome::Done
}
