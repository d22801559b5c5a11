//! `SLOWLOG`: shows what took longer than `slowlog-log-slower-than`. What enters the log is the worker's business.

use crate::resp::integer;

use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, help};

/// `SLOWLOG`
pub static SLOWLOG: Command = Command {
    subcommands: &[GET, LEN, RESET, help::help_of("6.2.0", "server", &[])],
    ..help::container("slowlog", "Commands about requests that took long.", "2.2.12", "server")
};

const GET: Command = Command {
    name: "get",
    arity: -2,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    docs: Docs {
        summary: "Shows the newest entries of the slow log, 10 or so many; -1 = all.",
        complexity: "O(N) with N entries",
        arguments: &[Argument::new("count", "integer").maybe()],
        ..LOG
    },
    run: get,
    ..OF_LOG
};

const LEN: Command = Command {
    name: "len",
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    docs: Docs { summary: "Tells the number of entries in the slow log.", ..LOG },
    run: |call| {
        call.reply.count(call.host.slow_log().len());
        Outcome::Done
    },
    ..OF_LOG
};

const RESET: Command = Command {
    name: "reset",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs { summary: "Forgets the entries of the slow log.", complexity: "O(N) with N entries", ..LOG },
    run: |call| {
        call.host.slow_log().clear();
        call.reply.ok();
        Outcome::Done
    },
    ..OF_LOG
};

/// What the subcommands have in common.
const OF_LOG: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &[],
    docs: LOG,
    run: help::bare,
    subcommands: &[],
};

/// What their descriptions have in common.
const LOG: Docs = Docs { summary: "", since: "2.2.12", group: "server", complexity: "O(1)", arguments: &[] };

/// Entries that are shown where nothing is said.
const SHOWN: usize = 10;

fn get(call: &mut Call<'_>) -> Outcome {
    let count = match call.args.len() {
        2 => Some(SHOWN),
        3 => match integer::parse(call.args.get(2)) {
            Some(-1) => Some(usize::MAX),
            Some(count) => usize::try_from(count).ok(),
            None => None,
        },
        _ => {
            call.reply.error_parts([
                b"ERR unknown subcommand or wrong number of arguments for '".as_slice(),
                call.args.get(1),
                b"'. Try SLOWLOG HELP.",
            ]);
            return Outcome::Done;
        }
    };
    let Some(count) = count else {
        call.reply.error("ERR count should be greater than or equal to -1");
        return Outcome::Done;
    };
    let entries = call.host.slow_log().newest(count);
    let reply = &mut call.reply;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(number(entry.id));
        reply.integer(number(entry.unix_s));
        reply.integer(number(entry.duration_us));
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk(entry.peer.as_bytes());
        reply.bulk(&entry.name);
    }
    Outcome::Done
}
