//! Small commands about the server itself, and the guards that end connections of HTTP clients.

use super::keyspace::{FLUSH_ARGUMENTS, is_flush_mode};
use super::{Call, Command, Docs, Flags, Keys, Outcome, help};

/// `TIME`
pub static TIME: Command = Command {
    name: "time",
    arity: 1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Tells the server's time: seconds since the Unix epoch, and microseconds.",
        since: "2.6.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: time,
    subcommands: &[],
};

/// `FUNCTION FLUSH [ASYNC | SYNC]`: there are no functions, and so there is nothing to do. Test suites of
/// clients clean up with it.
pub static FUNCTION: Command = Command {
    subcommands: &[
        Command {
            name: "flush",
            arity: -2,
            flags: Flags::WRITE.and(Flags::NOSCRIPT),
            keys: Keys::NONE,
            access: &[],
            categories: &["scripting"],
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            docs: Docs {
                summary: "Removes all functions, of which there are none.",
                since: "7.0.0",
                group: "scripting",
                complexity: "O(1)",
                arguments: FLUSH_ARGUMENTS,
            },
            run: function_flush,
            subcommands: &[],
        },
        help::help_of("7.0.0", "scripting", &["scripting"]),
    ],
    ..help::container("function", "Commands about functions, of which there are none.", "7.0.0", "scripting")
};

/// First word of an HTTP request that a browser was tricked into sending; Redis closes such connections too.
pub static POST: Command = guard("post", -1);

/// A header line of an HTTP request.
pub static HOST: Command = guard("host:", -1);

const fn guard(name: &'static str, arity: i32) -> Command {
    Command {
        name,
        arity,
        flags: Flags::HIDDEN
            .and(Flags::NO_AUTH)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::AT_ONCE)
            .and(Flags::DROPS),
        keys: Keys::NONE,
        access: &[],
        categories: &[],
        tips: &[],
        docs: Docs {
            summary: "Ends the connection of an HTTP client.",
            since: "0.1.0",
            group: "connection",
            complexity: "O(1)",
            arguments: &[],
        },
        run: |_| Outcome::Drop,
        subcommands: &[],
    }
}

fn time(call: &mut Call<'_>) -> Outcome {
    let (seconds, micros) = (call.now.unix_us / 1_000_000, call.now.unix_us % 1_000_000);
    call.reply.array(2);
    call.reply.bulk(itoa::Buffer::new().format(seconds).as_bytes());
    call.reply.bulk(itoa::Buffer::new().format(micros).as_bytes());
    Outcome::Done
}

fn function_flush(call: &mut Call<'_>) -> Outcome {
    match call.args.len() {
        2 => call.reply.ok(),
        3 if is_flush_mode(call.args.get(2)) => call.reply.ok(),
        3 => call.reply.error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        _ => call.reply.error_parts([
            b"ERR unknown subcommand or wrong number of arguments for '".as_slice(),
            super::texts::quotable(call.args.get(1)),
            b"'. Try FUNCTION HELP.",
        ]),
    }
    Outcome::Done
}
