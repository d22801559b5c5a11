//! Some of a hash's fields: chosen at random, or one part after another.

use std::collections::HashSet;

use crate::resp::encode::Protocol;
use crate::resp::integer;
use crate::table::{Fields, Scalar};

use super::{DOCS, HASH, SHOWS, tell};
use crate::command::listing::{INVALID_CURSOR, Listing, Options, SCANNED, read_cursor, tell_scanned};
use crate::command::texts::{NOT_INTEGER, SYNTAX};
use crate::command::{Argument, Call, Command, Docs, Outcome};

/// `HRANDFIELD key [count [WITHVALUES]]`
pub static HRANDFIELD: Command = Command {
    name: "hrandfield",
    arity: -2,
    flags: SHOWS,
    access: &["RO", "access"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Shows fields chosen at random: so many different ones, or with a negative count so many of any.",
        since: "6.2.0",
        complexity: "O(N) with N fields shown, or all of the hash where that is less than three times as many",
        arguments: &[
            Argument::KEY,
            Argument::block(
                "options",
                &[Argument::new("count", "integer"), Argument::word("withvalues", "WITHVALUES").maybe()],
            )
            .maybe(),
        ],
        ..DOCS
    },
    run: random,
    ..HASH
};

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
pub static HSCAN: Command = Command {
    name: "hscan",
    arity: -3,
    flags: SHOWS,
    access: &["RO", "access"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Shows some fields and their values, and the cursor that leads to the next ones.",
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for all N fields",
        arguments: &[
            Argument::KEY,
            Argument::new("cursor", "integer"),
            Argument::new("pattern", "pattern").after("MATCH").maybe(),
            Argument::new("count", "integer").after("COUNT").maybe(),
        ],
        ..DOCS
    },
    run: scan,
    ..HASH
};

/// What a random choice is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// So many, of any where it is negative, else different ones.
    count: i64,
    /// Their values too.
    values: bool,
}

impl Wanted {
    fn read(call: &Call<'_>) -> Result<Self, &'static str> {
        let count = integer::parse(call.args.get(2)).ok_or(NOT_INTEGER)?;
        if count == i64::MIN {
            return Err(
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            );
        }
        let values = match call.args.len() {
            3 => false,
            4 if call.args.get(3).eq_ignore_ascii_case(b"withvalues") => true,
            _ => return Err(SYNTAX),
        };
        if values && count.unsigned_abs() > i64::MAX as u64 / 2 {
            return Err("ERR value is out of range");
        }
        Ok(Self { count, values })
    }

    /// Lists fields as they were asked for.
    fn list(self, fields: &Fields<'_>, random: &mut dyn FnMut() -> u64, listing: &mut Listing) {
        let add = |listing: &mut Listing, name: &[u8], value: Scalar<'_>| {
            if self.values { listing.field(name, value) } else { listing.bulk(name) }
        };
        let wanted = usize::try_from(self.count.unsigned_abs()).unwrap_or(usize::MAX);
        if self.count < 0 {
            for _ in 0..wanted {
                let (name, value) = fields.pick(random());
                add(listing, name, value);
                if listing.is_over() {
                    return;
                }
            }
        } else if wanted <= fields.len() / 3 {
            // Few of many are soon different ones.
            let mut seen = HashSet::new();
            while seen.len() < wanted {
                let (name, value) = fields.pick(random());
                if seen.insert(name) {
                    add(listing, name, value);
                }
            }
        } else {
            // Each in turn, with the chance that is left to it.
            let (mut needed, mut left) = (wanted as u64, fields.len() as u64);
            fields.for_each(&mut |name, value| {
                if needed >= left || random() % left < needed {
                    add(listing, name, value);
                    needed -= 1;
                }
                left -= 1;
            });
        }
    }
}

fn random(call: &mut Call<'_>) -> Outcome {
    let table = call.table;
    if call.args.len() == 2 {
        let shown = call.at(1, |place| {
            place.read_fields(|fields, reply| match fields {
                Some(fields) => reply.bulk(fields.pick(table.random()).0),
                None => reply.null(),
            })
        });
        return tell(call, shown);
    }
    let wanted = match Wanted::read(call) {
        Ok(wanted) => wanted,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    let most = call.host.limits().output_buffer;
    let shown = call.at(1, |place| {
        place.read_fields(|fields, reply| {
            let mut listing = Listing::new(most, reply.protocol());
            if let Some(fields) = fields {
                wanted.list(&fields, &mut || table.random(), &mut listing);
            }
            listing.finish(reply);
        })
    });
    tell(call, shown)
}

fn scan(call: &mut Call<'_>) -> Outcome {
    let Some(cursor) = read_cursor(call.args.get(2)) else {
        call.reply.error(INVALID_CURSOR);
        return Outcome::Done;
    };
    let options = Options::read(call.args.tail(3), false);
    let shown = call.at(1, |place| {
        place.read_fields(|fields, reply| {
            let Some(fields) = fields else {
                // Where there is nothing, no option can be wrong.
                return tell_scanned(0, Listing::new(0, Protocol::Resp2), reply);
            };
            let options = match options {
                Ok(options) => options,
                Err(text) => return reply.error(text),
            };
            let mut listing = Listing::new(0, Protocol::Resp2);
            let next = fields.scan(cursor, options.count.min(SCANNED), &mut |name, value| {
                if options.fits(name) {
                    listing.field(name, value);
                }
            });
            tell_scanned(next, listing, reply);
        })
    });
    tell(call, shown)
}
