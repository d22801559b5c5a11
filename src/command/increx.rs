//! `INCREX`: a counter or a float that is added to within bounds and given a deadline, in one step. As Redis 8.8 has it,
//! and with the conditions of Valkey.

use crate::resp::args::ArgsIter;
use crate::resp::encode::Encoder;
use crate::resp::extended::{self, Extended, Finite};
use crate::resp::integer;
use crate::table::{NewDeadline, Scalar};

use super::expiration::{Expiration, NewTime};
use super::float;
use super::place::Place;
use super::texts::{NOT_FINITE, NOT_INTEGER, SYNTAX, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `INCREX key [NX | XX] [BYINT n | BYFLOAT x] [LBOUND l] [UBOUND u] [SATURATE] [EX s | PX ms | EXAT ts | PXAT ms |
/// PERSIST] [ENX]`
pub static INCREX: Command = Command {
    name: "increx",
    arity: -2,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds to a number within bounds, sets its deadline, and tells the new number and what was added.",
        since: "8.8.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[
            Argument::KEY,
            Argument::choice("condition", &[Argument::word("nx", "NX"), Argument::word("xx", "XX")]).maybe(),
            Argument::choice(
                "increment",
                &[
                    Argument::new("integer", "integer").after("BYINT"),
                    Argument::new("float", "double").after("BYFLOAT"),
                ],
            )
            .maybe(),
            Argument::new("lowerbound", "string").after("LBOUND").maybe(),
            Argument::new("upperbound", "string").after("UBOUND").maybe(),
            Argument::word("saturate", "SATURATE").maybe(),
            Argument::choice(
                "expiration",
                &[
                    Argument::new("seconds", "integer").after("EX"),
                    Argument::new("milliseconds", "integer").after("PX"),
                    Argument::new("unix-time-seconds", "unix-time").after("EXAT"),
                    Argument::new("unix-time-milliseconds", "unix-time").after("PXAT"),
                    Argument::word("persist", "PERSIST"),
                ],
            )
            .maybe(),
            Argument::word("enx", "ENX").maybe(),
        ],
    },
    run: increx,
    subcommands: &[],
};

/// What is added.
#[derive(Clone, Copy, Debug)]
enum By<'a> {
    Int(Option<&'a [u8]>),
    Float(&'a [u8]),
}

/// The options, unread. None may come twice.
#[derive(Clone, Copy, Debug)]
struct Options<'a> {
    by: By<'a>,
    /// Only where there is no key.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturate: bool,
    expiration: Expiration<'a>,
    /// The deadline is for a key that has none.
    enx: bool,
}

impl<'a> Options<'a> {
    fn read(mut rest: ArgsIter<'a>) -> Result<Self, &'static str> {
        let mut read = Self {
            by: By::Int(None),
            nx: false,
            xx: false,
            lower: None,
            upper: None,
            saturate: false,
            expiration: Expiration::Absent,
            enx: false,
        };
        while let Some(option) = rest.next() {
            read.take(option, &mut rest).ok_or(SYNTAX)?;
        }
        if read.enx && read.expiration == Expiration::Word {
            return Err(SYNTAX);
        }
        if read.enx && read.expiration == Expiration::Absent {
            return Err("ERR ENX flag requires an expiration");
        }
        Ok(read)
    }

    /// Takes one option in. `None`: it is none, lacks its value, or does not go with those before.
    fn take(&mut self, option: &[u8], rest: &mut ArgsIter<'a>) -> Option<()> {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        if is(b"nx") || is(b"xx") {
            let flag = if is(b"nx") { &mut self.nx } else { &mut self.xx };
            *flag = true;
            return (!(self.nx && self.xx)).then_some(());
        }
        if is(b"byint") || is(b"byfloat") {
            let first = matches!(self.by, By::Int(None));
            let value = rest.next().filter(|_| first)?;
            self.by = if is(b"byint") { By::Int(Some(value)) } else { By::Float(value) };
            return Some(());
        }
        if is(b"lbound") || is(b"ubound") {
            let bound = if is(b"lbound") { &mut self.lower } else { &mut self.upper };
            let first = bound.is_none();
            *bound = Some(rest.next()?);
            return first.then_some(());
        }
        if is(b"saturate") || is(b"enx") {
            let flag = if is(b"saturate") { &mut self.saturate } else { &mut self.enx };
            return (!std::mem::replace(flag, true)).then_some(());
        }
        let first = self.expiration == Expiration::Absent;
        self.expiration = self.expiration.and(b"persist", option, rest)?;
        first.then_some(())
    }

    /// Whether the key's being there or not is what was asked for.
    fn fits(&self, place: &mut Place<'_, '_>) -> bool {
        !(self.nx || self.xx) || place.exists() == self.xx
    }
}

/// What came of an addition.
pub(super) enum Sum<N> {
    /// The new number and what was added.
    Changed(N, N),
    /// Out of bounds: this is what stays.
    Kept(N),
}

/// Both numbers of a reply.
type Told<N> = Result<Option<(N, N)>, &'static str>;

fn increx(call: &mut Call<'_>) -> Outcome {
    let options = match Options::read(call.args.tail(2)) {
        Ok(options) => options,
        Err(text) => return refuse(call, text),
    };
    let time = match options.expiration.read(call.now) {
        Ok(time) => time,
        Err(error) => {
            error.reply(call);
            return Outcome::Done;
        }
    };
    match options.by {
        By::Int(by) => match Integers::read(by, options.lower, options.upper, options.saturate) {
            Ok(integers) => {
                let told = call.at(1, |place| integers.add(place, &options, time));
                tell(call, told, Encoder::integer)
            }
            Err(text) => refuse(call, text),
        },
        By::Float(by) => match Floats::read(by, &options) {
            Ok(floats) => {
                let told = call.at(1, |place| floats.add(place, &options, time));
                tell(call, told, |reply, number| reply.double(number.print().as_ref()))
            }
            Err(text) => refuse(call, text),
        },
    }
}

fn refuse(call: &mut Call<'_>, text: &str) -> Outcome {
    call.reply.error(text);
    Outcome::Done
}

fn tell<'a, N>(call: &mut Call<'a>, told: Told<N>, number: impl Fn(&mut Encoder<'a>, N)) -> Outcome {
    match told {
        Ok(Some((new, added))) => {
            call.reply.array(2);
            number(&mut call.reply, new);
            number(&mut call.reply, added);
        }
        Ok(None) => call.reply.null(),
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

/// Sets the new value, and the deadline as it was asked for.
fn store(place: &mut Place<'_, '_>, value: &[u8], time: NewTime, enx: bool) {
    let timed = enx && matches!(place.deadline(), Some(Some(_)));
    place.set(
        value,
        match time {
            NewTime::At(deadline) if !timed => NewDeadline::At(deadline),
            NewTime::At(_) | NewTime::Absent => NewDeadline::Keep,
            NewTime::Word => NewDeadline::Clear,
        },
    );
}

/// An addition of integers: `lower <= upper`.
pub(super) struct Integers {
    by: i64,
    lower: i64,
    upper: i64,
    saturate: bool,
}

impl Integers {
    /// Reads what is added, 1 unless told otherwise, and both bounds.
    pub(super) fn read(
        by: Option<&[u8]>,
        lower: Option<&[u8]>,
        upper: Option<&[u8]>,
        saturate: bool,
    ) -> Result<Self, &'static str> {
        let number = |text: Option<&[u8]>, default: i64, error| {
            text.map_or(Some(default), integer::parse).ok_or(error)
        };
        let by = number(by, 1, "ERR Increment is not an integer or out of range")?;
        let lower = number(lower, i64::MIN, "ERR LBOUND is not an integer or out of range")?;
        let upper = number(upper, i64::MAX, "ERR UBOUND is not an integer or out of range")?;
        if lower > upper {
            return Err(CROSSED);
        }
        Ok(Self { by, lower, upper, saturate })
    }

    fn add(&self, place: &mut Place<'_, '_>, options: &Options<'_>, time: NewTime) -> Told<i64> {
        if !options.fits(place) {
            return Ok(None);
        }
        let current = place.string(|value, _| match value {
            None => Ok(0),
            Some(Scalar::Int(number)) => Ok(number),
            Some(Scalar::Str(_)) => Err(NOT_INTEGER),
        });
        match self.sum(current.map_err(|_| WRONG_TYPE)??)? {
            Sum::Kept(current) => Ok(Some((current, 0))),
            Sum::Changed(new, added) => {
                store(place, itoa::Buffer::new().format(new).as_bytes(), time, options.enx);
                Ok(Some((new, added)))
            }
        }
    }

    /// Adds to `current` as far as the bounds allow.
    pub(super) fn sum(&self, current: i64) -> Result<Sum<i64>, &'static str> {
        // Two numbers of 64 bits have a sum in 128.
        let sum = i128::from(current) + i128::from(self.by);
        let bounded = sum.clamp(i128::from(self.lower), i128::from(self.upper));
        if bounded != sum && !self.saturate {
            return Ok(Sum::Kept(current));
        }
        let new = i64::try_from(bounded).expect("it lies between two that are 64 bits");
        let added = new.checked_sub(current).ok_or("ERR applied increment would overflow")?;
        Ok(Sum::Changed(new, added))
    }
}

/// An addition of floats: `lower <= upper`.
struct Floats {
    by: Finite,
    lower: Extended,
    upper: Extended,
    saturate: bool,
}

impl Floats {
    fn read(by: &[u8], options: &Options<'_>) -> Result<Self, &'static str> {
        let number =
            |text: Option<&[u8]>, default, error| text.map_or(Some(default), extended::parse).ok_or(error);
        let by = match extended::parse(by).ok_or("ERR Increment is not a valid float")? {
            Extended::Finite(by) => by,
            Extended::Infinite { .. } => return Err(NOT_FINITE),
        };
        let (least, greatest) = (Extended::Finite(Finite::MAX.negated()), Extended::Finite(Finite::MAX));
        let lower = number(options.lower, least, "ERR LBOUND is not a valid float")?;
        let upper = number(options.upper, greatest, "ERR UBOUND is not a valid float")?;
        if lower > upper {
            return Err(CROSSED);
        }
        Ok(Self { by, lower, upper, saturate: options.saturate })
    }

    fn add(&self, place: &mut Place<'_, '_>, options: &Options<'_>, time: NewTime) -> Told<Finite> {
        if !options.fits(place) {
            return Ok(None);
        }
        let Extended::Finite(current) = float::current(place)? else { return Err(NOT_FINITE) };
        match self.sum(current)? {
            Sum::Kept(current) => Ok(Some((current, Finite::from(0)))),
            Sum::Changed(new, added) => {
                store(place, new.print().as_ref(), time, options.enx);
                Ok(Some((new, added)))
            }
        }
    }

    fn sum(&self, current: Finite) -> Result<Sum<Finite>, &'static str> {
        let sum = current.plus(self.by);
        let within = matches!(sum, Extended::Finite(_)) && self.lower <= sum && sum <= self.upper;
        if !within && !self.saturate {
            return Ok(Sum::Kept(current));
        }
        let Extended::Finite(new) = sum.clamp(self.lower, self.upper) else { return Err(INFINITE) };
        match new.plus(current.negated()) {
            Extended::Finite(added) => Ok(Sum::Changed(new, added)),
            Extended::Infinite { .. } => Err(INFINITE),
        }
    }
}

const CROSSED: &str = "ERR LBOUND can't be greater than UBOUND";
const INFINITE: &str = "ERR applied increment would be Infinity";
