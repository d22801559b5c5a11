//! Increments that may be sent again: a token tells that one was applied already. `INCRONCE` for one key, `MINCRONCE` for a
//! batch.
//!
//! What a token was used with is kept as a fingerprint: a token that comes again with other arguments is a mistake of its
//! client's, and answered with an error.

use std::collections::HashMap;

use crate::resp::integer;
use crate::table::{AddError, Used};

use super::counter::reason;
use super::expire::{self, Base, TimeError, Unit};
use super::texts::{NOT_INTEGER, SYNTAX};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `INCRONCE key delta token [EX s | PX ms]`
pub static INCRONCE: Command = Command {
    name: "incronce",
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds a number to a counter, once for each token, however often it is sent.",
        since: "0.1.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[
            Argument::KEY,
            Argument::new("delta", "integer"),
            Argument::new("token", "string"),
            Argument::choice(
                "window",
                &[
                    Argument::new("seconds", "integer").after("EX"),
                    Argument::new("milliseconds", "integer").after("PX"),
                ],
            )
            .maybe(),
        ],
    },
    run: incronce,
    subcommands: &[],
};

/// `MINCRONCE token ms key delta [key delta …]`
pub static MINCRONCE: Command = Command {
    name: "mincronce",
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::TOKEN),
    keys: Keys { first: PAIRS, last: -1, step: 2 },
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds to counters, to all or to none, once for each token, however often it is sent.",
        since: "0.1.0",
        group: "string",
        complexity: "O(N) with N keys",
        arguments: &[
            Argument::new("token", "string"),
            Argument::new("milliseconds", "integer"),
            Argument::block("key_delta", &[Argument::KEY, Argument::new("delta", "integer")]).many(),
        ],
    },
    run: mincronce,
    subcommands: &[],
};

/// Seconds for which a token is remembered where none are given.
const WINDOW_SECONDS: &[u8] = b"600";

/// The argument at which the pairs of a batch begin.
const PAIRS: usize = 3;

/// Bytes of a token.
const TOKEN_BYTES: usize = 64;

const OTHER_ARGUMENTS: &str = "ERR the token was used with other arguments";
const TOO_MANY: &str = "ERR max number of tokens reached";

/// Why arguments are refused.
enum Refusal {
    /// For what this says.
    Text(&'static str),
    /// For their time.
    Time(TimeError),
}

impl From<&'static str> for Refusal {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<TimeError> for Refusal {
    fn from(error: TimeError) -> Self {
        Self::Time(error)
    }
}

impl Refusal {
    fn reply(self, call: &mut Call<'_>) -> Outcome {
        match self {
            Self::Text(text) => call.reply.error(text),
            Self::Time(error) => error.reply(call),
        }
        Outcome::Done
    }
}

/// The token at an argument.
fn token<'a>(call: &Call<'a>, index: usize) -> Result<&'a [u8], &'static str> {
    let token = call.args.get(index);
    let fits = (1..=TOKEN_BYTES).contains(&token.len());
    if fits { Ok(token) } else { Err("ERR a token has 1 to 64 bytes") }
}

/// The 64-bit FNV-1a hash of arguments, with their lengths, so that no two lists of them are the same bytes. The journal
/// keeps it: it must not change. (<http://www.isthe.com/chongo/tech/comp/fnv/>)
fn fingerprint<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    arguments.fold(0xcbf2_9ce4_8422_2325, |hash, argument| {
        let hash = argument.len().to_le_bytes().iter().fold(hash, step);
        argument.iter().fold(hash, step)
    })
}

/// Whether no more tokens may be remembered.
fn is_full(call: &Call<'_>) -> bool {
    call.table.tokens() >= call.host.limits().max_tokens
}

/// What `INCRONCE` is to do.
struct Once<'a> {
    delta: i64,
    token: &'a [u8],
    fingerprint: u64,
    /// When the token is forgotten.
    deadline: u64,
}

impl<'a> Once<'a> {
    /// Reads the arguments.
    fn read(call: &Call<'a>) -> Result<Self, Refusal> {
        let delta = integer::parse(call.args.get(2)).ok_or(NOT_INTEGER)?;
        let token = token(call, 3)?;
        let (unit, text) = match call.args.len() {
            4 => (Unit::Seconds, WINDOW_SECONDS),
            6 if call.args.get(4).eq_ignore_ascii_case(b"ex") => (Unit::Seconds, call.args.get(5)),
            6 if call.args.get(4).eq_ignore_ascii_case(b"px") => (Unit::Milliseconds, call.args.get(5)),
            _ => return Err(SYNTAX.into()),
        };
        let deadline = expire::deadline(text, unit, Base::Now, call.now)?;
        // The length of the window, however it was written.
        let window = (deadline - call.now.ms()).to_le_bytes();
        let fingerprint = fingerprint([delta.to_le_bytes().as_slice(), &window].into_iter());
        Ok(Self { delta, token, fingerprint, deadline })
    }
}

fn incronce(call: &mut Call<'_>) -> Outcome {
    let once = match Once::read(call) {
        Ok(once) => once,
        Err(refusal) => return refusal.reply(call),
    };
    let full = is_full(call);
    let Once { delta, token, fingerprint, deadline } = once;
    let done = call.at_group(1, |place| {
        if let Some(used) = place.token(token) {
            return if used.fingerprint == fingerprint { Ok((used.value, 0)) } else { Err(OTHER_ARGUMENTS) };
        }
        if full {
            return Err(TOO_MANY);
        }
        let value = place.add(delta).map_err(reason)?;
        place.use_token(token, Used { fingerprint, value, deadline });
        Ok((value, 1))
    });
    match done {
        Ok((value, applied)) => {
            call.reply.array(2);
            call.reply.integer(value);
            call.reply.integer(applied);
        }
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

/// Reads the arguments of `MINCRONCE` but for the pairs: the token and when it is forgotten.
fn read_batch<'a>(call: &Call<'a>) -> Result<(&'a [u8], u64), Refusal> {
    let token = token(call, 1)?;
    let deadline = expire::deadline(call.args.get(2), Unit::Milliseconds, Base::Now, call.now);
    // An increment that is none is told before a time that does not do.
    if call.args.tail(PAIRS + 1).step_by(2).any(|delta| integer::parse(delta).is_none()) {
        return Err(NOT_INTEGER.into());
    }
    Ok((token, deadline?))
}

fn mincronce(call: &mut Call<'_>) -> Outcome {
    if call.args.len().is_multiple_of(2) {
        call.reply.error("ERR wrong number of arguments for 'mincronce' command");
        return Outcome::Done;
    }
    let (token, deadline) = match read_batch(call) {
        Ok(read) => read,
        Err(refusal) => return refusal.reply(call),
    };
    let fingerprint = fingerprint(call.args.tail(2));
    let full = is_full(call);
    call.holding(|call| match call.server_token(token) {
        Some(used) if used.fingerprint == fingerprint => show(call),
        Some(_) => call.reply.error(OTHER_ARGUMENTS),
        None if full => call.reply.error(TOO_MANY),
        None => match check(call) {
            Err(text) => call.reply.error(text),
            Ok(()) => {
                apply(call);
                call.use_server_token(token, Used { fingerprint, value: 0, deadline });
            }
        },
    });
    Outcome::Done
}

/// Whether every pair can be applied, one after the other: a key may be named twice.
fn check(call: &mut Call<'_>) -> Result<(), &'static str> {
    let mut sums: HashMap<&[u8], i64> = HashMap::with_capacity(call.args.len() / 2);
    let mut checked = Ok(());
    call.at_each_held::<2>(PAIRS, |place, delta| {
        if checked.is_err() {
            return;
        }
        let before = match sums.get(place.name()) {
            Some(sum) => Ok(*sum),
            None => place.number().map(|number| number.unwrap_or(0)),
        };
        let sum = before.and_then(|before| before.checked_add(read(delta)).ok_or(AddError::Overflow));
        checked = match sum {
            Ok(sum) => {
                sums.insert(place.name(), sum);
                Ok(())
            }
            Err(error) => Err(reason(error)),
        };
    });
    checked
}

fn read(delta: &[u8]) -> i64 {
    integer::parse(delta).expect("every increment was read before")
}

/// Applies every pair and replies with the new values.
fn apply(call: &mut Call<'_>) {
    begin_reply(call, 1);
    call.at_each_held::<2>(PAIRS, |place, delta| {
        let sum = place.add(read(delta)).expect("it was found that it can be added");
        place.reply.integer(sum);
    });
}

/// Replies with the values as they are: a number, or null where there is none.
fn show(call: &mut Call<'_>) {
    begin_reply(call, 0);
    call.at_each_held::<2>(PAIRS, |place, _| match place.number() {
        Ok(Some(number)) => place.reply.integer(number),
        Ok(None) | Err(AddError::NotInteger | AddError::WrongType | AddError::Overflow) => place.reply.null(),
    });
}

fn begin_reply(call: &mut Call<'_>, applied: i64) {
    call.reply.array(2);
    call.reply.integer(applied);
    call.reply.array((call.args.len() - PAIRS) / 2);
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints_do_not_change() {
        let of = |arguments: &[&[u8]]| fingerprint(arguments.iter().copied());
        assert_eq!(of(&[]), 0xcbf2_9ce4_8422_2325);
        // Worked out with another program.
        assert_eq!(of(&[b"a", b"1"]), 4_740_109_694_566_875_965);
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b""]), of(&[]));
    }
}
