//! What is known of keys beside their values: `OBJECT`. Keys have no access times here.

use crate::resp::encode::Encoder;
use crate::table::Value;

use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, help};

/// `OBJECT`
pub static OBJECT: Command = Command {
    subcommands: &[ENCODING, FREQ, IDLETIME, REFCOUNT, help::help_of("6.2.0", "generic", &["keyspace"])],
    ..help::container("object", "Commands about how values are kept.", "2.2.3", "generic")
};

const ENCODING: Command = Command {
    name: "encoding",
    docs: Docs {
        summary: "Names the way in which a value is kept, as Redis calls it.",
        since: "2.2.3",
        ..ABOUT
    },
    run: |call| about(call, |value, reply| reply.bulk(value.encoding().as_bytes())),
    ..OF_KEY
};

const FREQ: Command = Command {
    name: "freq",
    docs: Docs {
        summary: "Refuses to tell how often a key is used: nobody counts.",
        since: "4.0.0",
        ..ABOUT
    },
    run: |call| {
        about(call, |_, reply| {
            reply.error(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            );
        })
    },
    ..OF_KEY
};

const IDLETIME: Command = Command {
    name: "idletime",
    docs: Docs { summary: "Tells 0: keys have no access times here.", since: "2.2.3", ..ABOUT },
    run: |call| about(call, |_, reply| reply.integer(0)),
    ..OF_KEY
};

const REFCOUNT: Command = Command {
    name: "refcount",
    docs: Docs {
        summary: "Tells what Redis would: 1, or 2147483647 for the small integers that it shares.",
        since: "2.2.3",
        ..ABOUT
    },
    run: |call| {
        about(call, |value, reply| {
            let shared = matches!(value, Value::Int(0..10_000));
            reply.integer(if shared { i32::MAX.into() } else { 1 });
        })
    },
    ..OF_KEY
};

/// What subcommands about one key have in common.
const OF_KEY: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::READONLY,
    keys: Keys { first: 2, last: 2, step: 1 },
    access: &["RO"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: ABOUT,
    run: help::bare,
    subcommands: &[],
};

/// What their descriptions have in common.
const ABOUT: Docs =
    Docs { summary: "", since: "", group: "generic", complexity: "O(1)", arguments: &[Argument::KEY] };

/// Replies with what is known of the value at a key, or with null.
fn about(call: &mut Call<'_>, tell: impl FnOnce(Value<'_>, &mut Encoder<'_>)) -> Outcome {
    call.at(2, |place| {
        place.look(|value, reply| match value {
            Some(value) => tell(value, reply),
            None => reply.null(),
        });
    });
    Outcome::Done
}
