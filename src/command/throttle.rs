//! Rate limits: `CL.THROTTLE` as redis-cell has it, and `CL.PEEK`, which takes nothing.
//!
//! The generic cell rate algorithm: what is let through adds its share of the period to one point in time, and is let
//! through only while that point lies at most a burst ahead. (<https://github.com/brandur/redis-cell>)

use crate::resp::integer;
use crate::table::WrongType;

use super::texts::{NOT_INTEGER, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Now, Outcome};

/// `CL.THROTTLE key max_burst count period [quantity]`
pub static THROTTLE: Command = Command {
    name: "cl.throttle",
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Lets a quantity through a rate limit or not, and tells what is left of it.",
        since: "0.1.0",
        group: "generic",
        complexity: "O(1)",
        arguments: ARGUMENTS,
    },
    run: |call| run(call, true),
    subcommands: &[],
};

/// `CL.PEEK key max_burst count period [quantity]`
pub static PEEK: Command = Command {
    name: "cl.peek",
    arity: -5,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Tells what CL.THROTTLE would, and takes nothing.",
        since: "0.1.0",
        group: "generic",
        complexity: "O(1)",
        arguments: ARGUMENTS,
    },
    run: |call| run(call, false),
    subcommands: &[],
};

const ARGUMENTS: &[Argument] = &[
    Argument::KEY,
    Argument::new("max_burst", "integer"),
    Argument::new("count", "integer"),
    Argument::new("period", "integer"),
    Argument::new("quantity", "integer").maybe(),
];

const SECOND: i128 = 1_000_000_000;

/// A rate limit and what is asked of it. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// How many may come at once.
    limit: i128,
    /// From one to the next when they come evenly: above zero.
    interval: i128,
    quantity: i128,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    limited: bool,
    remaining: i128,
    /// Nanoseconds until as much would be let through; `None`: it was, or never will be.
    retry_after: Option<i128>,
    /// Nanoseconds until all of the burst is free again.
    reset_after: i128,
    /// The new point in time, if it was let through.
    time: i128,
}

impl Rate {
    /// Reads the arguments behind the key.
    fn read(call: &Call<'_>) -> Result<Self, &'static str> {
        let number = |index| integer::parse(call.args.get(index)).map(i128::from).ok_or(NOT_INTEGER);
        let (burst, count, period) = (number(2)?, number(3)?, number(4)?);
        let quantity = if call.args.len() > 5 { number(5)? } else { 1 };
        if burst < 0 || quantity < 0 {
            return Err("ERR max_burst and quantity must not be negative");
        }
        if count <= 0 || period <= 0 {
            return Err("ERR count and period must be positive");
        }
        let interval = (period * SECOND / count).max(1);
        let rate = Self { limit: burst + 1, interval, quantity };
        // Points in time have 64 bits, and that is some 290 years.
        let longest = rate.limit.max(quantity).checked_mul(interval);
        if longest.is_none_or(|longest| longest > i128::from(i64::MAX) / 4) {
            return Err("ERR the burst takes too long");
        }
        Ok(rate)
    }

    /// Judges at `now`, where all that was let through before is worked off at `before`.
    fn judge(self, before: Option<i128>, now: i128) -> Answer {
        let burst = self.interval * self.limit;
        let before = before.unwrap_or(now).max(now);
        let increment = self.interval * self.quantity;
        let time = before + increment;
        let early = time - burst - now;
        let limited = early > 0;
        let reset_after = if limited { before } else { time } - now;
        Answer {
            limited,
            remaining: ((burst - reset_after) / self.interval).max(0),
            retry_after: (limited && increment <= burst).then_some(early),
            reset_after,
            time,
        }
    }
}

fn run(call: &mut Call<'_>, takes: bool) -> Outcome {
    if call.args.len() > 6 {
        let name = call.command.name.as_bytes();
        call.reply.error_parts([b"ERR wrong number of arguments for '".as_slice(), name, b"' command"]);
        return Outcome::Done;
    }
    let rate = match Rate::read(call) {
        Ok(rate) => rate,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    let Now { unix_us } = call.now;
    let now = i128::from(unix_us) * 1000;
    let judged = call.at(1, |place| {
        if !takes {
            place.find();
        }
        let answer = rate.judge(place.throttle()?.map(i128::from), now);
        // What is worked off already need not be kept.
        if takes && !answer.limited && answer.time > now {
            let time = i64::try_from(answer.time).expect("a burst is short, and now is a date");
            let deadline = u64::try_from(answer.time).expect("it is to come").div_ceil(1_000_000);
            place.set_throttle(time, deadline);
        }
        Ok(answer)
    });
    match judged {
        Ok(answer) => {
            let seconds = |time: i128| i64::try_from((time + SECOND - 1) / SECOND).unwrap_or(i64::MAX);
            call.reply.array(5);
            call.reply.integer(i64::from(answer.limited));
            call.reply.integer(i64::try_from(rate.limit).unwrap_or(i64::MAX));
            call.reply.integer(i64::try_from(answer.remaining).unwrap_or(i64::MAX));
            call.reply.integer(answer.retry_after.map_or(-1, seconds));
            call.reply.integer(seconds(answer.reset_after));
        }
        Err(WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}

#[cfg(test)]
mod tests {
    use super::{Rate, SECOND};

    /// Against a bucket that holds `limit` and leaks one in each interval: the same algorithm told the other way round.
    #[test]
    fn a_rate_is_a_bucket_that_leaks() {
        let mut random: u64 = 0x5eed;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i128::from((random >> 33) % bound)
        };
        for _ in 0..200 {
            let (limit, interval) = (1 + below(20), 1 + below(3 * 1_000_000_000));
            let (mut now, mut time) = (1_700_000_000 * SECOND, None);
            // What is in the bucket, times the interval.
            let mut level: i128 = 0;
            for _ in 0..100 {
                let passed = below(5) * interval / 2 + below(1000);
                now += passed;
                level = (level - passed).max(0);
                let quantity = below(4) * below(8);
                let answer = Rate { limit, interval, quantity }.judge(time, now);
                let fits = level + quantity * interval <= limit * interval;
                assert_eq!(answer.limited, !fits);
                if fits {
                    level += quantity * interval;
                    time = Some(answer.time);
                    assert_eq!(answer.retry_after, None);
                } else if quantity <= limit {
                    let wait = answer.retry_after.expect("it fits later");
                    assert_eq!(level - wait + quantity * interval, limit * interval);
                } else {
                    assert_eq!(answer.retry_after, None, "never");
                }
                assert_eq!(answer.reset_after, level);
                assert_eq!(answer.remaining, (limit * interval - level) / interval);
            }
        }
    }
}
